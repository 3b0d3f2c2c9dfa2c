"""The command: writes the file and says where; every mistake is one line that says what to do."""

import json
import re
import sys
import tomllib

import pytest

from bench.cli import main
from bench.cli.report import command_of
from bench.report import html
from tests.bench.report import made_up


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The user's cache folder of this module: the page's scripts are bundled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def root(tmp_path, monkeypatch, cache):
    """A folder of two stored runs, where the command is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(tmp_path / "results"))
    rows = made_up.frame().query("network == '3-2-1' and phase == 'step'")  # a page of few charts: quickly written
    made_up.stored(tmp_path / "results", rows)
    return tmp_path


def test_report_writes_the_runs_asked_for(root, capsys):
    """Two runs by a unique beginning make one file that names both, and the command says where it is."""
    assert main(["report", "run-o", made_up.SECOND, "--out", "out/page.html"]) == 0
    text = (root / "out" / "page.html").read_text()
    assert made_up.FIRST in text
    assert made_up.SECOND in text
    said = capsys.readouterr().out
    assert "out/page.html" in said
    assert "MB" in said
    assert not list(root.rglob("*.partial"))


def test_report_reads_another_folder_and_shows_label_and_warning(root, monkeypatch):
    """``--results`` finds runs elsewhere; a run's label and the warning of a busy machine stand on the page."""
    manifest = next(root.glob(f"results/*/{made_up.FIRST}/run.json"))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "label": "before the change"}))
    rows = manifest.with_name("rows.jsonl")
    beside = [{**json.loads(line), "receipt_beside": "run other"} for line in rows.read_text().splitlines()]
    rows.write_text("".join(json.dumps(record) + "\n" for record in beside))
    monkeypatch.delenv("BACKPROP_BENCH_RESULTS")
    (root / "results").rename(root / "elsewhere")
    assert main(["report", made_up.FIRST, "--results", "elsewhere"]) == 0
    text = (root / "report.html").read_text()
    assert "before the change" in text
    assert "Measured at the same time as run other" in text


@pytest.mark.parametrize("command", [[], "", None, 5, ["bench/__main__.py"], {"a": 1}])
def test_a_run_whose_command_is_none_is_reported_all_the_same(command):
    """What a manifest holds in place of a command line breaks no page."""
    assert isinstance(command_of(command), str)


def test_unknown_run_is_wrong_usage(root, capsys):
    """A run that is not there ends with status 2 and names what is there."""
    assert main(["report", "nope"]) == 2
    assert made_up.FIRST in capsys.readouterr().err


def test_missing_library_names_the_command(root, monkeypatch, capsys):
    """Where a library of the report is missing, the error names it and the command that installs it."""
    monkeypatch.setitem(sys.modules, "altair", None)
    assert main(["report"]) == 2
    said = capsys.readouterr().err
    assert "altair" in said
    assert "pip install" in said


def test_remedy_names_dependencies_and_no_version_of_its_own(project):
    """The command that installs the report's libraries names dependencies of `pyproject.toml`, and no versions."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    named = set(html.INSTALL.removeprefix("pip install -U ").split())
    assert named <= {re.split(r"[<>=]", line)[0] for line in declared}


def test_unwritable_place_is_wrong_usage(root, capsys):
    """A place that cannot be written ends with status 2 and names it."""
    (root / "file").write_text("")
    assert main(["report", made_up.SECOND, "--out", "file/page.html"]) == 2
    assert "--out" in capsys.readouterr().err
