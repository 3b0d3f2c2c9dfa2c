"""What only the PyTorch backend has to hold, whichever library of torch's does the work and however torch is set."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import backends
from backends import Layer, Network
from backends.conformance import check
from backends.conformance.bounds import TANH_ULP

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")
torch_backend = pytest.importorskip("backends.torch_backend")
torch_batch = pytest.importorskip("backends.torch_batch")
torch_kernels = pytest.importorskip("backends.torch_kernels")


@pytest.mark.parametrize(("tanh", "product"), [(0, 0), (1 << 62, 1 << 62)], ids=["oneDNN", "BLAS"])
def test_every_library_and_blocks_of_any_length_pass_the_kit(monkeypatch, tanh, product):
    """Whether oneDNN or the BLAS does all of it, in blocks of a few rows on all threads, every claim holds."""
    monkeypatch.setattr(torch_backend, "ONEDNN_TANH", tanh)
    monkeypatch.setattr(torch_backend, "ONEDNN_PRODUCT", product)
    monkeypatch.setattr(torch_batch, "LEAST_ROWS", 7)
    monkeypatch.setitem(torch_batch.BLOCK_BYTES, "cpu", 4096)
    claims = ("outputs", "loss", "weights gradients", "biases gradients", "update", "step", "train", "sign", "values")
    report = check("torch", claims=(*claims, "layouts", "state", "laws"), quick=True)
    assert report.passed, report.worst


def test_large_layers_go_to_onednn_where_it_wins(monkeypatch):
    """The large cases of the kit take the products and the tanh of oneDNN, so that `check` proves these too; on Intel's
    processors, where MKL is faster, they take none.
    """
    taken = []
    linear = torch_backend.onednn_linear
    monkeypatch.setattr(torch_backend, "onednn_linear", lambda *call: taken.append(call[3]) or linear(*call))
    assert check("torch", claims=("step",)).passed
    wins = torch_backend.has_onednn("float32", "cpu") and not torch_backend.MKL_AT_HOME
    assert set(taken) == ({"none", "tanh"} if wins else set())


def _precisions():
    """Return what the switches say, of all libraries or of one."""
    switch = getattr(torch.backends.mkldnn, "matmul", None)
    return getattr(switch, "fp32_precision", None) or torch.get_float32_matmul_precision()


def _reduced_for_all(precision):
    """Ask for less precision as torch always could; return what puts it back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    return lambda: torch.set_float32_matmul_precision(before)


def _reduced_for_one(precision):
    """Ask one library for less precision, as torch can from 2.9; return what puts it back."""
    switch = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(switch, "fp32_precision"):
        pytest.skip("this torch has one switch for all libraries")
    before = switch.fp32_precision
    switch.fp32_precision = precision
    return lambda: setattr(switch, "fp32_precision", before)


@pytest.mark.parametrize(
    ("reduce", "precision"), [(_reduced_for_all, "high"), (_reduced_for_all, "medium"), (_reduced_for_one, "bf16")]
)
def test_reduced_precision_of_the_process_changes_no_bit(reduce, precision):
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
    put_back = reduce(precision)
    try:
        asked = _precisions()
        got = results()
        assert _precisions() == asked
    finally:
        put_back()
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU is seen by torch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("sizes", "n"), [((3, 2, 1), 64), ((7, 9, 8, 2), 70)], ids=["one block", "blocks"])
def test_recorded_steps_equal_launched_ones_bit_for_bit(monkeypatch, sizes, n, dtype):
    """On a GPU, `train` by a CUDA graph returns the losses and parameters of single steps; again and again, for other
    parameters, rates and numbers of rows, and in blocks of which the last is shorter.
    """
    monkeypatch.setattr(torch_batch, "LEAST_ROWS", 32 if n > 64 else 1 << 13)
    monkeypatch.setitem(torch_batch.BLOCK_BYTES, "cuda", 1 if n > 64 else 1 << 29)
    random = np.random.default_rng(0)
    network = Network(sizes)
    backend = backends.load("torch", network, dtype, "cuda")
    for rows, rate in ((n, 1e-3), (n - 5, 1e-2), (n, 1e-3)):
        start = [Layer(random.normal(size=(o, i)), random.normal(size=o)) for o, i in network.layer_shapes]
        batch = backend.place_batch(random.normal(size=(rows, sizes[0])), random.normal(size=(rows, sizes[-1])))
        found = []
        for captured in (1, 1 << 62):
            backend.captured_steps = captured
            params, losses = backend.train(backend.place_params(start), batch, rate, 20)
            params, loss = backend.step(params, batch, rate)
            arrays = (array for layer in backend.fetch(params) for array in layer)
            found.append([losses, np.array(float(loss)), *arrays])
        for recorded, launched in zip(*found, strict=True):
            np.testing.assert_array_equal(recorded, launched)


def test_blocks_on_threads_leave_the_number_of_threads_as_it_was():
    """Two threads take the blocks of a batch, each with one thread of torch, and afterwards torch has two again."""
    before = torch.get_num_threads()
    backend = backends.load("torch", Network((3, 2, 1)), threads=2)
    seen = []
    try:
        rows = backend.block_rows + 1
        batch = backend.place_batch(np.zeros((rows, 3), np.float32), np.zeros((rows, 1), np.float32))
        assert len(batch.blocks) == 2
        both = threading.Barrier(2, timeout=10)

        def work(blocks):
            both.wait()
            seen.append((list(blocks), torch.get_num_threads()))

        backend._batches.map(work, batch)
        assert sorted(seen) == [([0], 1), ([1], 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("sizes", "blocks"), [((3, 2, 1), 8), ((17, 33, 1), 4)], ids=["narrow", "wider"])
def test_blocks_of_a_long_batch_have_half_the_bytes_if_that_leaves_them_rows(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], blocks: int
) -> None:
    """Four full blocks of a narrow network are cut into eight, those of a wider one stay, and one is not cut."""
    monkeypatch.setitem(torch_batch.BLOCK_BYTES, "cpu", 8 << 20)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    backend = backends.load("torch", Network(sizes))
    i, o = sizes[0], sizes[-1]

    def cut(rows: int) -> int:
        return len(backend.place_batch(np.zeros((rows, i), np.float32), np.zeros((rows, o), np.float32)).blocks)

    assert (cut(4 * backend.block_rows), cut(backend.block_rows)) == (blocks, 1)


def test_tanh_in_float64_is_within_its_bound_for_any_number() -> None:
    """Many values at a time, from the least numbers to infinities, are within 4 ulp, signs of zero and NaN kept."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(4 * torch_kernels.TANH_BY_EXPM1) * np.exp2(
        rng.uniform(-1060, 12, 4 * torch_kernels.TANH_BY_EXPM1)
    )
    ends = np.array([0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, np.inf, -np.inf, np.nan])
    z = np.concatenate([spread, rng.uniform(-25, 25, torch_kernels.TANH_BY_EXPM1), ends])
    got = torch.from_numpy(z.copy())
    torch_kernels.ACTIVATIONS["tanh"].activate(got)
    exact = np.tanh(z.astype(np.longdouble))
    assert np.array_equal(np.signbit(got.numpy()[:-1]), np.signbit(z[:-1]))
    assert np.isnan(got.numpy()[-1])
    assert (np.abs(got.numpy() - exact)[:-1] <= TANH_ULP * np.spacing(np.abs(exact[:-1].astype(float)))).all()


@pytest.mark.parametrize("rows", [2047, 2048, 5000])
def test_transposed_gradients_in_float64_are_those_of_the_product(rows: int) -> None:
    """On both sides of the number of rows from which they are computed transposed they are within what sums round."""
    network, rng = Network((40, 64, 10)), np.random.default_rng(0)
    params = [Layer(rng.standard_normal((o, i)) / i, rng.standard_normal(o)) for o, i in network.layer_shapes]
    x, y = rng.standard_normal((rows, 40)), rng.standard_normal((rows, 10))
    gradients = []
    for name in ("torch", "numpy"):
        backend = backends.load(name, network, "float64")
        placed, batch = backend.place_params(params), backend.place_batch(x, y)
        gradients.append(backend.fetch(backend.backward(placed, batch, backend.forward(placed, batch))[1]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours.weights, theirs.weights, rtol=0, atol=rows * 2**-53)
        np.testing.assert_allclose(ours.biases, theirs.biases, rtol=0, atol=rows * 2**-53)
