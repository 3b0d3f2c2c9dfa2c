"""The store: what is read back, what is reported, what a crash may cost."""

import json
import logging
import os

import pandas as pd
import pytest

from bench import results
from bench.basics.errors import UsageError
from bench.machine import machine_id
from bench.measure.manifest import earlier_pace
from bench.results.journal import Fault, Journal, JournalFull, JournalRemoved, read


def make_run(
    root, name="20260101-000000-aaaa", created="2026-01-01T00:00:00+00:00", machine="box-1", rows=(), purpose=""
):
    """Write a run's folder by hand and return its path."""
    path = root / machine / name
    path.mkdir(parents=True)
    manifest = {"schema": results.SCHEMA, "run": name, "machine": machine, "created": created, "purpose": purpose}
    (path / "run.json").write_text(json.dumps(manifest))
    with Journal(path / "rows.jsonl") as journal:
        for row in rows:
            journal.append(row)
    return path


def cell(**fields):
    """Return one record of a measured cell."""
    shape = {"network": "1-1-1", "batch": 1, "dtype": "float64", "device": "cpu", "phase": "step"}
    process = {"order": 0, "process": 0, "attempt": 0, "backend": "mine"}
    return {"record": "cell", **process, **shape, "status": "ok", **fields}


def test_load_has_every_documented_column(tmp_path):
    """The table has all of COLUMNS, in order and typed, then the receipt, however little the rows hold."""
    path = make_run(tmp_path, rows=[cell(median_s=1e-6, rounds=7, round_s=[1e-6, 2e-6], receipt_python="3.11")])
    frame = results.load(path)
    assert list(frame.columns) == [column.name for column in results.COLUMNS] + ["receipt_python"]
    text = str(pd.Series(["a"], dtype="str").dtype)  # pandas 2 has no type of texts
    assert {column.name: text if column.dtype == "str" else column.dtype for column in results.COLUMNS} == {
        name: str(dtype) for name, dtype in frame.dtypes.items() if not name.startswith("receipt_")
    }
    row = frame.iloc[0]
    assert (row.run, row.machine, row.median_s, row.rounds, row.round_s) == (
        "20260101-000000-aaaa",
        "box-1",
        1e-6,
        7,
        [1e-6, 2e-6],
    )
    assert row.created.isoformat() == "2026-01-01T00:00:00+00:00"


def test_every_column_is_documented():
    """Each column has a meaning, and a name with a unit in it agrees with its unit."""
    for column in results.COLUMNS:
        assert column.doc
        assert not column.name.endswith("_s") or column.unit == "s"
        assert not column.name.endswith("_bytes") or column.unit == "bytes"


def test_load_of_an_empty_run_is_an_empty_table(tmp_path):
    """A run without rows is a table without rows, not an error."""
    assert results.load(make_run(tmp_path)).empty


def test_rows_of_schema_1_are_read_in_present_words(tmp_path):
    """What schema 1 called a block is the column process, and its record of an end is the end of a process."""
    path = tmp_path / "m" / "old"
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"schema": 1, "run": "old", "machine": "m", "created": "2026-01-01"}))
    old = {"order": 3, "block": 1, "backend": "mine", "status": "ok"}
    shape = {"network": "1-1-1", "batch": 1, "dtype": "float64", "device": "cpu", "phase": "step"}
    lines = [{"record": "cell", **old, **shape}, {"record": "block", **old}]
    (path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = results.load("old", root=tmp_path)
    assert frame["process"].tolist() == [1]
    assert "block" not in frame
    assert frame.attrs["faults"] == []
    assert [record["record"] for _, record in results.records(results.resolve("old", tmp_path))] == ["cell", "process"]


def test_load_keeps_the_last_attempt_of_a_process(tmp_path):
    """The rows of a process that was begun again after a crash replace those of the first attempt."""
    rows = [cell(median_s=1.0), cell(order=1, median_s=2.0), cell(order=1, attempt=1, median_s=3.0)]
    assert results.load(make_run(tmp_path, rows=rows)).median_s.tolist() == [1.0, 3.0]


def test_truncated_and_foreign_lines_are_named_and_the_rest_is_read(tmp_path, caplog):
    """A line that is cut short, not JSON, or of another program is reported by file and line; the rest counts."""
    path = make_run(tmp_path, rows=[cell(median_s=1.0)])
    rows = path / "rows.jsonl"
    with rows.open("a") as file:
        file.write(
            'not json\n[1]\n\n{"record":"alien"}\n' + json.dumps(cell(phase="train", median_s=2.0)) + '\n{"record":"ce'
        )
    with caplog.at_level(logging.WARNING):
        frame = results.load(path)
    assert frame.median_s.tolist() == [1.0, 2.0]
    assert [fault.split(": ")[0] for fault in frame.attrs["faults"]] == [f"{rows}:{k}" for k in (2, 3, 5, 7)]
    assert f"{rows}:7: cut short" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 10**400),
        ("threads", "two"),
        ("steps", 1.5),
        ("rounds", True),
        ("arm", ["A/A"]),
        ("turn_s", [None, "a"]),
        ("turn_s", [-1.0]),
        ("round_s", {"0": 1.0}),
        ("import_s", "0.1"),
        ("compile_s", 10**400),
        ("place_s", 5e-324),
        ("place_s", 1e300),
        ("iterations", -1),
        ("dtype", "float16"),
        ("device", "tpu"),
        ("phase", "steps"),
        ("status", "fine"),
        ("arm", "\ud800"),
        ("receipt_environment", ["A=1"]),
        ("receipt_beside", -1),
        ("receipt_anything", {"a": 1}),
        ("receipt_anything", "\ud800"),
        ("median_s", -1.0),
        ("cache", 5),
        ("cache", "tepid"),
    ],
)
def test_a_value_that_no_column_can_hold_is_named_and_its_row_passed_over(tmp_path, name, value):
    """One hostile value costs its own row: the rest is read, and the fault names column and value, shortly."""
    path = make_run(tmp_path, rows=[cell(median_s=1.0), cell(phase="train", median_s=2.0) | {name: value}])
    frame = results.load(path)
    assert frame.median_s.tolist() == [1.0]
    (fault,) = frame.attrs["faults"]
    assert f"rows.jsonl:3: {name} is " in fault or f"rows.jsonl:2: {name} is " in fault or "no shape" in fault
    assert len(fault) < len(str(path)) + 160


def test_many_faults_are_counted(tmp_path, caplog):
    """Of a file of which most is lost, the first lines are named and the others counted; the table keeps all."""
    frame = results.load(
        make_run(tmp_path, rows=[cell(median_s=1.0), *[cell(median_s=-1.0) | {"order": k} for k in range(9)]])
    )
    assert len(frame.attrs["faults"]) == 9
    assert [record.getMessage().split()[0:3] for record in caplog.records][-1] == ["passed", "over", "5"]
    assert len(caplog.records) == 5


@pytest.mark.parametrize("name", ["rows.jsonl", "run.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_passed_over(tmp_path, name, make):
    """A pipe or a folder in the place of rows or manifest costs that run alone, and is not waited for."""
    good = make_run(tmp_path, rows=[cell(median_s=1.0)])
    bad = make_run(tmp_path, "bad", rows=[cell(median_s=2.0)])
    (bad / name).unlink()
    make(bad / name)
    runs = results.runs(tmp_path)
    assert results.latest(tmp_path).path == good
    assert [row["median_s"] for run in runs for row in results.cells(run)] == [1.0]


def test_rows_that_this_user_may_not_read_cost_that_run_alone(tmp_path, monkeypatch):
    """They are named without a line number, and the other runs are read."""
    good = make_run(tmp_path, rows=[cell(median_s=1.0)])
    closed = make_run(tmp_path, "closed", rows=[cell(median_s=2.0)])
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed / "rows.jsonl" and allowed(path, mode))
    frame = results.load(good, closed)
    assert frame.median_s.tolist() == [1.0]
    assert frame.attrs["faults"] == [f"{closed / 'rows.jsonl'}: this user may not read it"]


def test_journal_closes_a_line_cut_short_before_it_appends(tmp_path):
    """A record appended after a crash in mid-line is read; only the broken line is lost."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a":1}\n{"a":')
    with Journal(path) as journal:
        journal.append({"a": 3})
    faults: list[Fault] = []
    assert [record["a"] for _, record in read(path, faults)] == [1, 3]
    assert [fault.line for fault in faults] == [2]


def test_journal_writes_no_number_that_json_lacks(tmp_path):
    """NaN and infinities are stored as null, also deep inside."""
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.append({"a": float("nan"), "b": [float("inf"), 1.0]})
    assert (tmp_path / "rows.jsonl").read_text() == '{"a":null,"b":[null,1.0]}\n'


def test_journal_on_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    """Out of space in the middle of a record is an error; the file ends after the last whole record."""
    path = tmp_path / "rows.jsonl"
    write = os.write
    with Journal(path) as journal:
        journal.append({"a": 1})

        def full(descriptor, data):
            if len(data) < 8:
                raise OSError(28, "No space left on device")
            return write(descriptor, bytes(data)[: len(data) // 2])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(JournalFull, match=r"no space left for .*rows\.jsonl; earlier records are kept"):
            journal.append({"a": "long enough to be written in two parts"})
    monkeypatch.undo()
    assert path.read_text() == '{"a":1}\n'


def test_resolve_takes_paths_ids_and_unique_beginnings(tmp_path):
    """A run is named by its folder, its rows, its id, a unique beginning of it, or 'latest'."""
    old = make_run(tmp_path, "20260101-1", "2026-01-01T00:00:00+00:00", rows=[cell()])
    new = make_run(tmp_path, "20260102-2", "2026-01-02T00:00:00+00:00", machine="box-2", rows=[cell()])
    make_run(tmp_path, "20260103-3", "2026-01-03T00:00:00+00:00")  # no rows: never the latest
    assert [run.id for run in results.runs(tmp_path)] == ["20260101-1", "20260102-2", "20260103-3"]
    for text in (old, str(old / "rows.jsonl"), "20260101-1", "20260101"):
        assert results.resolve(text, tmp_path).path == old
    assert results.resolve("latest", tmp_path).path == new == results.latest(tmp_path).path


def test_latest_is_of_this_machine_and_of_the_purpose(tmp_path, monkeypatch):
    """A run of limits, or one of another machine, is not shown for a comparison of this machine, though it is newer."""
    monkeypatch.setattr("bench.machine.machine_id", lambda: "box-1")
    made = (("1", "box-1", "comparison"), ("2", "box-2", "comparison"), ("3", "box-1", "limits"))
    for name, where, purpose in made:
        created = f"2026-01-0{name}T00:00:00+00:00"
        make_run(tmp_path, f"2026010{name}", created, machine=where, purpose=purpose, rows=[cell()])
    assert results.latest(tmp_path).id == "20260101"
    assert results.resolve("latest", tmp_path, "limits").id == "20260103"
    monkeypatch.setattr("bench.machine.machine_id", lambda: "box-3")
    assert results.latest(tmp_path).id == "20260102"
    assert results.latest(tmp_path, "gate").id == "20260103"


@pytest.mark.parametrize(
    ("text", "says"), [("2026", "several runs begin with '2026'"), ("nothing", "no run 'nothing'"), ("", "several")]
)
def test_resolve_of_a_doubtful_name_lists_the_candidates(tmp_path, text, says):
    """A name that fits no run, or several, is refused with the ids that there are."""
    for day in "12":
        make_run(tmp_path, f"2026010{day}-x", f"2026-01-0{day}T00:00:00+00:00")
    with pytest.raises(UsageError, match=says) as error:
        results.resolve(text, tmp_path)
    assert "20260101-x, 20260102-x" in str(error.value)


def test_a_newer_schema_is_refused_and_passed_over(tmp_path, caplog):
    """A run of a schema to come is refused by name, and does not hide the others."""
    path = make_run(tmp_path, "20260102-2")
    (path / "run.json").write_text(json.dumps({"schema": 99, "run": "x", "machine": "m", "created": "2027"}))
    make_run(tmp_path, "20260101-1")
    with pytest.raises(UsageError, match="schema 99"):
        results.open_run(path)
    assert [run.id for run in results.runs(tmp_path)] == ["20260101-1"]
    assert "schema 99" in caplog.text


def test_no_stored_run_says_what_to_do(tmp_path):
    """With nothing stored, the error names the command that measures."""
    with pytest.raises(UsageError, match=r"python -m bench run --quick"):
        results.load(root=tmp_path)


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        ({"median_s": float("nan")}, "median_s is nan, expected seconds from 1e-12 to 1e+09"),
        ({"minimum_s": -1e-6}, "minimum_s is -1e-06, expected seconds from 1e-12 to 1e+09"),
        ({"batch": 0}, "no shape: network '1-1-1', batch 0"),
        ({"network": "1--1"}, "no shape: network '1--1', batch 1"),
        ({"order": "first"}, "order is 'first', expected int"),
        ({"record": "song"}, "neither a cell nor a process: record='song'"),
    ],
)
def test_a_line_that_is_no_row_is_named_and_passed_over(tmp_path, caplog, spoilt, says):
    """Its file, its line and what is wrong are said; the other rows are there, and another run can still be planned."""
    path = make_run(tmp_path, machine=machine_id(), rows=[cell()])
    with (path / "rows.jsonl").open("a") as file:
        file.write(json.dumps(cell(**spoilt)) + "\n" + "[" * 100_000 + "\n")
    frame = results.load(path)
    assert len(frame) == 1
    assert f"{path / 'rows.jsonl'}:2: {says}" in caplog.text
    assert f"{path / 'rows.jsonl'}:3: " in caplog.text
    assert earlier_pace(tmp_path) is not None


def test_columns_of_a_newer_version_are_named(tmp_path, caplog):
    """A stored row with a column that this version does not know is read without it, and the column is named."""
    frame = results.load(make_run(tmp_path, rows=[cell(median_s=1e-6, joules=3.0)]))
    assert frame["median_s"].tolist() == [1e-6]
    assert "has columns that this version does not know: joules" in caplog.text


@pytest.mark.parametrize(("fields", "says"), [({"medain_s": 1e-6}, "no column 'medain_s'"), ({}, "lacks the column")])
def test_a_row_with_a_typo_is_not_kept(fields, says):
    """What is written has every declared column and no other: a worker's typo is an error, not a missing time."""
    row = cell(**{column.name: 1 for column in results.COLUMNS if column.name not in ("run", "median_s")}, **fields)
    with pytest.raises(ValueError, match=says):
        results.check({**row, "status": "ok"})


def test_a_journal_that_was_removed_is_an_error(tmp_path):
    """A record that would go into a file that is no longer there is refused, not lost."""
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.append({"a": 1})
        (tmp_path / "rows.jsonl").unlink()
        with pytest.raises(JournalRemoved, match="was removed while it was written"):
            journal.append({"a": 2})


def test_a_manifest_with_an_odd_date_hides_no_other_run(tmp_path, caplog):
    """It is named, and the others are listed."""
    make_run(tmp_path, name="odd", created="the other day")
    make_run(tmp_path, name="sound")
    assert [run.id for run in results.runs(tmp_path)] == ["sound"]
    assert "odd/run.json is not the manifest of a run" in caplog.text
