"""What numpy's blocks cost in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import backends
from backends import Layer, Network


@pytest.mark.parametrize("sizes", [(3, 2, 1), (8, 32, 1), (32, 64, 1)])
def test_large_batch_needs_less_than_three_times_its_bytes(sizes: tuple[int, ...]) -> None:
    """The placed batch and all scratch of a step together: scratch belongs to threads, not to blocks."""
    network = Network(sizes)
    inputs, targets = (np.ones((1 << 20, size), np.float32) for size in (network.inputs, network.outputs))
    backend = backends.load("numpy", network)
    params = backend.place_params([Layer(np.zeros(shape), np.zeros(shape[0])) for shape in network.layer_shapes])
    tracemalloc.start()
    backend.step(params, backend.place_batch(inputs, targets), 1e-3)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes <= 3 * (inputs.nbytes + targets.nbytes)
