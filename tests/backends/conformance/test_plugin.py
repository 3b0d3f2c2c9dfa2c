"""The kit under pytest, as a stranger runs it: in another directory, with warnings as errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "backends.conformance.plugin", *STRICT]
    command += ["--pyargs", "backends.conformance", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_plugin_passes_a_right_backend_claim_by_claim(tmp_path: Path, project: Path) -> None:
    """One test a claim and dtype, from an unrelated directory, under strict settings."""
    done = run_kit(tmp_path, project, "--backend", "stranger:Mine", "--dtype", "float32", "--device", "cpu")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "14 passed" in done.stdout
    assert "worst error / proven bound" in done.stdout


def test_plugin_fails_a_wrong_backend_by_the_claims_it_breaks(tmp_path: Path, project: Path) -> None:
    """The wrong slope fails the gradients, and says where; outputs and loss pass."""
    done = run_kit(tmp_path, project, "--backend", "stranger:Wrong", "--dtype", "float64")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "error / bound is" in done.stdout
    assert "[stranger:Wrong-float64-weights_gradients]" in done.stdout
    assert "FAILED" in done.stdout
    assert "float64-outputs]" not in done.stdout


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


def test_plugin_leaves_other_suites_their_options(tmp_path: Path, project: Path) -> None:
    """A suite that has a ``--backend`` of its own is not disturbed."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--backend', default='theirs')\n"
    )
    (tmp_path / "test_theirs.py").write_text(
        "def test_option(pytestconfig):\n    assert pytestconfig.getoption('--backend') == 'theirs'\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(project))
    command = [sys.executable, "-m", "pytest", "-p", "backends.conformance.plugin", *STRICT, "test_theirs.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
