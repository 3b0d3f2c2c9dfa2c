"""``bench tune``: what it shows, what it keeps, and that measured processes use it."""

from __future__ import annotations

import json

import pytest

import backends
from backends import tuned
from bench import cli
from bench.limits import tuning
from bench.limits.tuning import Tried
from bench.measure import process_environment

pytestmark = pytest.mark.usefixtures("defaults")

GAIN = [-0.4, -0.41, -0.39, -0.4]
MEASURED = (
    Tried("numpy-near-bytes", 1 << 20, (1 << 19, 1 << 21), 1 << 20, {}),
    Tried("numpy-long-rows", 1 << 16, (1 << 15, 1 << 14), 1 << 14, {"3-2-1, n = 1,048,576": GAIN}),
)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The file to keep values in, instead of the user's; what is measured is made up."""
    path = tmp_path / "folder" / "tuned.json"
    monkeypatch.setenv(tuned.VARIABLE, str(path))
    monkeypatch.setattr(tuning, "measure", lambda names, margin, progress: [of for of in MEASURED if of.name in names])
    tuned.stored.cache_clear()
    yield path
    tuned.stored.cache_clear()


def test_what_is_proven_faster_is_shown_and_kept(file, capsys):
    """A table has a row for each constant; the value that gains is in the file, and the next process gets it."""
    assert cli.main(["tune", "--backends", "numpy"]) == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.startswith("numpy-")]
    assert rows[0] == ["numpy-near-bytes", "1,048,576", "1/2,", "2", "1,048,576", "-"]
    assert rows[1] == ["numpy-long-rows", "65,536", "1/2,", "1/4", "16,384", "0.67"]
    assert "0.67 of the time (0.66 to 0.68) at 3-2-1, n = 1,048,576; kept" in " ".join(text.split())
    assert max(map(len, text.replace(str(file), "FILE").splitlines())) <= 80
    assert tuned.tuned("numpy-long-rows", 1 << 16) == 1 << 14
    assert tuned.tuned("numpy-near-bytes", 1 << 20) == 1 << 20


def test_json_and_reset(file, capsys):
    """`--json` gives what the table says; after `--reset` the defaults count, and a second one is no error."""
    assert cli.main(["tune", "--backends", "numpy", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(file)
    assert [(of["name"], of["kept"]) for of in document["constants"]] == [
        ("numpy-near-bytes", 1 << 20),
        ("numpy-long-rows", 1 << 14),
    ]
    assert file.exists()
    for removed in (True, False):
        assert cli.main(["tune", "--reset", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"path": str(file), "removed": removed}
    tuned.stored.cache_clear()
    assert tuned.tuned("numpy-long-rows", 1 << 16) == 1 << 16


def test_tuning_one_backend_leaves_the_values_of_others(file, capsys):
    """What was kept for a backend that is not tried now stays; what is tried and no longer gains goes."""
    file.parent.mkdir()
    file.write_text(tuned.text_of({"numpy-near-bytes": (1 << 19, 1 << 20), "numba-few-rows": (8, 4)}))
    assert cli.main(["tune", "--backends", "numpy"]) == 0
    assert set(tuned.stored().values) == {"numba-few-rows", "numpy-long-rows"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--backends", "fortran"], "'fortran' has no constants to tune; expected some of numpy, numba, torch, jax"),
        (["--margin", "-1"], "--margin"),
    ],
)
def test_wrong_usage_says_what_is_expected(file, capsys, arguments, says):
    """A backend without constants is named, with those that have some; nothing is written."""
    try:
        status = cli.main(["tune", *arguments])
    except SystemExit as exited:
        status = exited.code
    assert status == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(monkeypatch, capsys, tmp_path):
    """Minutes of measuring are not thrown away at their end: the place is named first, and how to name another."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(tuned.VARIABLE, str(tmp_path / "file" / "folder" / "tuned.json"))
    monkeypatch.setattr(tuning, "measure", lambda *_: pytest.fail("measured"))
    assert cli.main(["tune"]) == 2
    assert "name a file: BACKPROP_BENCH_TUNED=tuned.json" in " ".join(capsys.readouterr().err.split())


def test_where_tuning_is_off_nothing_is_tried(monkeypatch, capsys):
    """With the variable `off` there is nothing to keep values in, which the error says."""
    monkeypatch.setenv(tuned.VARIABLE, tuned.OFF)
    assert cli.main(["tune"]) == 2
    assert "BACKPROP_BENCH_TUNED is 'off'" in " ".join(capsys.readouterr().err.split())


def test_measured_processes_use_the_file_of_this_machine(monkeypatch, tmp_path):
    """A measured process has another folder of caches, and the same tuned values; `off` stays off."""
    monkeypatch.delenv(tuned.VARIABLE)
    monkeypatch.setattr(tuned, "user_caches", lambda: tmp_path / "user")
    variables = process_environment.environment(1, tmp_path)
    assert variables[tuned.VARIABLE] == str(tmp_path / "user" / "backprop-bench" / f"tuned-{tuned.machine()}.json")
    monkeypatch.setenv(tuned.VARIABLE, tuned.OFF)
    assert process_environment.environment(1, tmp_path)[tuned.VARIABLE] == tuned.OFF


def test_backends_lists_what_is_tuned(file, capsys, monkeypatch):
    """`bench backends` names the values in force, each with the backend whose it is."""
    entries = [entry for entry in backends.BUILT_IN if entry.name in ("numpy", "numpy-idiom")]
    monkeypatch.setattr(backends, "catalogue", lambda *roles: entries)
    file.parent.mkdir()
    file.write_text(tuned.text_of({"numpy-long-rows": (1 << 14, 1 << 16)}))
    assert cli.main(["backends", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["numpy"]["tuned"] == {"numpy-long-rows": 1 << 14}
    assert rows["numpy-idiom"]["tuned"] == {}
    assert cli.main(["backends"]) == 0
    assert "numpy-long-rows=16384; undo: python -m bench tune --reset" in " ".join(capsys.readouterr().out.split())


def test_a_trial_runs_in_its_process():
    """A fresh process tries a constant both ways from the value in the code, and proves what it would rather have."""
    (result,) = tuning.measure(["numpy-long-rows"])
    assert (result.name, result.default) == ("numpy-long-rows", 1 << 16)
    assert result.values[0] == result.default // tuning.FACTOR
    assert result.candidate in (result.default, *result.values)
    placements = [len(logs) for logs in result.log_ratios.values()]
    assert placements == ([] if result.candidate == result.default else [tuning.PLACEMENTS])
