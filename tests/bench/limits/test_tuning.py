"""Trials of the backends' constants: what is tried, what is proven, what is kept."""

from __future__ import annotations

import importlib
import math

import pytest

from backends import tuned
from bench.limits import tuning
from bench.limits.constants import Constant
from bench.limits.designs import value_of
from bench.limits.tuning import TUNABLE, Tried, Tunable, judged, tried, walk

MARGIN = 0.05


@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
def test_every_constant_that_a_backend_asks_for_can_be_tuned(backend):
    """A backend asks for the constants that `tune` tries, under the same names and with the same defaults."""
    pytest.importorskip(backend)
    importlib.import_module(f"backends.{backend}_backend")
    own = {name: tunable for name, tunable in TUNABLE.items() if tunable.constant.backend == backend}
    asked = {name: default for name, default in tuned.DEFAULTS.items() if name.startswith(backend)}
    assert asked == {name: value_of(tunable.constant.where) for name, tunable in own.items()}


@pytest.mark.parametrize("name", TUNABLE)
def test_each_step_of_a_walk_has_a_case(name):
    """Half, twice and four times a default are each told from it, or from one another, in a case at least; a switch
    that this processor never takes has none.
    """
    tunable = TUNABLE[name]
    pytest.importorskip(tunable.constant.backend)
    default = int(value_of(tunable.constant.where))
    if default == tuned.NEVER:
        assert tunable.cases((default, default // 2)) == ()
        return
    steps = [(default, default // 2), (default // 2, default // 4), (default, 2 * default), (2 * default, 4 * default)]
    assert [step for step in steps if not tunable.cases(step)] == []
    if tunable.size:
        assert len(tunable.cases(steps[0])) < len(tunable.constant.cases)


def fastest_at(best: int):
    """Return a comparison in which a value takes the longer the further it is from the best."""

    def compare(base, other):
        return {"a": [0.2 * (abs(math.log2(other / best)) - abs(math.log2(base / best)))]}

    return compare


@pytest.mark.parametrize(("default", "values"), [(64, (32, 128)), (256, (128, 64, 32)), (16, (8, 32, 64))])
def test_a_walk_finds_the_best_value(default, values):
    """From a default that is too high or too low by four the walk ends at the best value, and tries no more."""
    limit = values[: tuning.MOST_DOUBLINGS + (default == 16)]
    assert walk(default, fastest_at(64), MARGIN) == (64, limit)


def test_a_walk_ends_at_one():
    """No constant is tried at 0."""
    assert walk(1, fastest_at(1), MARGIN) == (1, (2,))


def result(candidate: int, **log_ratios: list[float]) -> Tried:
    """Return what was measured of a constant whose default is 64."""
    return Tried("numpy-long-rows", 64, (32,), candidate, log_ratios)


FASTER, NOISY, EQUAL, SLOWER = (
    [-0.3, -0.31, -0.29, -0.3],
    [-0.6, 0.2, -0.5, 0.1],
    [0.0, 0.01, -0.01, 0.0],
    [0.1, 0.12, 0.11, 0.1],
)


@pytest.mark.parametrize(
    ("log_ratios", "kept"),
    [
        ({"a": FASTER}, 32),
        ({"a": FASTER, "b": EQUAL}, 32),
        ({"a": FASTER, "b": SLOWER}, 64),
        ({"a": FASTER, "b": NOISY}, 64),
        ({"a": NOISY}, 64),
        ({"a": EQUAL}, 64),
        ({}, 64),
    ],
)
def test_only_what_is_proven_is_kept(log_ratios, kept):
    """A value is kept if it is proven faster in a case by more than the margin, and in no case may be slower by it."""
    (outcome,) = judged([result(32 if log_ratios else 64, **log_ratios)], MARGIN)
    assert (outcome.kept, outcome.default) == (kept, 64)
    if log_ratios:
        assert outcome.low <= outcome.ratio <= outcome.high <= outcome.worst


def test_many_candidates_pay_for_being_many():
    """What is proven of one candidate alone is not of one among a hundred: all claims are made together."""
    borderline = [-0.16, -0.08, -0.12, -0.10]
    crowd = [Tried(f"another {k}", 64, (32,), 32, {"a": NOISY}) for k in range(99)]
    alone = judged([result(32, a=borderline)], MARGIN)[0]
    among = judged([result(32, a=borderline), *crowd], MARGIN)[0]
    assert (alone.kept, among.kept) == (32, 64)
    assert alone.ratio == among.ratio


@pytest.mark.timing
def test_a_wrong_default_is_found_and_mended(monkeypatch):
    """With numpy's blocks 16 rows long by a wrong default, four times as long ones are found, proven and kept."""
    from backends import threads

    monkeypatch.setattr(threads, "NEAR_BYTES", 0)  # so the least number of rows decides
    monkeypatch.setattr(threads, "MINIMUM_ROWS", 16)
    tunable = Tunable(Constant("numpy", "backends.threads:MINIMUM_ROWS", (("3-2-1", 8192),)))
    (outcome,) = judged([tried("numpy-minimum-rows", tunable)])
    assert outcome.kept == 16 * tuning.FACTOR**tuning.MOST_DOUBLINGS
    assert outcome.high < 1 / 1.05
    assert threads.MINIMUM_ROWS == 16
