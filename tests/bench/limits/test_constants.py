"""What a constant costs that is wrong by a factor."""

from __future__ import annotations

import importlib

import pytest

from bench.limits import constants
from bench.limits.constants import CONSTANTS, FACTORS, Constant


@pytest.mark.parametrize("name", CONSTANTS)
def test_each_constant_is_tried_at_its_factors(name: str) -> None:
    """The first value of its trial is the one that the backend uses, the others are multiples of the same type."""
    pytest.importorskip(CONSTANTS[name].backend)
    trial = CONSTANTS[name].trial()
    module, _, constant = trial.constant.partition(":")
    value = vars(importlib.import_module(module))[constant]
    assert trial.values == tuple(type(value)(value * factor) for factor in FACTORS)
    assert trial.values[0] == value


def test_costs_are_those_of_the_worst_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each factor shows the case in which it costs most, relative to the constant as it is."""
    constant = Constant("numpy", "backends.threads:MINIMUM_ROWS", (("3-2-1", 8), ("3-2-1", 16)))
    trial = constant.trial()

    def compare(trial: constants.Trial, laps: int) -> list[object]:
        from bench.limits.designs import Result

        relative = {"a": (1.0, 1.5, 1.1, 0.9, 1.0), "b": (1.0, 1.2, 1.3, 0.8, 2.0)}
        return [
            Result(case, value, by, by)
            for case in relative
            for value, by in zip(trial.values, relative[case], strict=True)
        ]

    monkeypatch.setattr(constants, "compare", compare)
    got = [(cost.factor, cost.relative, cost.case) for cost in constants.costs(constant, laps=1)]
    assert got == [(0.25, 1.5, "a"), (0.5, 1.3, "b"), (2.0, 0.9, "a"), (4.0, 2.0, "b")]
    assert len(trial.values) == len(FACTORS)
