"""States of optimisers as a caller gives them: drawn, copied, flattened. No backend here.

Tests: `tests/backends/conformance/test_workload_claims.py`.
"""

from __future__ import annotations

import numpy as np

from backends.base import Array, Layer, Params, State
from backends.conformance.subject import Problem


def drawn_state(problem: Problem, updates: int, seed: int = 0) -> State:
    """Return a state of moments of all magnitudes, zeros among them; second moments are not negative."""
    rng = np.random.default_rng(updates + seed)

    def moment(name: str, shape: tuple[int, ...], first: Array) -> Array:
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 2, shape) * (rng.random(shape) < 0.8)
        spread = first**2 * 10.0 ** rng.integers(-1, 3, shape) if name == "v" else values
        return np.asarray(spread, problem.inputs.dtype)

    moments: dict[str, Params] = {}
    previous = tuple(Layer(np.ones(w.shape), np.ones(b.shape)) for w, b in problem.params)
    for name in problem.optimizer.moments:
        pairs = zip(problem.params, previous, strict=True)
        moments[name] = tuple(Layer(moment(name, w.shape, v), moment(name, b.shape, u)) for (w, b), (v, u) in pairs)
        previous = moments[name]
    return State(updates if problem.optimizer.counts_updates else 0, moments)


def copied_state(state: State | None) -> State | None:
    """Return a state in memory of its own."""
    if state is None:
        return None
    copies = {name: tuple(Layer(w.copy(), b.copy()) for w, b in moment) for name, moment in state.moments.items()}
    return State(state.updates, copies)


def moments_of(state: State | None) -> list[Array]:
    """Return every array of a state."""
    return [array for moment in state.moments.values() for layer in moment for array in layer] if state else []
