"""What only the PyTorch backend has to hold: process-wide switches of torch change nothing."""

from __future__ import annotations

import numpy as np
import pytest

import backends
from backends import Layer, Network

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_reduced_precision_of_the_process_changes_no_bit(precision):
    """Products keep the precision of float32 where the process has asked torch for less, and the switch is put back."""
    random = np.random.default_rng(0)
    network = Network((64, 64, 8))
    backend = backends.load("torch", network)
    params = backend.place_params(
        [Layer(random.normal(size=(o, i)), random.normal(size=o)) for o, i in network.layer_shapes]
    )
    batch = backend.place_batch(random.normal(size=(256, 64)), random.normal(size=(256, 8)))

    def results():
        tape = backend.forward(params, batch)
        loss, gradients = backend.backward(params, batch, tape)
        arrays = [array for layer in backend.fetch(gradients) for array in layer]
        return [*backend.outputs(tape), np.array(float(loss)), *arrays]

    expected = results()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        got = results()
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)
