"""Placing and copies of the same arrays take turns, are kept with a run, and are judged by its targets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from backends import Network
from backends.numpy_backend import NumpyBackend
from bench.basics.errors import UsageError
from bench.cli import limits
from bench.limits import placing, placing_child
from bench.limits.placing import Placing
from bench.limits.targets import judge
from bench.measure import campaign
from bench.measure.cell import Group
from bench.measure.plan import Plan
from bench.results import Run
from bench.terminal import standings as report
from bench.terminal.terminal import console
from bench.workload.problem import make

PLACING = Placing("3-2-1", 1 << 20, "float32", "numpy", 2, 3e-3, 2e-3, 1e-3)


class Slow(NumpyBackend):
    """Places in 5 ms, the first time in 80."""

    waits: Iterator[float]

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> None:
        time.sleep(next(self.waits))


def test_placing_is_timed_from_its_second_turn_on() -> None:
    """What placing takes is that of a usual turn; the first, which starts threads and maps memory, does not count."""
    backend = Slow(Network((3, 2, 1)))
    backend.waits = iter([0.08] + [0.005] * 100)
    timed = placing_child.placed(backend, make(backend.network, 1000), 2, 0.0)
    assert 0.005 <= timed.seconds < 0.04
    assert timed.fresh_s < 0.005
    assert timed.mapped_s < 0.005


@pytest.mark.parametrize("threads", [1, 2])
def test_copies_are_of_every_number(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both copies move all rows of both arrays: into new memory each time, and into the same memory each time."""
    problem = make(Network((3, 2, 1)), 1001)
    _, fresh, mapped = placing_child.arms_of(NumpyBackend(problem.network), problem, threads)
    copied: list[tuple[int, int]] = []
    copyto = np.copyto

    def recorded(to: np.ndarray, source: np.ndarray) -> None:
        copyto(to, source)
        copied.append((to.ctypes.data, to.nbytes))

    monkeypatch.setattr(np, "copyto", recorded)
    for arm in (fresh, mapped, mapped):
        arm()
    each = len(copied) // 3
    assert sum(size for _, size in copied[:each]) == problem.inputs.nbytes + problem.targets.nbytes
    assert sorted(copied[each : 2 * each]) == sorted(copied[2 * each :])
    assert not {place for place, _ in copied[:each]} & {place for place, _ in copied[each:]}


def test_ratios_are_to_the_copy_they_name() -> None:
    """3 ms are 1.5 times a copy into fresh memory of 2 ms, and 3 times one into mapped memory of 1 ms."""
    assert (PLACING.times_fresh, PLACING.times_mapped) == (pytest.approx(1.5), pytest.approx(3.0))


def test_every_backend_is_held_against_a_copy_into_mapped_memory() -> None:
    """Of two backends one is within 1.5 times the copy, one is not; float64 is held to the same."""
    fast = replace(PLACING, seconds=1.5e-3)
    slow = replace(PLACING, backend="torch", seconds=1.55e-3)
    double = replace(slow, dtype="float64", mapped_s=1.0)
    verdicts = list(judge(placing.standings([slow, fast, double])))
    assert [(verdict.backend, verdict.dtype, verdict.reached, verdict.verdict) for verdict in verdicts] == [
        ("numpy", "float32", "1.50x", "yes"),
        ("torch", "float32", "1.55x", "no"),
        ("torch", "float64", "0.00155x", "yes"),
    ]
    assert {verdict.case for verdict in verdicts} == {"3-2-1 n=1,048,576 place"}
    assert {verdict.goal for verdict in verdicts} == {"<= 1.50x a copy"}


@pytest.fixture
def run_(tmp_path: Path) -> Run:
    """Return a run without rows."""
    plan = Plan((Group(Network((3, 2, 1)), 3, "float32", "cpu"),), ("step",), ("numpy",), threads=(1,))
    return campaign.create(plan, "limits", ["bench"], root=tmp_path)


def test_placings_survive_the_disk(run_: Run) -> None:
    """What was kept with a run is read again; a run that measured none has none."""
    assert placing.load_of(run_) == []
    placing.save_of(run_, [PLACING])
    assert placing.load_of(run_) == [PLACING]


def test_what_was_placed_before_a_backend_failed_is_kept(
    run_: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command places by the tuned backends alone, warns of one that fails, and keeps the others with the run."""

    def measure(names: list[str], dtypes: tuple[str, ...]) -> Iterator[Placing]:
        assert (names, dtypes) == (["numpy"], ("float32",))
        yield PLACING
        raise UsageError("backend 'jax' placed no batch")

    monkeypatch.setattr(placing, "measure", measure)
    limits._place(run_, ("numpy", "numpy-idiom"), ("float32",))
    assert placing.load_of(run_) == [PLACING]
    assert "backend 'jax' placed no batch" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"placings": [{"network": "3-2-1"}]}'])
def test_damaged_placings_are_named(run_: Run, text: str) -> None:
    """A file that is none is told with its path and the command that measures anew."""
    (run_.path / placing.FILE).write_text(text)
    with pytest.raises(UsageError, match=r"placing.json does not hold times of placing.*limits --targets"):
        placing.load_of(run_)


def test_table_of_placings_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Time and both ratios stand in 80 columns."""
    console().print(report.placings([PLACING, replace(PLACING, network="64-64-64-1", dtype="float64")]))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "3.00 ms" in shown
    assert "1.50x" in shown
    assert "3.00x" in shown


def test_command_measures_each_backend(capsys: pytest.CaptureFixture[str]) -> None:
    """A small batch on numpy: a line of figures for each network, measured in another process."""
    placing.main(["numpy", "--networks", "3-2-1,8-4-1", "--rows", "5000", "--seconds", "0.01"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:3] for line in lines] == [["numpy", "3-2-1", "float32"], ["numpy", "8-4-1", "float32"]]
    assert all(0 < float(number) < 1000 for line in lines for number in (line.split()[3], *line.split()[5:]))


def test_a_batch_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for five copies of the small batch alone the large one is not placed."""
    monkeypatch.setattr(placing, "free_bytes", lambda: 5 * 5000 * 4 * 4 / placing.SPARE + 1)
    measured = placing.measure(["numpy"], networks=("3-2-1", "8-4-1"), rows=5000, seconds=0.0)
    assert [each.network for each in measured] == ["3-2-1"]


def test_backend_that_cannot_place_is_named() -> None:
    """An unknown backend is told with the last words of its process."""
    with pytest.raises(UsageError, match=r"backend 'none-such' placed no batch: .*none-such"):
        list(placing.measure(["none-such"], networks=("3-2-1",), rows=10))
