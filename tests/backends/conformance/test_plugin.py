"""The kit under pytest, as a stranger runs it: in another directory, with warnings as errors."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backends.conformance.checks import RULES

STRANGER = """
from backends.conformance.plain import Plain

class Mine(Plain):
    name = "mine"

class Wrong(Plain):
    name = "wrong"

    def slope(self, h):
        return 1 - h
"""
STRICT = ["-W", "error", "--strict-markers", "--strict-config", "-q", "-p", "no:cacheprovider"]


def run_kit(folder: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the kit from ``folder``, which holds a stranger's module."""
    (folder / "stranger.py").write_text(STRANGER)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(project), str(folder)]))
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others' plugins take most of the time of such a run
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "backends.conformance.plugin", *STRICT]
    command += ["--pyargs", "backends.conformance", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_plugin_passes_a_right_backend_claim_by_claim(tmp_path: Path, project: Path) -> None:
    """One test a claim and dtype, from an unrelated directory, under strict settings."""
    asked = ("--backend", "stranger:Mine", "--dtype", "float32", "--device", "cpu")
    listed = run_kit(tmp_path, project, *asked, "--collect-only")
    assert listed.stdout.count("stranger:Mine-float32-") == len(RULES)
    done = run_kit(tmp_path, project, *asked, "-k", "laws or refusals or layouts")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "worst error / proven bound" in done.stdout


def test_plugin_fails_a_wrong_backend_by_the_claims_it_breaks(tmp_path: Path, project: Path) -> None:
    """The wrong slope fails the gradients, says where and how to see it again; outputs pass."""
    done = run_kit(tmp_path, project, "--backend", "stranger:Wrong", "--dtype", "float64", "-k", "outputs or gradients")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "error / bound is" in done.stdout
    assert "[stranger:Wrong-float64-weights_gradients]" in done.stdout
    short_summary = done.stdout.partition("short test summary info")[2]
    assert "FAILED" in short_summary
    assert "again: python -m bench check --backend stranger:Wrong --dtype float64 --case" in short_summary
    assert "float64-outputs]" not in short_summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "stranger:Absent"), "has no 'Absent'"),
        (("--backend", "stranger:Mine", "--dtype", "int8"), "has no dtype 'int8'"),
        (("--backend", "stranger:Mine", "--device", "cuda"), "has no device 'cuda'"),
    ],
)
def test_plugin_refuses_what_is_not_there(
    tmp_path: Path, project: Path, arguments: tuple[str, ...], message: str
) -> None:
    """A backend, dtype or device asked for by name and missing is an error, never a skip."""
    done = run_kit(tmp_path, project, *arguments)
    assert done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert message in done.stdout + done.stderr


OWN_OPTION = "def pytest_addoption(parser):\n    parser.addoption('--backend', default='theirs')\n"
ENTRY_POINT = "[pytest11]\nbackends.conformance.plugin = backprop_bench_pytest\n"


def run_pytest(folder: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in ``folder`` with the kit's entry point installed there."""
    installed = folder / "kit_entry_point-1.0.dist-info"
    installed.mkdir(exist_ok=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: kit-entry-point\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINT)
    (folder / "stranger.py").write_text(STRANGER)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), str(project)]))
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", *STRICT, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_plugin_writes_junit_with_warnings_as_errors_and_keeps_its_table_under_xdist(
    tmp_path: Path, project: Path
) -> None:
    """A right backend passes with --junitxml, and two workers hand their ratios to the table and to the file."""
    asked = [
        "--pyargs",
        "backends.conformance",
        "--conformance-backend",
        "stranger:Mine",
        "-k",
        "(float64-loss and not losses) or refusals",
    ]
    done = run_pytest(tmp_path, project, *asked, "--junitxml", "found.xml", "-n", "2")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "stranger:Mine-float64-loss  " in done.stdout.partition("worst error / proven bound")[2]
    cases = list(ElementTree.parse(tmp_path / "found.xml").iter("testcase"))
    assert len(cases) == 3
    assert all(case.find("properties/property[@name='conformance_ratio']") is not None for case in cases)


def test_plugin_is_asked_with_its_prefix_beside_an_option_of_the_users_own(tmp_path: Path, project: Path) -> None:
    """A conftest with a --backend of its own keeps it, and the kit takes --conformance-backend."""
    (tmp_path / "conftest.py").write_text(OWN_OPTION)
    asked = ["--pyargs", "backends.conformance", "--conformance-backend", "stranger:Mine", "-k", "float32-refusals"]
    done = run_pytest(tmp_path, project, *asked, "--backend", "anything")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_plugin_imports_nothing_where_it_is_not_asked_for(tmp_path: Path, project: Path) -> None:
    """A suite beside a folder named backends, with a --backend of its own, runs without numpy and without the kit."""
    (tmp_path / "conftest.py").write_text(OWN_OPTION)
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text("raise ImportError('a folder of the user')")
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\ndef test_theirs(pytestconfig):\n"
        "    assert pytestconfig.getoption('--backend') == 'theirs'\n"
        "    assert not {'numpy', 'backends'} & set(sys.modules)\n"
        "    assert 'backprop_bench_pytest' in sys.modules\n"
    )
    done = run_pytest(tmp_path, project, "-p", "no:hypothesispytest", "test_theirs.py")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
