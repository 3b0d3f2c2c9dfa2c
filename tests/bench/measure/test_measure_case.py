"""`recommend --measure`: exactly one case, timed for real in fresh processes."""

import json

import pytest

from backends import Network
from bench import results
from bench.basics.errors import UsageError
from bench.basics.names import CASE
from bench.cli import main
from bench.measure import budget, estimate, measure_case
from bench.measure.pace import Pace
from bench.workload import memory
from tests.bench import synthetic


def test_the_case_is_measured_and_the_answer_rests_on_it(tmp_path, monkeypatch, capsys):
    """A case that no run holds is timed on what is here; the answer then says that it was measured."""
    monkeypatch.setattr(measure_case.contenders, "present", lambda *_: (("numpy",), []))
    monkeypatch.setattr(measure_case, "BUDGET_S", 4.0)
    synthetic.store(synthetic.frame(phases=("step", "train"), failed=None), tmp_path)
    arguments = ["--network", "1-2-1", "--batch", "7", "--steps", "10", "--measure", "--results", str(tmp_path)]
    main(["recommend", *arguments, "--threads", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    measured = results.resolve(found["runs"][-1], tmp_path)
    assert measured.purpose == CASE
    assert {row["backend"]: row["basis"] for row in found["rows"]}["numpy"] == "measured here"
    assert {(row.network, row.batch) for row in results.load(measured).itertuples()} == {("1-2-1", 7)}


@pytest.mark.parametrize(("sizes", "rows"), [((3, 2, 1), 1), ((64, 64, 64, 1), 10_000), ((784, 512, 10), 1_024)])
def test_a_case_is_planned_to_take_less_than_half_a_minute(monkeypatch, sizes, rows):
    """On four backends, with one thread and with all, the whole of it is estimated below 30 s, and so is its end."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)
    monkeypatch.setattr(measure_case.contenders, "present", lambda *_: (("numpy", "numba", "jax", "torch"), []))
    pace = Pace(start_s={name: 1.0 for name in ("numpy", "numba", "jax", "torch")})  # as after a first run
    plan = measure_case.plan_of_case(Network(sizes), rows, "float32", "cpu", None, pace)
    assert budget.estimate_s(plan, pace) <= measure_case.BUDGET_S < 30
    assert plan.timeout_s < 30
    assert plan.processes >= 1


def test_a_case_shows_compiling_with_the_cache_that_is_asked_for(monkeypatch):
    """A second process has a warm cache even on a machine where nothing ran yet; a cold one begins empty."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)
    monkeypatch.setattr(measure_case.contenders, "present", lambda *_: (("numpy", "numba", "jax", "torch"), []))
    for cache, own_cache in (("warm", False), ("cold", True)):
        plan = measure_case.plan_of_case(Network((3, 2, 1)), 1, "float32", "cpu", None, Pace(), cache=cache)
        assert plan.processes >= 2
        assert plan.own_cache == own_cache


def test_what_takes_too_long_or_too_many_threads_is_refused_before_it_starts(tmp_path, monkeypatch):
    """The error says how long it would take, and which command takes that long, on a machine with memory enough."""
    monkeypatch.setattr(memory, "free_bytes", lambda device="cpu": 1 << 40)
    with pytest.raises(UsageError, match=r"should take \d+ s.*python -m bench run --networks 784-512-10 --batches 2"):
        measure_case.measure_case(Network((784, 512, 10)), 200_000, root=tmp_path)
    with pytest.raises(UsageError, match="this process may use"):
        measure_case.measure_case(Network((3, 2, 1)), 1, threads=4096, root=tmp_path)
    assert not list(tmp_path.iterdir())
