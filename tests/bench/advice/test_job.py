"""The question in full: threads, devices, inference, and a new batch for each step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backends import Network
from bench.advice import costs, recommendation
from bench.advice.job import Job
from bench.advice.phases import LEAST_ROUNDS
from bench.basics.errors import UsageError
from bench.terminal import recommending
from tests.bench import synthetic

NETWORK, ROWS = Network((3, 2, 1)), (1, 256, 65_536)
PHASES = ("place", "forward", "step", "train")
TIMES = ["median_s", "lower_quartile_s", "minimum_s"]


def faster(frame, factor, where=slice(None), **columns):
    """Return rows with some of their times multiplied, and other columns set."""
    made = frame.copy()
    made.loc[where, TIMES] *= factor
    for name in ("turn_s", "round_s"):
        made.loc[where, name] = made.loc[where, name].map(lambda times: [factor * time for time in times])
    return made.assign(**columns)


@pytest.fixture(scope="module")
def one():
    """Return rows of a run with one number of threads."""
    return synthetic.frame(
        networks=("3-2-1", "8-32-1"), batches=ROWS, phases=PHASES, processes=3, rounds=12, twin=None, failed=None
    )


@pytest.fixture(scope="module")
def searched(one):
    """Return rows of two numbers of threads: at few rows one thread takes half as long, at many twice as long."""
    many = one["batch"] == ROWS[-1]
    alone = faster(faster(one, 2.0, many), 0.5, ~many, threads=1)
    return pd.concat([one, alone], ignore_index=True)


def test_each_backend_gets_the_threads_that_it_is_fastest_with(searched):
    """One thread for few rows, two for many, in the answer, in every backend's row and in the text."""
    few = recommendation.from_rows(searched, Job(NETWORK, 1, 10_000_000))
    many = recommendation.from_rows(searched, Job(NETWORK, ROWS[-1], 10_000_000))
    assert (few.threads, many.threads) == (1, 2)
    assert few.searched_threads == (1, 2)
    assert set(few.rows["threads"]) == {1}
    text = recommending.headline(few)
    assert text.startswith(f"Use {few.backend} with 1 thread: ")
    assert f"backends.load('{few.backend}', Network((3, 2, 1)), threads=1)" in text


def test_a_number_of_threads_that_is_asked_for_is_the_only_one(searched):
    """``threads=2`` answers for two alone; a number that was not measured is answered for another, and noted."""
    found = recommendation.from_rows(searched, Job(NETWORK, 1, 10_000_000, threads=2))
    assert (found.threads, found.searched_threads) == (2, (2,))
    assert any("with 7 threads" in n for n in recommendation.from_rows(searched, Job(NETWORK, 1, threads=7)).notes)


def test_one_number_of_threads_is_noted_for_short_steps(one):
    """Where only two threads were measured and a step is short, the answer offers the search by name."""
    notes = " ".join(recommendation.from_rows(one, Job(NETWORK, 1)).notes)
    assert "Only 2 threads were measured, 1 may be faster: python -m bench run --threads 1,2" in notes
    large = " ".join(recommendation.from_rows(one, Job(Network((64, 64, 64, 1)), 1 << 20)).notes)
    assert "may be faster" not in large


def test_the_best_threads_along_the_rows_change_with_them(searched):
    """Along a grid of rows a backend's cost is that of its best number of threads at each."""
    shapes = [costs.Shape("3-2-1", rows) for rows in ROWS]
    every = [cost for cost in costs.costs(searched, shapes) if cost.backend == "numpy"]
    (best,) = costs.with_best_threads(every, steps=1e9)
    middles = [np.median(cost.step_s, axis=0) for cost in (*every, best)]
    assert middles[-1] == pytest.approx(np.minimum(*middles[:2]))


def test_devices_are_weighed_together(one):
    """A GPU that is slower at one row and faster at many is chosen only for many, copies to it included."""
    many = one["batch"] == ROWS[-1]
    gpu = faster(faster(one, 0.01, many), 50.0, ~many, device="cuda")[one["backend"] == "torch"]
    both = pd.concat([one, gpu.assign(place_s=gpu["place_s"] * 3)], ignore_index=True)
    few = recommendation.from_rows(both, Job(NETWORK, 1, 1_000_000))
    many_rows = recommendation.from_rows(both, Job(NETWORK, ROWS[-1], 1_000_000))
    assert (few.device, many_rows.device, many_rows.backend) == ("cpu", "cuda", "torch")
    assert many_rows.candidates == ("torch on cuda",)
    assert recommending.headline(many_rows).startswith("Use torch on cuda: ")
    assert recommendation.from_rows(both, Job(NETWORK, ROWS[-1], 1_000_000, device="cpu")).device == "cpu"


def test_inference_takes_placing_and_a_pass_forward_each_time(one):
    """A pass costs place + forward of the backend, and its 99th percentile is no less than that."""
    many = one.assign(round_s=one["round_s"].map(lambda times: [*times] * LEAST_ROUNDS))
    found = recommendation.from_rows(many, Job(NETWORK, 256, 1_000_000, phase="forward"))
    for row in found.rows.itertuples():
        truth = sum(synthetic.true_s(row.backend, "3-2-1", 256, phase) for phase in ("place", "forward"))
        assert row.step_s == pytest.approx(truth, rel=0.06)
        assert row.step_s < row.p99_s < 4 * row.step_s
        assert row.place_s + row.call_s == 0
    assert "1,000,000 passes with fresh inputs" in recommending.headline(found)


def test_a_percentile_of_few_rounds_is_not_known(one):
    """The slowest of one round in a hundred is not told from fewer rounds: no p99, and a note that says so."""
    few = one.assign(round_s=one["round_s"].map(lambda times: list(times)[:2]))
    found = recommendation.from_rows(few, Job(NETWORK, 256, 1_000_000, phase="forward"))
    assert found.rows["p99_s"].isna().all()
    assert any(note.startswith("p99 of ") and f"{LEAST_ROUNDS} rounds" in note for note in found.notes)


@pytest.mark.parametrize(
    ("dtype", "device", "said"),
    [
        ("float32", "cpu", "backends.load('numba', Network((3, 2, 1)), threads=2)"),
        ("float64", "cpu", "backends.load('numba', Network((3, 2, 1)), dtype='float64', threads=2)"),
        ("float32", "cuda", "backends.load('numba', Network((3, 2, 1)), device='cuda')"),
    ],
)
def test_the_call_that_loads_the_answer_has_its_dtype_and_device(one, dtype, device, said):
    """What is pasted from the answer computes in the dtype and on the device that were asked for."""
    rows = one.assign(dtype=dtype, device=device)
    found = recommendation.from_rows(rows, Job(NETWORK, 256, 10**9, dtype=dtype, device=device))
    assert f"Set it: {said}" in " ".join(recommending.headline(found).split())


def test_a_new_batch_each_step_is_placed_each_step(one):
    """``fresh`` costs place + step, so that a backend which places slowly may lose."""
    found = recommendation.from_rows(one, Job(NETWORK, 256, 1_000_000, fresh=True))
    for row in found.rows.itertuples():
        truth = sum(synthetic.true_s(row.backend, "3-2-1", 256, phase) for phase in ("place", "step"))
        assert row.step_s == pytest.approx(truth, rel=0.06)


def test_a_run_without_the_phases_is_told_with_the_command_that_measures_them(one):
    """Inference from a run of steps alone names the phases to measure."""
    steps = one[one["phase"].isin(["step", "train"])]
    with pytest.raises(UsageError, match=r"place,forward .* python -m bench run --phases place,forward"):
        recommendation.from_rows(steps, Job(NETWORK, 256, phase="forward"))


@pytest.mark.parametrize(
    "wrong",
    [{"rows": value} for value in (0, 1.5, None, "100", float("nan"), float("inf"), 10**19, 10**5000)]
    + [{"steps": -1}, {"steps": "5"}, {"phase": "backward"}, {"dtype": "float16"}, {"device": "gpu"}, {"cache": "hot"}]
    + [{"threads": 0}, {"threads": "2"}],
    ids=lambda wrong: f"{wrong}"[:30] if "rows" not in wrong or not isinstance(wrong["rows"], int) else "rows",
)
def test_a_job_that_cannot_be_is_refused(wrong):
    """Rows below 1, steps below 0 and other words are errors, and so is what no run of a program ends."""
    with pytest.raises(ValueError, match=r"must be|may be up to 10\^18"):
        Job(**({"network": NETWORK, "rows": 1} | wrong))


def test_a_whole_number_may_be_a_float():
    """``1e6`` is a number of rows, and numpy's numbers are as well."""
    job = Job(NETWORK, 1e6, np.int64(10))
    assert (job.rows, job.steps) == (1_000_000, 10)
    assert type(job.rows) is type(job.steps) is int


def test_looking_for_a_stored_backend_imports_nothing(one, tmp_path, monkeypatch):
    """A package that only a stored run names is looked for without running its code."""
    package = tmp_path / "planted_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "inner.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    named = one.assign(backend=one["backend"].replace("torch", "planted_package.inner:Backend"))
    found = recommendation.from_rows(named, Job(NETWORK, 256))
    assert "planted_package.inner:Backend" in set(found.rows["backend"])
