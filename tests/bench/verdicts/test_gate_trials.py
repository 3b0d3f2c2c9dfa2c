"""Trials of the gate: what is planted in a source, what counts as one gate, and going on with what is missing."""

import importlib.util
import shutil
import sys
import time

import numpy as np
import pytest

from backends import Layer, Network, load
from bench.cli import main
from bench.measure import planted
from bench.measure.base_code import CHECKOUT
from bench.verdicts import gate_trials
from bench.verdicts.gate_trials import FIVE, SAME, TEN

CONFIDENT = {"network": "3-2-1", "batch": 1, "ratio": 1.0, "low": 0.98, "high": 1.02}


def outcome(kind, failed=False, verdict="tie", network="3-2-1"):
    """Return the record of one gate of one cell."""
    cells = [{**CONFIDENT, "verdict": verdict}]
    return {"record": "gate", "kind": kind, "network": network, "failed": failed, "cells": cells, "load": 1.0}


def test_rates_count_gates_by_kind():
    """One false alarm of 20 passes and two fail; a planted 10 % must be found in nine of ten gates."""
    found = [outcome(TEN, failed=True, verdict="slower")] * 9 + [outcome(TEN)]
    assert gate_trials.rates("quiet", [outcome(SAME)] * 19 + [outcome(SAME, failed=True)] + found).passed
    assert not gate_trials.rates("quiet", [outcome(SAME)] * 18 + [outcome(SAME, failed=True)] * 2 + found).passed
    assert not gate_trials.rates("quiet", [*[outcome(SAME)] * 20, *found, outcome(TEN)]).passed


def test_planted_slow_down_called_faster_is_never_right():
    """A gate that calls code with a planted slow-down faster fails the certificate."""
    kept = [outcome(SAME)] * 20 + [outcome(FIVE)] * 20
    assert gate_trials.rates("quiet", kept).passed
    assert not gate_trials.rates("quiet", [*kept, outcome(FIVE, verdict="faster")]).passed


def test_gates_of_all_cells_are_counted_apart():
    """The judgement of a whole trial is no further gate of the same code."""
    kept = [outcome(SAME), outcome(f"{SAME}, all cells", failed=True, network="all")]
    assert gate_trials.rates("quiet", kept).counts[SAME] == 1
    assert gate_trials.rates("quiet", kept, ", all cells").failed[SAME] == 1


def copied(folder, share):
    """Return the numpy backend of a copy with a slow-down in its source."""
    shutil.copytree(CHECKOUT / "backends", folder / "backends", ignore=shutil.ignore_patterns("__pycache__"))
    planted.plant(folder, "numpy", share)
    spec = importlib.util.spec_from_file_location(
        f"planted_{share:g}".replace(".", "_"), folder / "backends/numpy_backend.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.NumpyBackend(Network((3, 2, 1)), "float64", "cpu")


class Clock:
    """A clock that moves on by a microsecond each time it is read, and when it is told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 1e-6
        return self.now_s


@pytest.mark.parametrize(
    ("share", "slow_from", "expected_s"),
    [(0.0, "inf", 1.0), (0.1, "inf", 1.1), (2.0, "inf", 3.0), (0.0, "0", 1.5), (2.0, "0", 4.5)],
)
def test_planted_source_computes_the_same_and_takes_its_share(tmp_path, monkeypatch, share, slow_from, expected_s):
    """A step of one second takes its share longer, and half as long again once it is slow; its loss is the same."""
    clock, rng = Clock(), np.random.default_rng(0)
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setenv(planted.SLOW_FROM, slow_from)
    params = [Layer(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in ((2, 3), (1, 2))]
    rows = rng.normal(size=(64, 3)), rng.normal(size=(64, 1))
    plain, slowed = load("numpy", Network((3, 2, 1)), "float64"), copied(tmp_path, share)
    monkeypatch.setattr(slowed, "synchronize", lambda: setattr(clock, "now_s", clock.now_s + 1.0))
    _, loss = plain.step(plain.place_params(params), plain.place_batch(*rows), 1e-3)
    begun_s = clock.now_s
    _, planted_loss = slowed.step(slowed.place_params(params), slowed.place_batch(*rows), 1e-3)
    assert clock.now_s - begun_s == pytest.approx(expected_s, abs=1e-3)
    assert planted_loss == loss


@pytest.fixture
def small(monkeypatch):
    """Trials of one cell and two processes a side."""
    monkeypatch.setattr(gate_trials, "NETWORKS", (Network((3, 2, 1)),))
    monkeypatch.setattr(gate_trials, "ROWS", (16,))
    monkeypatch.setattr(gate_trials, "PROCESSES", 2)
    monkeypatch.setattr(gate_trials, "TIMED_S", 0.005)


def test_gates_are_kept_and_only_the_missing_are_made(small, tmp_path, capsys):
    """A trial keeps its gates one by one, with their cells and their code; a second call makes no further one."""
    command = ["certify", "--gates", "1", "--planted", "1", "--condition", "competing", "--results", str(tmp_path)]
    assert main(command) in (0, 1)
    path = gate_trials.file_of("competing", tmp_path)
    kept = gate_trials.outcomes(path)
    assert [it["kind"] for it in kept] == [
        f"{kind}{suffix}" for kind in (SAME, TEN, FIVE) for suffix in ("", ", all cells")
    ]
    assert {it["network"] for it in kept} == {"3-2-1", "all"}
    assert all(cell["low"] < cell["ratio"] < cell["high"] for it in kept for cell in it["cells"])
    assert main(command) in (0, 1)
    assert gate_trials.outcomes(path) == kept
    assert f"{int(kept[0]['failed'])} of 1" in capsys.readouterr().out
