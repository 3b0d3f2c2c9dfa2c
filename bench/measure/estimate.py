"""About what a call takes, before anything was measured. Only for plans and progress."""

from __future__ import annotations

from backends import Network
from bench.work import flop

FLOP_S, VALUE_S, CALL_S = 1 / 3e10, 2e-9, 20e-6


def step_s(network: Network, batch: int) -> float:
    """Return roughly what a step takes."""
    return CALL_S + batch * VALUE_S * sum(network.sizes) + flop(network, batch) * FLOP_S


def phase_s(network: Network, batch: int, phase: str) -> float:
    """Return roughly what a call of a phase takes; a call of ``train`` has as many steps as a few milliseconds hold."""
    one_s = step_s(network, batch)
    if phase == "train":
        return max(one_s, 3e-3)
    return one_s * {"step": 1.0, "update": 0.01, "place": 0.2}.get(phase, 0.5)
