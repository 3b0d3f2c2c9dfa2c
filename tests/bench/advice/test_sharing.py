"""Whether a second rank or machine pays, predicted from steps and an all-reduce whose times are known."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd
import pytest

from backends import Network
from bench.advice.job import Job
from bench.advice.sharing import Sharing, least_parts, measured_faster, predicted
from bench.basics.errors import UsageError
from bench.basics.names import SCALING
from bench.cli import sharing as command
from bench.machine import machine_id
from bench.measure.cell import Group
from bench.ranks.allreduce import AllReduce, Link
from bench.ranks.arms import Arm, arms_of
from bench.ranks.launches import Scale, run_launches
from bench.results import Run
from bench.terminal.sharing import answer, pays
from bench.workload.memory import need_bytes

SUM_S, CALL_S, ROW_S = 300e-6, 1e-6, 1e-9
KNOWN = AllReduce("mpi", (8, 400_000_000), (1e-9, 2e-9))
LINK = Link(SUM_S, 1e15)  # a short message takes one trip of MPI
NETWORK = Network((3, 2, 1))


def rows(threads: int = 2, slower: float = 1.0) -> pd.DataFrame:
    """Return rows of steps that take a call and a time a row."""
    made = [
        {
            "run": "r", "machine": "m", "process": process, "backend": "numba", "arm": "", "network": "3-2-1",
            "batch": batch, "dtype": "float32", "device": "cpu", "threads": threads, "phase": "train", "status": "ok",
            "median_s": slower * (CALL_S + batch * ROW_S) * (1 + 0.01 * process), "turn_s": [None], "cache": "warm",
            "first_call_s": 0.1, "compile_s": 0.0, "import_s": 0.1, "place_s": 1e-3, "round_s": [],
            "place_compile_s": 0.0, "created": "2026-01-01",
        }
        for process in range(3)
        for batch in (1, 1_000, 100_000, 1_000_000, 10_000_000)
    ]  # fmt: skip
    return pd.DataFrame(made)


def of(records: list[dict[str, object]], parts: int) -> dict[str, object]:
    """Return the record of a number of parts."""
    return next(record for record in records if record["parts"] == parts)


def test_a_second_machine_pays_from_the_rows_whose_half_is_the_sum() -> None:
    """A second machine pays from 2 a / (seconds a row) on: 600,000 rows for a sum of 300 us and a nanosecond a row."""
    records = predicted(rows(), Job(NETWORK, 1_000_000), Sharing(2, 2, LINK), KNOWN)
    two = of(records, 2)
    assert two["pays_from"] == pytest.approx(2 * SUM_S / ROW_S, rel=0.35)
    assert two["pays_from_low"] < two["pays_from"] < two["pays_from_high"]
    assert two["step_s"] == pytest.approx(SUM_S + 500e-6, rel=0.15)
    assert two["low_s"] < two["step_s"] < two["high_s"]


@pytest.mark.parametrize(("batch", "verdict"), [(1_000, "slower"), (10_000_000, "faster")])
def test_verdicts_follow_the_rows(batch: int, verdict: str) -> None:
    """Few rows are slower on two machines, many are faster, and the interval of the speed-up says so."""
    two = of(predicted(rows(), Job(NETWORK, batch), Sharing(2, 2, LINK), KNOWN), 2)
    assert two["verdict"] == verdict
    assert (two["speed_up_low"] > 1.05) == (verdict == "faster")


def test_ranks_of_one_machine_have_part_of_its_threads() -> None:
    """A rank of two on two cores has the step that was measured with one thread; without such rows nothing is said."""
    job, how = Job(NETWORK, 1_000_000), Sharing(2, 2)
    alone = predicted(rows(), job, how, KNOWN)
    assert [record["parts"] for record in alone] == [1]
    both = predicted(pd.concat([rows(), rows(threads=1, slower=1.5)]), job, how, KNOWN)
    assert of(both, 2)["speed_up"] == pytest.approx(2 / 1.5, rel=0.15)


def test_machines_have_the_threads_that_were_asked_for() -> None:
    """With a number of threads asked for, each machine has the step that was measured with it, however slow."""
    both = pd.concat([rows(), rows(threads=1, slower=1.5)])
    one_thread = predicted(both, Job(NETWORK, 1_000_000, threads=1), Sharing(2, 2, LINK), KNOWN)
    assert of(one_thread, 1)["step_s"] == pytest.approx(1.5e-3, rel=0.1)
    assert of(one_thread, 2)["step_s"] == pytest.approx(SUM_S + 750e-6, rel=0.15)
    assert of(predicted(both, Job(NETWORK, 1_000_000), Sharing(2, 2, LINK), KNOWN), 1)["step_s"] < 1.2e-3


def test_more_than_two_parts_are_extrapolated() -> None:
    """Powers of two up to what was asked are answered, and those beyond two are marked."""
    records = predicted(rows(), Job(NETWORK, 1_000_000), Sharing(6, 2, LINK), KNOWN)
    assert [(record["parts"], record["extrapolated"]) for record in records] == [
        (1, False), (2, False), (4, True), (6, True),
    ]  # fmt: skip


def test_a_batch_too_large_says_how_many_machines_hold_it() -> None:
    """The least machines are those whose free memory, less what any batch needs, holds all rows together."""
    job = Job(NETWORK, 10_000_000)
    whole = need_bytes(NETWORK, job.rows)
    assert least_parts(job, 10 * whole) == 1
    assert least_parts(job, int(0.7 * whole) + (1 << 29)) == 2
    assert least_parts(job, 1 << 20) == 0
    said = {"parts": "machines", "engine": "mpi", "link": "", "rows": [], "least_machines": 2}
    assert any("it takes 2 machines" in part.replace("\n", " ") for part in map(str, answer(said, job)))


def test_rows_from_which_it_pays_are_said_with_their_interval() -> None:
    """The sentence has the rows and the interval; where it never pays it says that."""
    row = {"pays_from": 612_345.0, "pays_from_low": 400_000.0, "pays_from_high": math.nan}
    assert pays(row, "machines") == "a second machine pays from 610,000 rows on (400,000 .. never)."
    assert "at no number of rows" in pays(row | {"pays_from": math.nan}, "ranks")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"ranks": 2, "hosts": 2}, "ask for one of them"),
        ({"hosts": 2}, "--link 1Gbit,0.1ms"),
        ({"link": LINK}, "add --hosts 2"),
        ({"ranks": 1 << 20}, "each rank needs one"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags: dict[str, object], sentence: str) -> None:
    """Ranks with machines, machines without a link, a link without machines, more ranks than cores: wrong usage."""
    given = {"ranks": None, "hosts": None, "link": None, "engine": None} | flags
    with pytest.raises(UsageError, match=sentence):
        command.asked(argparse.Namespace(**given))


def test_more_machines_than_rows_are_refused() -> None:
    """A billion machines for a thousand rows are wrong usage, before anything is probed."""
    with pytest.raises(UsageError, match=r"--hosts 1,000,000,000: each needs a row, and --batch is 1,000"):
        command.answered(argparse.Namespace(engine=None), Sharing(10**9, 2, LINK), Job(NETWORK, 1000), [])


def keep_scale(root: Path, faster: dict[str, float]) -> Run:
    """Keep a `scale` of 4,096 rows in which two ranks are twice as fast, and each backend by its factor."""
    arms = arms_of(4096, (1, 2), 2, "mpi")
    step_s = dict(zip(arms, (2.0, 1.5, 1.0, 0.8), strict=True))

    def outcome(lap: int, backend: str, arm: Arm) -> dict[str, object]:
        steps = [step_s[arm] / faster[backend] * factor for factor in (0.99, 1.0, 1.01)]
        told = {"train": steps, "steps": 10, "all-reduce": steps, "sums": 9, "first_call_s": 3.0, "import_s": 0.1}
        return told | {"place_s": 0.1, "ratio": 0.5, "claim": "step", "proven_rows": 9} | {
            "peak_bytes": 1, "load_average": 0.0, "threads": arm.threads,
        }  # fmt: skip

    scale = Scale(Group(NETWORK, 4096, "float32", "cpu"), tuple(faster), arms)
    return run_launches(scale, list(scale.launches()), outcome, (), root, lambda fraction, text: None)


def test_ranks_that_were_measured_faster_are_offered(tmp_path: Path) -> None:
    """The latest `scale` of this network and about as many rows is offered where ranks were proven faster."""
    run = keep_scale(tmp_path, {"numpy": 1.0})
    assert (run.purpose, run.machine) == (SCALING, machine_id())
    (best,) = measured_faster(Job(NETWORK, 5000), tmp_path)
    assert (best["ranks"], best["speed_up"]) == (2, pytest.approx(2.0, rel=0.01))
    assert "mpiexec -n 2 python" in command.measured_ranks(Job(NETWORK, 5000), tmp_path, 0.05)
    assert measured_faster(Job(NETWORK, 50_000), tmp_path) == []


def test_ranks_that_another_backend_beats_alone_are_not_advised(tmp_path: Path) -> None:
    """Ranks that are faster than their own backend, and slower than another on one rank, are named with that one."""
    run = keep_scale(tmp_path, {"numpy": 1.0, "numba": 3.0})
    frame = pd.read_json(run.rows_path, lines=True)
    on_ranks = (frame["backend"] == "numba") & (frame["ranks"] > 1)
    frame[~on_ranks].to_json(run.rows_path, orient="records", lines=True)
    sentence = command.measured_ranks(Job(NETWORK, 4096), tmp_path, 0.05)
    assert sentence.startswith("numpy on 2 ranks")
    assert sentence.endswith("; numba on one rank took 495 ms")


def test_a_batch_that_does_not_fit_is_answered_with_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch beyond the free memory is answered with the least machines and chunks; one that fits with nothing."""
    job = Job(NETWORK, 10_000_000)
    whole = need_bytes(NETWORK, job.rows)
    monkeypatch.setattr("bench.workload.memory.free_bytes", lambda device="cpu": 2 * whole + (1 << 29))
    assert command.memory_note(job) == ""
    monkeypatch.setattr("bench.workload.memory.free_bytes", lambda device="cpu": int(0.7 * whole) + (1 << 29))
    note = command.memory_note(job)
    assert "A batch of 10,000,000 rows needs" in note
    assert "among 2 machines like this one (--hosts 2 --link 1Gbit,0.1ms) or read it in chunks (--chunks" in note


def test_a_network_that_does_not_fit_is_not_answered_with_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and machines hold fewer rows, not fewer parameters: of a network without room the answer says that."""
    monkeypatch.setattr("bench.workload.memory.free_bytes", lambda device="cpu": 1 << 34)
    note = command.memory_note(Job(Network((99_999, 99_999, 1)), 10))
    assert note.startswith("The network needs")
    assert note.endswith("even for one row: take a smaller network.")
