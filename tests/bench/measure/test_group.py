"""One group in its process: what placing takes, and what compiling for it took."""

from __future__ import annotations

import time

import pytest

from backends import Network
from bench.measure.cell import Group
from bench.measure.first_calls import choose_steps, first_calls
from bench.measure.group import SOME_BYTES, GroupRun
from bench.measure.instructions import Instructions
from bench.measure.interference import Round
from tests.bench import specimens


class SlowFirstPlace(specimens.Exact):
    """Takes 0.2 s to place the first batch of a process, as a compiler would."""

    placed_rows: list[int] = []  # noqa: RUF012 - of the process, as a compiler's results are

    def place_batch(self, inputs, targets):
        if not self.placed_rows:
            time.sleep(0.2)
        self.placed_rows.append(len(inputs))
        return super().place_batch(inputs, targets)


def load(rows, monkeypatch):
    """Return a group of the slow backend, loaded."""
    SlowFirstPlace.placed_rows.clear()
    monkeypatch.setattr("bench.measure.group.find", lambda _: SlowFirstPlace)
    monkeypatch.setattr("bench.measure.group.load", lambda _, network, dtype, *__: SlowFirstPlace(network, dtype))
    group = GroupRun(
        Instructions(0, 0, "slow", "", 1, (), {}, (0,), frozenset(), {}, {}, "m", "c", False, "", ""),
        Group(Network((1, 1, 1)), rows, "float64", "cpu"),
        ("step",),
    )
    group.load()
    return group


def test_compiling_for_the_first_placing_is_not_counted_as_placing(monkeypatch):
    """The first placing of a process is 0.2 s slower: that is compiling, and placing is what it takes afterwards."""
    group = load(5, monkeypatch)
    assert 0.15 < group.place_compile_s < 0.4
    assert group.place_s < 0.1
    assert group.row("step")["place_compile_s"] == group.place_compile_s


def test_of_a_large_batch_only_some_rows_are_placed_before(monkeypatch):
    """A second copy of a large batch would take memory that was not reckoned with."""
    monkeypatch.setattr("bench.measure.group.SOME_BYTES", 320)
    load(1000, monkeypatch)
    assert SlowFirstPlace.placed_rows == [20, 20, 1000]
    assert SOME_BYTES < 64 << 20


@pytest.mark.parametrize(("rows", "shaped"), [(1 << 20, 1 << 20), (1 << 26, (1 << 26) // 6)])
def test_the_shape_of_a_batch_of_millions_is_proven_in_seconds(rows, shaped):
    """All of a million rows of 3-2-1, of 64 millions as many as hold 64 million values; none when timing is over."""
    instructions = Instructions(0, 0, "slow", "", 1, (), {}, (0,), frozenset(), {}, {}, "m", "c", False, "", "")
    group = GroupRun(instructions, Group(Network((3, 2, 1)), rows, "float32", "cuda"), ("step",))
    assert group.checked_shape(timed=False) == shaped
    assert group.checked_shape(timed=True) == 0


def test_single_steps_and_training_are_called_first(monkeypatch):
    """They bear the compiling of code that other phases share, since theirs is the time that a job takes."""
    group = load(5, monkeypatch)
    group.phases = ("place", "forward", "step", "train")
    called = []
    monkeypatch.setattr(group, "work", lambda phase: lambda calls: called.append(phase))
    monkeypatch.setattr("bench.measure.first_calls._check_waiting", lambda run: None)
    group.train_steps = 1
    first_calls(group)
    assert list(dict.fromkeys(called)) == ["step", "train", "place", "forward"]
    assert set(group.first_s) == set(group.phases)


@pytest.mark.parametrize(("step_s", "records"), [(100e-6, True), (5e-3, False)])
def test_training_that_records_a_step_is_timed_in_calls_that_do(monkeypatch, step_s, records):
    """Of short steps a call makes as many as recording takes and more; of long ones that would take too long."""
    group = load(5, monkeypatch)
    group.backend.captured_steps = 256
    group.step_s = step_s
    monkeypatch.setattr(
        "bench.measure.first_calls.timed_round", lambda work, calls: Round(step_s * max(1, group.train_steps), 0.0, 0)
    )
    monkeypatch.setattr(group, "work", lambda phase: lambda calls: None)
    choose_steps(group)
    assert (group.train_steps >= group.backend.captured_steps) == records
