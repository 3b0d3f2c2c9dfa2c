"""A predicted step takes no less than memory allows; a measured one stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends import Network
from bench import results
from bench.advice import floor, recommendation
from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import DRAWS, INTERPOLATED, MEASURED, Shape
from bench.limits.ceilings import Ceiling, Ceilings
from bench.workload.work import least_bytes

WIDE = Shape("415-2-1", 100_000)
NETWORK = Network((415, 2, 1))
BANDWIDTH = 20e9
SHORT_S = 1e-4


def ceilings(threads: int = 2) -> Ceilings:
    """Return ceilings with one bandwidth, and arithmetic that takes no time."""
    kinds = (("copy", "", BANDWIDTH), ("read", "", BANDWIDTH), ("product", "float32", 1e15), ("tanh", "float32", 1e15))
    measured = tuple(Ceiling(kind, dtype, threads, "", 1 << 30, rate, "a test") for kind, dtype, rate in kinds)
    return Ceilings("a machine", "", {}, measured)


def cost(*bases: str) -> Cost:
    """Return a cost whose steps are all short, with a shape for each basis."""
    nothing = np.zeros((DRAWS, 1))
    short_s = np.full((DRAWS, len(bases)), SHORT_S)
    zeros = np.zeros_like(short_s)
    return Cost("numba", nothing, nothing, zeros, zeros, short_s, bases[0], "train", "warm", threads=2, bases=bases)


def test_a_predicted_step_takes_as_long_as_its_bytes():
    """Every draw is at least the limit, and at most three times; a measured step and a short batch are left alone."""
    shapes = [WIDE, WIDE, Shape("415-2-1", 1)]
    raised = floor.not_below(cost(INTERPOLATED, MEASURED, INTERPOLATED), shapes, Job(NETWORK, 1), ceilings()).step_s
    least_s = least_bytes(NETWORK, WIDE.rows, "float32", "train") / BANDWIDTH
    assert least_s > 50 * SHORT_S
    assert raised[:, 0].min() >= least_s
    assert raised[:, 0].max() <= least_s / floor.LEAST_SHARE
    assert np.ptp(raised[:, 0]) > least_s
    assert (raised[:, 1:] == SHORT_S).all()


def test_a_new_batch_each_step_is_moved_twice():
    """Placing it moves its bytes too."""
    once, fresh = (
        floor.not_below(cost(INTERPOLATED), [WIDE], Job(NETWORK, 1, fresh=fresh), ceilings()).step_s
        for fresh in (False, True)
    )
    assert (fresh > 1.9 * once).all()


def test_placing_moves_the_batch():
    """A predicted placing takes as long as its bytes too; a run that timed none says nothing of it."""
    known = cost(INTERPOLATED, MEASURED)
    short = replace(known, place_s=np.full_like(known.place_s, SHORT_S))
    raised = floor.not_below(short, [WIDE, WIDE], Job(NETWORK, 1), ceilings()).place_s
    least_s = least_bytes(NETWORK, WIDE.rows, "float32", "place") / BANDWIDTH
    assert raised[:, 0].min() >= least_s > 50 * SHORT_S
    assert (raised[:, 1] == SHORT_S).all()
    assert not floor.not_below(known, [WIDE, WIDE], Job(NETWORK, 1), ceilings()).place_s.any()


def test_without_a_bandwidth_for_these_threads_nothing_changes():
    """A run with other numbers of threads says nothing."""
    raised = floor.not_below(cost(INTERPOLATED), [WIDE], Job(NETWORK, 1), ceilings(threads=7)).step_s
    assert (raised == SHORT_S).all()


def test_a_recommendation_from_a_stored_run_keeps_to_it(project: Path):
    """Where reading never was the bottleneck of a stored campaign, `recommend` still knows that it takes time."""
    run = results.resolve("20261128-173627-86df", project / "results")
    said = recommendation.from_runs([run], Job(NETWORK, WIDE.rows), root=project / "results")
    kept = floor.ceilings_of([run], project / "results")
    fastest = max(c.per_second for c in kept.measured if c.kind in ("read", "copy") and c.working_set_bytes > 1 << 26)
    assert said.rows["step_s"].min() > 0.9 * least_bytes(NETWORK, WIDE.rows, "float32", "train") / fastest
    unknown = replace(kept, measured=())
    assert floor.not_below(cost(INTERPOLATED), [WIDE], Job(NETWORK, 1), unknown).step_s == pytest.approx(SHORT_S)
