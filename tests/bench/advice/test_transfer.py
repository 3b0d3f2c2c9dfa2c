"""Times of one machine carried over to another, judged by made-up machines whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends import Network
from bench.advice import recommendation, transfer
from bench.advice.job import Job
from bench.machine.speed import Speed
from bench.terminal import recommending
from tests.bench import synthetic

NETWORKS = ("3-2-1", "8-32-1", "64-64-64-1", "784-512-10")
ROWS = (1, 32, 1_024, 32_768)
THEN = Speed("", "x", {"1": {"calls": 1e6}, "2": {"product": 2e11, "tanh": 5e9, "bandwidth": 6e10}})


def machine(seed):
    """Return the speeds of a made-up machine: each kind of work faster or slower, and each backend in its own way."""
    rng = np.random.default_rng(seed)
    calls, tanh, product, bandwidth = np.exp(rng.uniform(-0.8, 0.8, 4))
    now = Speed(
        "",
        "x",
        {
            "1": {"calls": 1e6 / calls},
            "2": {"product": 2e11 / product, "tanh": 5e9 / tanh, "bandwidth": 6e10 / bandwidth},
        },
    )
    speeds = {}
    for name, speed in synthetic.SPEEDS.items():
        own = np.exp(0.2 * rng.standard_normal(5))
        speeds[name] = replace(
            speed,
            call_s=speed.call_s * calls * own[0],
            train_call_s=speed.train_call_s * calls * own[0],
            tanh_s=speed.tanh_s * tanh * own[1],
            flop_s=speed.flop_s * product * own[2],
            byte_s=speed.byte_s * bandwidth * own[3],
            import_s=speed.import_s * calls * own[4],
            compile_s=speed.compile_s * calls * own[4],
        )
    return now, speeds


def frame(networks, rows, **options):
    """Return rows of a run with little noise."""
    options = {"processes": 2, "rounds": 6, "twin": None, "failed": None, "phases": ("step", "train")} | options
    return synthetic.frame(networks=networks, batches=rows, **options)


def measured_at(shapes):
    """Return rows of one process a backend at some shapes alone."""
    rows = frame(tuple({shape.network for shape in shapes}), tuple({shape.rows for shape in shapes}), processes=1)
    return rows[[pair in shapes for pair in zip(rows["network"], rows["batch"], strict=True)]]


def regrets(rows, speeds, carried=None):
    """Return how much longer the recommended backend takes than the best on the second machine, over some jobs."""
    found = []
    for network in ("3-2-1", "300-200-10"):
        for count in (1, 20_000):
            for steps in (10, 100_000):
                said = recommendation.from_rows(rows, Job(Network.parse(network), count, steps), carried=carried)
                totals = {}
                for name, speed in speeds.items():
                    step_s = synthetic.true_s(name, network, count, "train")
                    totals[name] = speed.import_s + 0.15 * speed.compile_s + steps * step_s
                found.append(totals[said.backend] / min(totals.values()) - 1)
    return found


def test_carried_over_answers_are_near_the_best_of_the_other_machine(monkeypatch):
    """On made-up pairs of machines the recommended total is within 15 % of the best in at least 85 % of jobs."""
    then = frame(NETWORKS, ROWS)
    shapes = transfer.anchors(then, Job(Network((3, 2, 1)), 1))
    found = []
    for seed in (0, 1):
        now, speeds = machine(seed)
        with monkeypatch.context() as patch:
            patch.setattr(synthetic, "SPEEDS", speeds)
            measured = measured_at(shapes)
            carried = transfer.carried(then, THEN, now, measured, shapes[0])
            found += regrets(carried.rows, speeds, carried)
    assert np.mean(np.array(found) <= 0.15) >= 0.85


def test_times_at_an_anchor_are_those_measured_here(monkeypatch):
    """Where an anchor was measured the carried time is its own, within 10 %; the answer says where it comes from."""
    then = frame(NETWORKS, ROWS)
    now, speeds = machine(7)
    monkeypatch.setattr(synthetic, "SPEEDS", speeds)
    measured = frame(("8-32-1",), (1_024,), processes=1)
    job = Job(Network((8, 32, 1)), 1_024)
    carried = transfer.carried(then, THEN, now, measured, job.shape)
    said = recommendation.from_rows(carried.rows, job, carried=carried)
    for row in said.rows.itertuples():
        assert row.step_s == pytest.approx(synthetic.true_s(row.backend, "8-32-1", 1_024, "train"), rel=0.1)
        assert row.basis == "carried over"
    assert said.carried_from == "made-up-machine"
    assert "times of a step carried over from made-up-machine; run" in recommending.rests_on(said)


def test_a_run_without_a_speed_is_carried_by_its_anchors_alone(monkeypatch):
    """Runs of earlier versions have no probe: the anchors tell the common factor, and the interval says how sure."""
    then = frame(NETWORKS, ROWS)
    names = ("call_s", "train_call_s", "tanh_s", "flop_s", "byte_s")
    speeds = {
        name: replace(speed, **{field: 2 * getattr(speed, field) for field in names})
        for name, speed in synthetic.SPEEDS.items()
    }
    monkeypatch.setattr(synthetic, "SPEEDS", speeds)
    job = Job(Network((17, 33, 3)), 300, 100_000)
    shapes = transfer.anchors(then, job)
    measured = measured_at(shapes)
    carried = transfer.carried(then, Speed(), Speed(), measured, job.shape)
    plain = recommendation.from_rows(then, job)
    said = recommendation.from_rows(carried.rows, job, carried=carried)
    assert said.total_s == pytest.approx(2 * plain.total_s, rel=0.25)
    assert said.high_s / said.low_s > plain.high_s / plain.low_s


def test_anchors_are_short_and_common_to_all_backends():
    """At most three shapes, among them the least work, none longer than a few rounds allow."""
    then = frame(NETWORKS, (*ROWS, 1 << 20))
    shapes = transfer.anchors(then, Job(Network((3, 2, 1)), 1))
    assert ("3-2-1", 1) in shapes
    assert len(shapes) == 3
    known = then.set_index(["network", "batch"]).sort_index()
    assert all(known.loc[tuple(shape), "median_s"].max() < transfer.LONGEST_ANCHOR_S for shape in shapes)


def relative(carried, then):
    """Return by backend and shape how much longer a step takes than then, over the same of all backends (median)."""
    keys = ["backend", "network", "batch"]
    seconds = [
        rows[rows["phase"] == "train"].groupby(keys)["median_s"].median().unstack("backend")
        for rows in (carried.rows, then)
    ]
    factors = seconds[0] / seconds[1]
    return factors.div(factors.median(axis=1), axis=0)


def test_noise_of_the_anchors_changes_no_backend_much():
    """The same machine again, each process off by 10 %: backends are drawn together, far nearer than the anchors."""
    noise = synthetic.Noise(process=0.1)
    then = frame(NETWORKS, ROWS, noise=noise, processes=4)
    shapes = transfer.anchors(then, Job(Network((3, 2, 1)), 1))
    again = frame(NETWORKS, ROWS, noise=noise, processes=1, seed=5)
    measured = again[[pair in shapes for pair in zip(again["network"], again["batch"], strict=True)]]
    raw = np.log(measured["median_s"].to_numpy() / _then_at(then, measured))
    carried = np.log(relative(transfer.carried(then, THEN, THEN, measured, shapes[0]), then))
    assert carried.to_numpy().std() < 0.5 * raw.std()


def test_a_change_near_one_anchor_stays_there():
    """A backend twice as fast at one anchor and as fast as before at the others keeps its times far from it."""
    then = frame(NETWORKS, ROWS)
    shapes = transfer.anchors(then, Job(Network((3, 2, 1)), 1))
    rows = frame(NETWORKS, ROWS, processes=1, slower={("numba", *shapes[0]): 0.5})
    measured = rows[[pair in shapes for pair in zip(rows["network"], rows["batch"], strict=True)]]
    factors = relative(transfer.carried(then, THEN, THEN, measured, shapes[0]), then)["numba"]
    assert factors.loc[tuple(shapes[0])] == pytest.approx(0.5, rel=0.2)
    assert factors.loc["784-512-10", 1_024] == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize(("change", "expected"), [(1.25, 1.0), (4.0, 3.85)])
def test_a_rate_counts_as_far_as_it_exceeds_what_it_scatters(change, expected):
    """Bandwidth that neighbours take changes no time; four times the bandwidth is nearly four times the speed."""
    now = Speed("", "x", {"1": {"calls": 1e6}, "2": {"product": 2e11, "tanh": 5e9, "bandwidth": 6e10 * change}})
    factors = dict(zip(transfer.KINDS, transfer._rate_factors(THEN, now), strict=True))
    assert factors["bandwidth"] == pytest.approx(1 / expected, rel=0.02)
    assert factors["tanh"] == factors["product"] == factors["calls"] == 1.0


def _then_at(then, measured):
    """Return the median time then of each cell measured."""
    keys = ["backend", "network", "batch", "phase"]
    return measured[keys].merge(then.groupby(keys)["median_s"].median().reset_index(), on=keys)["median_s"].to_numpy()
