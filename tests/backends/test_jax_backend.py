"""What JAX compiles, and when."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import backends
from backends import Layer, Network

jax = pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[jax]'")

NETWORK = Network((3, 2, 1))


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """A list that grows with each compilation."""
    events: list[str] = []

    def listen(event: str, duration_s: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_only_kernels_compile(compiled: list[str]) -> None:
    """Placing a batch, short or cut into blocks, compiles nothing; the first step of a shape does, the second not."""
    backend = backends.load("jax", NETWORK)
    params = [Layer(np.full(shape, 0.1, "float32"), np.zeros(shape[0], "float32")) for shape in NETWORK.layer_shapes]
    placed = backend.place_params(params)
    for rows in (5, 2 * backend.block_rows + 7):
        batch = backend.place_batch(np.ones((rows, 3), "float32"), np.ones((rows, 1), "float32"))
        backend.synchronize()
        assert compiled == []
        placed, _ = backend.step(placed, batch, 0.01)
        assert len(compiled) == 1
        placed, _ = backend.step(placed, batch, 0.01)
        assert len(compiled) == 1
        compiled.clear()
