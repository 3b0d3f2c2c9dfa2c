"""What compiling costs a job, from first calls of shapes and phases that share code."""

import math

import numpy as np
import pandas as pd
import pytest

from bench.advice import compiling, costs
from tests.bench import synthetic


def test_a_warm_cache_costs_less_than_a_cold_one(known):
    """Compile times are those of the cache asked for, and a state that was not measured is not passed off as it."""
    cold, warm = (
        {job.backend: job for job in costs.costs(known, [("3-2-1", 16)], cache)} for cache in ("cold", "warm")
    )
    assert np.median(warm["numba"].compile_s) < 0.3 * np.median(cold["numba"].compile_s)
    only = costs.costs(known[known["cache"] == "cold"], [("3-2-1", 16)], "warm")
    assert {job.cache for job in only} == {"cold"}


def test_compiling_costs_what_the_first_cell_of_a_process_costs(known):
    """Later cells of a process reuse what the first one compiled: alone, each would pay it."""
    shared = known.copy()
    later = shared.duplicated(["backend", "arm", "process", "phase"])
    shared.loc[later, "compile_s"] = 0.0
    jobs = {job.backend: job for job in costs.costs(shared, [("64-64-64-1", 65_536)], "cold")}
    assert np.median(jobs["numba"].compile_s) == pytest.approx(1.5, rel=0.3)


def test_compiling_for_the_first_placing_is_compiling(known):
    """What compiling for placing took the process is added to the compile time of any of its shapes, once."""
    added = known.assign(place_compile_s=np.where(known["network"] == "3-2-1", 0.7, 0.0))
    for shape in (("3-2-1", 256), ("64-64-64-1", 256)):
        plain, with_placing = (
            next(cost for cost in costs.costs(rows, [shape], "cold") if cost.backend == "numba")
            for rows in (known, added)
        )
        assert np.median(with_placing.compile_s) - np.median(plain.compile_s) == pytest.approx(0.7, rel=0.1)
        assert np.median(with_placing.place_s) == pytest.approx(np.median(plain.place_s), rel=0.1)


def test_code_shared_by_shapes_is_paid_by_the_first_of_its_network(known):
    """What compiled next to nothing found it done: in its own network, or where that has nothing, at the dearest."""
    measured = [("3-2-1", 1, 0.4), ("3-2-1", 32, 0.0), ("8-32-1", 1, 1.3), ("8-32-1", 32, 0.02), ("4-4-1", 1, 0.0)]
    rows = pd.DataFrame(measured, columns=["network", "batch", "compile_s"])
    process = {"run": "r", "backend": "numba", "arm": "", "process": 0, "cache": "cold", "dtype": "float32"}
    found = compiling.compile_alone_s(rows.assign(**process, device="cpu", phase="step"))
    assert found.tolist() == [0.4, 0.4, 1.3, 1.3, 1.3]


def test_code_that_other_phases_compiled_is_paid_by_single_steps_too(known):
    """A pass forward that was called first bore the compiling; a step that compiled much itself keeps its seconds."""
    measured = [(1, "forward", 0.9), (1, "step", 0.01), (32, "forward", 0.3), (32, "step", 0.95), (64, "place", 7.0)]
    rows = pd.DataFrame([("3-2-1", *row) for row in measured], columns=["network", "batch", "phase", "compile_s"])
    process = {"run": "r", "backend": "numba", "arm": "", "process": 0, "cache": "cold", "dtype": "float32"}
    found = compiling.compile_alone_s(rows.assign(**process, device="cpu"))
    assert found.tolist() == [0.9, 0.9, 0.95, 0.95, 0.95]


def test_a_pass_forward_pays_for_code_that_a_step_compiled_before_it():
    """Steps are called first: inference alone would load and compile what they did."""
    measured = [("step", 0.16), ("forward", 0.009), ("update", 7.0)]
    rows = pd.DataFrame(measured, columns=["phase", "compile_s"]).assign(network="8-32-1", batch=1)
    process = {"run": "r", "backend": "numba", "arm": "", "process": 0, "cache": "warm", "dtype": "float32"}
    found = compiling.compile_alone_s(rows.assign(**process, device="cpu"), ("forward",))
    assert found.tolist() == [0.16, 0.16, 0.16]


def test_no_shape_compiles_faster_alone_than_the_first_of_its_process(known):
    """The first starts the framework as well, so a later one alone takes at least as long."""
    rows = pd.DataFrame([("3-2-1", 0.2), ("8-32-1", 0.05)], columns=["network", "compile_s"])
    process = {"run": "r", "backend": "jax", "arm": "", "process": 0, "cache": "warm", "dtype": "float32"}
    found = compiling.compile_alone_s(rows.assign(**process, device="cpu", phase="step", batch=1))
    assert found.tolist() == [0.2, 0.2]


def test_two_processes_that_happen_to_agree_are_not_sure_for_that():
    """The scatter of imports and compilations is partly known beforehand; many processes show their own."""
    rng = np.random.default_rng(0)
    few, many = (np.log(compiling.scattered(np.full(count, 0.3), rng)).std() for count in (2, 50))
    assert few == pytest.approx(0.15 * math.sqrt(0.5 / 1.5 / 2), rel=0.1)
    assert many < 0.003


def test_compiling_counts_whichever_of_step_and_train_bore_it(known):
    """A step called first compiles for the loop as well: the job pays it all the same."""
    cold = known.copy()
    cold.loc[cold["phase"] == "train", "compile_s"] = 1e-4
    (job,) = (job for job in costs.costs(cold, [("3-2-1", 256)], "cold") if job.backend == "numba")
    assert np.median(job.compile_s) == pytest.approx(synthetic.SPEEDS["numba"].compile_s, rel=0.2)
