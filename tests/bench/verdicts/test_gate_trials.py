"""Trials of the gate: what is planted in a source, what counts as one gate, and going on with what is missing."""

import importlib.util
import shutil
import sys
import time

import pytest

from backends import Network
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


@pytest.mark.timing
def test_planted_source_computes_the_same_and_takes_its_share(tmp_path, monkeypatch):
    """The planted losses are the same; a share of 2 makes a step three times as long, four and a half if it is slow."""
    import numpy as np

    from backends import Layer

    rng = np.random.default_rng(0)
    shapes = [(2, 3), (1, 2)]
    params = [Layer(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in shapes]
    rows = rng.normal(size=(4096, 3)), rng.normal(size=(4096, 1))
    least_s, losses = {}, {}
    for name, share, slow_from in (("as it is", 0.0, "inf"), ("longer", 2.0, "inf"), ("slow", 2.0, "0")):
        monkeypatch.setenv(planted.SLOW_FROM, slow_from)
        backend = copied(tmp_path / name.replace(" ", "-"), share)
        placed, batch = backend.place_params(params), backend.place_batch(*rows)
        times_s = []
        for _ in range(60):
            begun_s = time.perf_counter()
            placed, losses[name] = backend.step(placed, batch, 1e-3)
            times_s.append(time.perf_counter() - begun_s)
        least_s[name] = min(times_s)
    assert losses["as it is"] == losses["longer"] == losses["slow"]
    assert least_s["longer"] > 2.5 * least_s["as it is"]
    assert least_s["slow"] > 1.2 * least_s["longer"]


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
