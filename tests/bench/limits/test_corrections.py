"""A time below its limit raises the ceiling that was too low, so that no share exceeds 100 %."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from backends import Network
from bench import results
from bench.limits.ceilings import Ceiling, Ceilings, limit_s
from bench.limits.corrections import Timed, corrected, load
from tests.bench import synthetic

SIZES = (64 << 10, 8 << 20)
RATES = {"product": 2e11, "tanh": 5e9}


def ceilings() -> Ceilings:
    """Return the ceilings of a made-up machine with two threads."""
    measured = [Ceiling(kind, "float32", 2, kind, 0, rate, "x") for kind, rate in RATES.items()]  # type: ignore[arg-type]
    for (kind, factor), size in itertools.product((("read", 1.0), ("copy", 0.7)), SIZES):
        measured.append(Ceiling(kind, "", 2, kind, size, factor * (1e11 if size == SIZES[0] else 3e10), "x"))  # type: ignore[arg-type]
    return Ceilings("2x-some", "2026-01-01", {}, tuple(measured))


def timed(network: str, rows: int, phase: str, share: float) -> Timed:
    """Return a time at a share of the limit of the made-up machine."""
    limit = limit_s(Network.parse(network), rows, "float32", phase, ceilings(), 2)
    return Timed(network, rows, "float32", phase, 2, "numba", limit.seconds / share)


@pytest.mark.parametrize(
    ("network", "rows", "phase", "ceiling"),
    [
        ("784-512-10", 4096, "step", "product"),
        ("3-2-1", 1 << 20, "step", "tanh"),
        ("64-1-1", 1 << 20, "forward", "bandwidth"),
        ("3-2-1", 1 << 20, "place", "bandwidth"),
        ("784-512-10", 1, "update", "bandwidth"),
    ],
)
def test_a_beaten_limit_names_its_ceiling_and_raises_it(network: str, rows: int, phase: str, ceiling: str) -> None:
    """A time at 170 % of the limit is at 100 % after the correction, which says which ceiling was too low."""
    fast = timed(network, rows, phase, 1.7)
    raised, (correction,) = corrected(ceilings(), [fast])
    assert limit_s(Network.parse(network), rows, "float32", phase, raised, 2).seconds == pytest.approx(fast.seconds)
    assert (correction.ceiling, correction.factor) == (ceiling, pytest.approx(1.7))
    assert f"numba at {network}" in str(correction)
    assert f"the ceiling of {ceiling} with 2 threads was too low and is raised 1.70x" in str(correction)


def test_no_share_exceeds_100_percent_in_any_grid() -> None:
    """Whatever the times of a grid, every limit is at or below every time after the correction."""
    rng = np.random.default_rng(0)
    cells = list(
        itertools.product(("3-2-1", "32-64-1", "784-512-10"), (1, 100, 4096, 1 << 20), ("place", "step", "update"))
    )
    for _ in range(20):
        times = [timed(*cell, share=float(np.exp(rng.normal(0, 0.7)))) for cell in cells]
        raised, _ = corrected(ceilings(), times)
        for one in times:
            limit = limit_s(Network.parse(one.network), one.rows, one.dtype, one.phase, raised, one.threads)
            assert limit.seconds <= one.seconds * (1 + 1e-6), one


def test_times_above_their_limits_change_nothing() -> None:
    """Without a beaten limit the ceilings stay as they were measured."""
    slow = [timed("3-2-1", 1 << 20, "step", 0.9), timed("784-512-10", 4096, "step", 0.5)]
    assert corrected(ceilings(), slow) == (ceilings(), [])


def test_times_without_a_ceiling_are_passed_over() -> None:
    """A dtype or number of threads that was not probed has no limit to beat."""
    other = timed("3-2-1", 1 << 20, "step", 3.0)._replace(threads=1)
    assert corrected(ceilings(), [other]) == (ceilings(), [])


def test_broken_ceilings_cost_the_limits_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A ceilings file that cannot be read is named, and the run is shown without limits."""
    path = synthetic.store(synthetic.frame(batches=(1,), phases=("step",), processes=2), tmp_path)
    (path / "ceilings.json").write_text("{")
    assert load(results.open_run(path), tmp_path) is None
    assert "ceilings.json does not hold ceilings" in caplog.text
