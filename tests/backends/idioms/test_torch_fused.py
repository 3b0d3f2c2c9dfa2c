"""The step of `torch-fused` as it is written, without compiling it."""

from __future__ import annotations

import numpy as np
import pytest

import backends
from backends import ACTIVATIONS, LOSSES, Layer, Network

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")


@pytest.fixture(scope="module")
def torch_fused():
    """The module, whose import loads torch's compiler."""
    return pytest.importorskip("backends.idioms.torch_fused")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own, on import
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_written_out_are_those_of_numpy(torch_fused, activation, loss):
    """In float64, loss and gradients feature by feature equal those of the plain formulas, up to a few roundings."""
    random = np.random.default_rng(0)
    network = Network((3, 4, 2, 3), activation, loss)
    params = [Layer(random.normal(size=shape), random.normal(size=shape[0])) for shape in network.layer_shapes]
    x, y = random.normal(size=(20, 3)), random.dirichlet(np.ones(3), size=20)
    plain = backends.load("numpy-idiom", network, "float64")
    placed, batch = plain.place_params(params), plain.place_batch(x, y)
    expected_loss, expected = plain.backward(placed, batch, plain.forward(placed, batch))
    tensors = tuple((torch.tensor(w), torch.tensor(b)) for w, b in params)
    gradients, found = torch_fused.gradients_and_loss(network, tensors, torch.tensor(x), torch.tensor(batch.y))
    # Sums of at most 20 * 3 terms of magnitude below 100, three layers deep, on both sides.
    assert float(found) == pytest.approx(float(expected_loss), rel=2 * 3 * 60 * 2.0**-53)
    for got, layer in zip(gradients, expected, strict=True):
        for tensor, array in zip(got, layer, strict=True):
            np.testing.assert_allclose(tensor.numpy(), array, rtol=0, atol=2 * 3 * 60 * 100 * 2.0**-53)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_rational_tanh_keeps_the_allowance(torch_fused):
    """The tanh of float32 is odd, 1 where tanh rounds to 1, NaN for NaN, and within the kit's 4 ulp elsewhere."""
    tanh = torch_fused.ACTIVATIONS["tanh"][0]
    x = np.concatenate([np.linspace(0, 12, 200_001), np.logspace(-30, 0, 20_001)]).astype(np.float32)
    h = tanh(torch.tensor(x)).numpy()
    exact = np.tanh(x.astype(np.float64))
    assert (abs(h - exact) <= 2 * 4 * 2.0**-24 * exact).all()  # 2 T u |tanh|, as in backends.conformance
    np.testing.assert_array_equal(tanh(torch.tensor(-x)).numpy(), -h)
    assert (h[x >= 10] == 1).all()
    assert tanh(torch.tensor(float("nan"), dtype=torch.float32)).isnan()
