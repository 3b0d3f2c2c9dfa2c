"""What a search of threads left out is near what all threads take; what was measured is repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backends import Network
from bench import results
from bench.advice import costs, recommendation
from bench.advice.fewer_threads import INFERRED, with_inferred
from bench.advice.job import Job
from bench.advice.time_model import MEASURED, Shape
from bench.results import load
from bench.verdicts import statistics

GRID = [Shape(network, rows) for network in ("3-2-1", "8-32-1", "64-64-64-1") for rows in (1, 32, 1024, 32_768)]
SEARCHED, FOUND = Shape("8-32-1", 1024), 0.5
"""Where one thread was tried, and how many times as long it took there."""

STEPS = 100_000


def cells(searched: dict[Shape, float]) -> pd.DataFrame:
    """Return estimates with two threads on the grid, and with one thread where it was tried."""
    two = {shape: (2, 10e-6 + 1e-9 * shape.rows) for shape in GRID}
    one = {shape: (1, ratio * two[shape][1]) for shape, ratio in searched.items()}
    rows = [
        {"network": shape.network, "batch": shape.rows, "threads": threads, "log_s": np.log(seconds)}
        for known in (two, one)
        for shape, (threads, seconds) in known.items()
    ]
    return pd.DataFrame(rows).assign(backend="numpy", device="cpu", phase="train", variance=1e-4, dof=10.0)


def ratios(filled: pd.DataFrame) -> dict[Shape, float]:
    """Return how many times as long each shape takes with one thread."""
    logs = filled.set_index(["threads", "network", "batch"])["log_s"]
    return {shape: float(np.exp(logs[1, *shape] - logs[2, *shape])) for shape in GRID}


def test_a_ratio_holds_where_it_was_found_and_fades_with_the_distance():
    """Next to the shape that was tried one thread gains too, far away it takes as long as two."""
    filled = with_inferred(cells({SEARCHED: FOUND}))
    found = ratios(filled)
    assert found[SEARCHED] == pytest.approx(FOUND)
    assert FOUND < found[Shape("8-32-1", 32)] < 0.95
    assert 0.97 < found[Shape("3-2-1", 1)] <= 1
    assert not filled[(filled["threads"] == 2) | (filled["log_s"] == np.log(FOUND))][INFERRED].any()
    assert filled[INFERRED].sum() == len(GRID) - 1
    sure = filled.set_index(["threads", "network", "batch"])["variance"]
    assert sure[1, *SEARCHED] < sure[1, "8-32-1", 32] < sure[1, "3-2-1", 1]


def test_a_long_step_takes_longer_with_fewer_threads():
    """Where nothing was tried, half the threads take most of twice the time if the step is all work."""
    long = Shape("784-512-10", 32_768)
    known = cells({SEARCHED: FOUND})
    more = known[known["threads"] == 2].iloc[:1].assign(network=long.network, batch=long.rows)
    logs = with_inferred(pd.concat([known, more])).set_index(["threads", "network", "batch"])["log_s"]
    assert 1.5 < np.exp(logs[1, *long] - logs[2, *long]) < 2


def test_the_threads_asked_for_rest_on_what_all_threads_take(project: Path):
    """With one thread no step is promised in much less than with two, also far from where one was tried.

    A model of the four cells of one thread once promised a step of 3-2-1 in a third of what two threads take.
    """
    run = searching(project)[-1]
    for network, rows in (("3-2-1", 10**8), ("784-512-10", 300_000), ("8-32-1", 300)):
        one, two = (
            recommendation.from_runs(
                [run], Job(Network.parse(network), rows, threads=threads), root=project / "results"
            )
            for threads in (1, 2)
        )
        assert {one.threads, *one.rows["threads"]} == {1}
        more_s = two.rows.set_index("backend")["step_s"]
        for backend, step_s in one.rows.set_index("backend")["step_s"].items():
            assert step_s > 0.6 * more_s[backend], (network, rows, backend)


def test_a_complete_grid_and_one_number_of_threads_stay_as_they_are():
    """Nothing is inferred where nothing was left out, or where nothing can be told."""
    for known in (cells({}), cells(dict.fromkeys(GRID, FOUND))):
        filled = with_inferred(known)
        assert len(filled) == len(known)
        assert not filled[INFERRED].any()
    apart = cells({SEARCHED: FOUND})
    apart = apart[(apart["threads"] == 1) | (apart["network"] == "3-2-1")]
    assert not with_inferred(apart)[INFERRED].any()


def searching(project: Path) -> list[results.Run]:
    """Return the stored runs that searched the number of threads."""
    found = [run for run in results.runs(project / "results") if run.manifest.get("plan", {}).get("thread_search")]
    assert found
    return found


def steps_of(run: results.Run) -> pd.DataFrame:
    """Return the rows of a run that a job's time comes from."""
    frame = load(run)
    return frame[(frame["dtype"] == "float32") & frame["phase"].isin(["step", "train"])]


def test_a_stored_run_is_never_told_faster_than_it_was(project: Path):
    """Of every shape that a campaign measured, each backend's cost is a measured one, with some number of threads.

    A few cells of one thread once promised a numpy step of 103 ns at 3-2-1, where it takes 8 us.
    """
    for run in searching(project):
        frame = steps_of(run)
        estimates = statistics.cell_estimates(frame[frame["arm"] == ""])
        least = np.exp(estimates[estimates["phase"] == "train"].groupby(["backend", "network", "batch"])["log_s"].min())
        shapes = list(dict.fromkeys(map(Shape, estimates["network"].astype(str), estimates["batch"].astype(int))))
        for shape, known in zip(shapes, costs.of_each(frame, shapes), strict=True):
            for cost in costs.with_best_threads(known, STEPS):
                assert cost.basis == MEASURED, (shape, cost.backend)
                assert np.median(cost.step_s) > 0.8 * least[cost.backend, *shape], (shape, cost.backend)


def test_a_shape_between_those_of_a_stored_run_takes_about_as_long_with_any_number_of_threads(project: Path):
    """Whatever the number of threads, no step is promised in less than a half of what the most take."""
    (run,) = [run for run in results.runs(project / "results") if run.manifest.get("plan", {}).get("thread_search")][
        -1:
    ]
    frame = load(run)
    frame = frame[(frame["dtype"] == "float32") & frame["phase"].isin(["step", "train"])]
    for shape in (Shape("4-8-1", 20), Shape("17-33-3", 5), Shape("5-20-2", 64), Shape("3-2-1", 300)):
        known = costs.costs(frame, [shape])
        most = {cost.backend: cost for cost in sorted(known, key=lambda cost: cost.threads)}
        for cost in known:
            assert np.median(cost.step_s) > 0.5 * np.median(most[cost.backend].step_s), (shape, cost.backend)
