"""Timing on numbers of ranks: what is measured, kept, judged and shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backends import Network
from backends.ranks import Alone, local
from bench import cli
from bench.basics.formats import MISSING, interval_beside, interval_s
from bench.machine import machine_id
from bench.measure.cell import Group
from bench.ranks.arms import Arm, arms_of
from bench.ranks.blocks import time_calls
from bench.ranks.launches import rows_of
from bench.results import check, load, table
from bench.terminal.scaling import gain
from bench.verdicts.scaling import scaling

GROUP = Group(Network((3, 2, 1)), 4096, "float32", "cpu")


def record(step_s: float, **more: object) -> dict[str, object]:
    """Return what a rank tells of steps that took about so long."""
    steps = [step_s * factor for factor in (0.99, 1.0, 1.01, 1.02)]
    told = {"train": steps, "steps": 10, "all-reduce": [step_s / 10] * 4, "sums": 9, "first_call_s": 1.0}
    told |= {"import_s": 0.1, "place_s": 0.1, "ratio": 0.5, "claim": "step", "proven_rows": 9}
    return told | {"peak_bytes": 1, "load_average": 0.0} | more


def frame_of(*timed: tuple[Arm, float]):
    """Return the table of one backend's arms, in three laps each."""
    rows = []
    for lap in range(3):
        for k, (arm, step_s) in enumerate(timed):
            told = record(step_s * (1 + 0.001 * lap), threads=arm.threads)
            name = str(arm) if k else ""
            rows += [{"run": "r", **row} for row in rows_of(GROUP, 10 * lap + k, lap, "numpy", arm, name, told)]
    for row in rows:
        check({name: value for name, value in row.items() if name != "run"})
    return table(rows)


def test_arms_compare_with_one_rank_that_has_all_cores() -> None:
    """First comes one rank with all cores; then equal threads for each rank, on all rows and on rows that grow."""
    assert arms_of(4096, (1, 2), 4, "mpi") == (
        Arm(1, 4, "", 4096), Arm(1, 2, "", 4096), Arm(2, 2, "mpi", 4096), Arm(1, 2, "", 2048),
    )  # fmt: skip
    assert arms_of(10, (1,), 2, "") == (Arm(1, 2, "", 10),)


def test_blocks_are_as_long_as_asked() -> None:
    """A block has as many calls as fill its time, and its seconds are those of one call."""
    seconds, calls = time_calls(Alone(), lambda count: [np.tanh(np.ones(1000)) for _ in range(count)], 0.05, 0.005)
    assert len(seconds) >= 5
    assert 0.001 < min(seconds) * calls < 0.5


def test_speed_up_and_efficiency_are_ratios_of_times() -> None:
    """Twice as fast as all threads is 2.0, faster; efficiencies compare with one rank of as many threads."""
    base, one, two, part = arms_of(4096, (1, 2), 2, "mpi")
    judged = scaling(frame_of((base, 2.0), (one, 1.5), (two, 1.0), (part, 0.8)))
    ranks = judged[judged["ranks"] == 2].iloc[0]
    assert ranks["speed_up"] == pytest.approx(2.0, rel=0.01)
    assert ranks["speed_up_low"] < 2.0 < ranks["speed_up_high"]
    assert ranks["verdict"] == "faster"
    assert (ranks["strong"], ranks["weak"]) == (pytest.approx(0.75, rel=0.01), pytest.approx(0.8, rel=0.01))
    assert ranks["sum_share"] == pytest.approx(0.1, rel=0.05)
    assert judged[judged["arm"] == ""].iloc[0]["verdict"] == "base"


def test_what_failed_is_a_row_with_its_reason() -> None:
    """A launch that failed, and one that computes wrong, give a row without a time that says why."""
    arm = Arm(2, 1, "mpi", 4096)
    (failed,) = rows_of(GROUP, 0, 0, "numpy", arm, str(arm), {"reason": "rank 1 of 2: lost"})
    (wrong,) = rows_of(GROUP, 0, 0, "numpy", arm, str(arm), record(1.0, ratio=3.0))
    assert (failed["status"], failed["reason"]) == ("failed", "rank 1 of 2: lost")
    assert (wrong["status"], wrong["reason"]) == ("nonconformant", "step: error / bound 3 before timing")


def test_rows_of_before_ranks_are_of_one() -> None:
    """A stored row without the columns of ranks is of one rank on one host."""
    row = table([{"run": "r", "backend": "numpy"}]).iloc[0]
    assert (row["ranks"], row["engine"], row["hosts"]) == (1, "", 1)


def test_scale_measures_keeps_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`scale` starts ranks, proves them, keeps rows of steps and of the all-reduce, and answers in JSON."""
    if local.mpiexec() is None:
        pytest.skip("no mpiexec here")
    asked = ["scale", "--network", "3-2-1", "--rows", "4e3", "--ranks", "1,2", "--backends", "numpy"]
    flags = ["--processes", "1", "--cell-time", "50ms", "--results", str(tmp_path), "--engine", "mpi", "--json"]
    assert cli.main([*asked, *flags]) == cli.SUCCESS
    answer = json.loads(capsys.readouterr().out)
    assert {(row["ranks"], row["rows"]) for row in answer["rows"]} == {(1, 4000), (2, 4000), (1, 2000)}
    frame = load(answer["path"])
    assert set(frame["status"]) == {"ok"}
    assert set(frame[frame["ranks"] == 2]["phase"]) == {"train", "all-reduce"}
    assert set(frame[frame["ranks"] == 2]["engine"]) == {"mpi"}
    assert (frame["conformance_ratio"] <= 1).all()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--rows", "1.5"], "a number of rows such as 4096 or 1e6, got '1.5'"),
        (["--rows", "1"], "each rank needs a row"),
    ],
)
def test_bad_rows_are_refused(flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that are no number, or fewer than ranks, are wrong usage, with what was expected."""
    with pytest.raises(SystemExit) if flags[1] == "1.5" else pytest.MonkeyPatch.context():
        assert cli.main(["scale", "--network", "3-2-1", "--ranks", "2", *flags]) == cli.WRONG_USAGE
    assert sentence in capsys.readouterr().err


def test_a_launchers_ranks_are_measured(tmp_path: Path) -> None:
    """The ranks of mpiexec are measured against one of them; rank 0 alone shows, and knows its machine."""
    if local.mpiexec() is None:
        pytest.skip("no mpiexec here")
    asked = ["scale", "--network", "3-2-1", "--rows", "4000", "--backends", "numpy", "--processes", "1"]
    flags = ["--cell-time", "50ms", "--results", str(tmp_path), "--json"]
    ended = local.run([sys.executable, "-m", "bench", *asked, *flags], 2, "mpi", 120.0)
    assert not any(ended.statuses), ended.text
    answer = json.loads(ended.text[ended.text.index("{\n") :])
    assert [(row["ranks"], row["engine"]) for row in answer["rows"]] == [(1, ""), (2, "mpi")]
    assert Path(answer["path"]).parent.name == machine_id()


def test_ranks_are_not_asked_for_where_a_launcher_started_some() -> None:
    """Under mpiexec --ranks is wrong usage, said once."""
    if local.mpiexec() is None:
        pytest.skip("no mpiexec here")
    command = [sys.executable, "-m", "bench", "scale", "--network", "3-2-1", "--rows", "9", "--ranks", "1,2"]
    ended = local.run(command, 2, "mpi", 60.0)
    assert all(ended.statuses)
    assert ended.text.count("a launcher has started some") == 1


def test_an_engine_that_is_not_there_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong engine is wrong usage before anything is kept: no empty run is left among the results."""
    asked = ["scale", "--network", "3-2-1", "--rows", "100", "--ranks", "2", "--engine", "nccl", "--backends", "numpy"]
    assert cli.main([*asked, "--results", str(tmp_path)]) == cli.WRONG_USAGE
    assert "no engine 'nccl'; known: mpi, torch, jax" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_one_process_gives_no_interval() -> None:
    """A time that was measured in one process alone is printed without an interval, not as an error."""
    assert interval_s(float("nan"), float("nan")) == MISSING
    assert interval_s(1.02e-6, 1.1e-6) == "1.02..1.10 us"
    assert interval_beside(1e-6, float("nan"), float("nan")) == MISSING
    cells = {"ranks": 2, "verdict": "undecided", "step_s": 1e-6, "arm": "2 ranks", "speed_up": 1.5}
    alone = gain(pd.DataFrame([cells | dict.fromkeys(("speed_up_low", "speed_up_high"), float("nan"))]))
    assert alone == "2 ranks: undecided against one rank with all threads: 1.50 x."


def test_an_interval_is_in_the_unit_of_what_it_is_beside() -> None:
    """A column of intervals says no unit, so that lines of several units stay narrow; the time beside it has one."""
    assert interval_beside(0.99e-3, 0.95e-3, 1.04e-3) == "950..1,040"
    assert interval_beside(1.21e-3, 1.05e-3, 1.39e-3) == "1.05..1.39"
