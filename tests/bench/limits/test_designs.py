"""Designs of a backend are compared in turns, and the constants are put back."""

from __future__ import annotations

import importlib

import pytest

from backends.numpy_backend import NumpyBackend
from bench.limits import designs


@pytest.mark.parametrize("name", designs.TRIALS)
def test_each_trial_names_a_constant_at_its_value_of_the_project(name):
    """The first value of each trial is the one that the backend uses, unless this processor's is never."""
    trial = designs.TRIALS[name]
    module, _, rest = trial.constant.partition(":")
    pytest.importorskip(trial.backend)
    importlib.import_module(module)
    before = designs._exchange(trial.constant, None)
    designs._exchange(trial.constant, before)
    assert before in {trial.values[0], designs.NEVER} & set(trial.values)
    assert rest


def test_compare_sets_the_constant_while_a_design_works_and_puts_it_back(monkeypatch):
    """Each design's steps run with its value, in turns, and times are relative to the first."""
    from backends import threads

    seen = []
    step = NumpyBackend.step
    monkeypatch.setattr(NumpyBackend, "step", lambda *given: seen.append(threads.NEAR_BYTES) or step(*given))
    monkeypatch.setattr(designs, "LAP_S", 0)
    before = threads.NEAR_BYTES
    trial = designs.Trial("numpy", "backends.threads:NEAR_BYTES", (1 << 20, 1 << 17), (("3-2-1", 5000),))
    results = list(designs.compare(trial, laps=2))
    assert seen == [1 << 20, 1 << 20, 1 << 17] * 2  # the first arm does not count
    assert before == threads.NEAR_BYTES
    assert [result.value for result in results] == [1 << 20, 1 << 17]
    assert results[0].relative == 1
    assert results[1].relative == pytest.approx(results[1].cpu_s / results[0].cpu_s)
