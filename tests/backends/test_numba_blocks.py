"""How numba's kernels cut a batch, and that every way of cutting is right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backends
from backends import Adam, Layer, Momentum, Network, Optimizer, State
from backends.conformance import check, check_cell
from backends.conformance.cases import Case
from backends.conformance.determinism import THREAD_VARIABLES
from backends.numba_blocking import (
    FEW_ROWS,
    LEAST_CHUNKS,
    MOST_WIDE_ROWS,
    SCRATCH_BYTES,
    SHORT_ROWS,
    TILE_ROWS,
    blocking,
    scratch_length,
)

pytest.importorskip("numba", reason="numba is not installed: pip install -e '.[numba]'")


@pytest.mark.parametrize(
    ("network", "family", "rows"),
    [
        ("3-2-1", "registers", 4096),
        ("8-32-1", "blocks", 480),
        ("65-67-9", "blocks", 448),
        ("784-512-10", "wide", 512),
        ("2000-2000-1", "huge", 4096),
    ],
)
def test_wider_layers_have_another_family_of_kernels(
    network: str, family: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registers, tiles, products of one thread by the BLAS, and products that all its threads share."""
    monkeypatch.setattr("backends.numba_blocking.l2_cache_bytes", lambda: 1 << 20)
    cut = blocking(Network.parse(network), np.float32)
    assert (cut.family, cut.rows) == (family, rows)


def test_blocks_fit_into_the_l2_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller cache gives shorter blocks, down to a least length."""
    rows = []
    for size in (1 << 21, 1 << 20, 1 << 19, 1 << 12):
        monkeypatch.setattr("backends.numba_blocking.l2_cache_bytes", lambda size=size: size)
        rows.append(blocking(Network((64, 64, 64, 1)), np.float32).rows)
    assert rows == [480, 384, 192, 64]


@pytest.mark.parametrize("width", range(100, 3000, 100))
def test_scratch_of_all_chunks_stays_within_its_bytes(width: int) -> None:
    """However wide the layers; and threads share the blocks wherever eight chunks fit."""
    network = Network((width, width, 1))
    cut = blocking(network, np.float64)
    scratch_bytes = scratch_length(network, MOST_WIDE_ROWS) * 8
    assert (cut.family == "huge") == (LEAST_CHUNKS * scratch_bytes > SCRATCH_BYTES)
    assert cut.family == "huge" or cut.chunks * scratch_bytes <= SCRATCH_BYTES


@pytest.mark.parametrize("network", ["3-2-1", "8-32-1", "784-512-10", "2000-2000-1"])
@pytest.mark.parametrize("n", [1, 63, 64, 257, 480, 481, 513, 1024, 4097, 65_537])
def test_blocks_are_even_and_hold_every_row(network: str, n: int) -> None:
    """No block is longer than the most, the last one is not empty, and little of it is filled up."""
    cut = blocking(Network.parse(network), np.float32)
    rows = cut.cut(n)
    blocks = -(-n // rows)
    assert rows <= cut.rows
    assert (blocks > 1) == (n >= cut.split_from or n > cut.rows)
    assert rows % TILE_ROWS == 0
    assert blocks * rows - n < TILE_ROWS * blocks


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 8, 9, SHORT_ROWS, SHORT_ROWS + 1])
def test_few_rows_are_right(rows: int, dtype: str) -> None:
    """Whether products are made row by row, by short tiles or by tiles, and whether they fill a vector or not."""
    problem = Case.parse(f"17-13-9-3/n={rows}/normal").problem(dtype)
    backend = backends.load("numba", problem.network, dtype)
    assert backend.place_batch(problem.inputs, problem.targets).products == (
        "rows" if rows <= FEW_ROWS else "short" if rows <= SHORT_ROWS else "tiles"
    )
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["130-140-10/n=129/normal", "130-140-10/n=8705/normal", "784-512-10/n=5500/normal"])
def test_blocks_of_wide_layers_are_right(case: str, dtype: str) -> None:
    """Two blocks; eighteen, more than there are chunks; sixteen, as many in float32 and more in float64."""
    report = check("numba", dtype=dtype, cases=(Case.parse(case),), claims=("weights gradients", "step"))
    assert report.passed, report


def test_huge_layers_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks, one after the other, where all threads share each product; bits may then depend on their number.

    With little scratch layers are huge from 150 units on, and sooner judged.
    """
    assert "threads" not in backends.load("numba", Network((1500, 1500, 2))).capabilities.deterministic
    monkeypatch.setattr("backends.numba_blocking.SCRATCH_BYTES", 1 << 20)
    assert blocking(Network((150, 150, 2)), np.float32).family == "huge"
    report = check("numba", cases=(Case.parse("150-150-2/n=4097/normal"),), claims=("weights gradients", "step"))
    assert report.passed, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [Momentum(), Adam()], ids=str)
def test_first_moments_without_gradients_reach_zero(optimizer: Optimizer, dtype: str) -> None:
    """Rounding to nearest would keep 4 units of the last place for ever, and each update would be slow."""
    network = Network((3, 2, 1))
    backend = backends.load("numba", network, dtype, optimizer=optimizer)
    units = [Layer(np.full((o, i), 4.0), np.full(o, -4.0)) for o, i in network.layer_shapes]
    least = np.finfo(dtype).smallest_subnormal
    moment = [Layer(layer.weights * least, layer.biases * least) for layer in units]
    params = backend.place_params(units, State(0, dict.fromkeys(optimizer.moments, moment)))
    gradients = np.zeros(network.parameter_count, dtype)
    left = []
    for _ in range(4):
        params = backend.update(params, gradients, 0.01)
        first = backend.fetch_state(params).moments[optimizer.moments[0]][0]
        left.append({float(value / least) for part in first for value in part.ravel()})
    assert left == [{3, -3}, {2, -2}, {1, -1}, {0}]


def test_scratch_of_another_batch_is_never_read() -> None:
    """A long batch, a short one, other parameters and the long one again: bits as if each were alone."""
    network, rng = Network((130, 140, 10)), np.random.default_rng(0)
    drawn = [
        [Layer(rng.standard_normal(shape).astype("f") / 12, np.zeros(shape[0], "f")) for shape in network.layer_shapes]
        for _ in range(2)
    ]
    batches = [
        (rng.standard_normal((n, 130)).astype("f"), rng.standard_normal((n, 10)).astype("f")) for n in (3000, 50)
    ]
    shared = backends.load("numba", network)
    for params in drawn:
        for x, y in (*batches, batches[0]):
            answers = []
            for backend in (shared, backends.load("numba", network)):
                trained, losses = backend.train(backend.place_params(params), backend.place_batch(x, y), 0.01, 3)
                answers.append((trained.flat.tobytes(), losses.tobytes()))
            assert answers[0] == answers[1]
            stepped = shared.place_params(params)
            for _ in range(3):
                stepped, _ = shared.step(stepped, shared.place_batch(x, y), 0.01)
            assert stepped.flat.tobytes() == answers[0][0]


@pytest.mark.parametrize("rows", [50, 700], ids=["one block", "blocks"])
def test_a_batch_in_turns_is_whose_step_it_is(rows: int) -> None:
    """Two backends take steps of two parameters on one batch, in turns: bits as if each step had its own batch."""
    network, rng = Network((8, 32, 1)), np.random.default_rng(0)
    x, y = rng.standard_normal((rows, 8)), rng.standard_normal((rows, 1))
    drawn = [
        [Layer(rng.standard_normal(shape), np.zeros(shape[0])) for shape in network.layer_shapes] for _ in range(2)
    ]
    loaded = [backends.load("numba", network, optimizer=Momentum(factor)) for factor in (0.5, 0.9)]
    batch = loaded[0].place_batch(x, y)
    shared, apart = ([loaded[0].place_params(params) for params in drawn] for _ in range(2))
    for backend, which in 2 * [(loaded[0], 0), (loaded[0], 1), (loaded[1], 1), (loaded[1], 0)]:
        backend.step(shared[which], batch, 0.01)
        backend.step(apart[which], backend.place_batch(x, y), 0.01)
    for of_turn, of_step in zip(shared, apart, strict=True):
        assert of_turn.flat.tobytes() == of_step.flat.tobytes()


BITS = """
import sys, numpy as np, backends
network = backends.Network.parse(sys.argv[1])
rng = np.random.default_rng(0)
params = [backends.Layer(rng.standard_normal(s).astype("f") / 30, np.zeros(s[0], "f")) for s in network.layer_shapes]
backend = backends.load("numba", network)
for n in map(int, sys.argv[2:]):
    batch = backend.place_batch(rng.standard_normal((n, network.inputs)), rng.standard_normal((n, network.outputs)))
    print(hash(backend.train(backend.place_params(params), batch, 0.01, 2)[0].flat.tobytes()))
"""


def test_large_products_do_not_depend_on_the_number_of_threads() -> None:
    """Neither in one block nor in several: the bits of three batches."""
    root = str(Path(__file__).resolve().parents[2])
    bits = []
    for threads in ("1", "2"):
        variables = dict.fromkeys(THREAD_VARIABLES, threads)
        environment = {**os.environ, **variables, "PYTHONHASHSEED": "0", "PYTHONPATH": root}
        command = [sys.executable, "-c", BITS, "784-512-10", "50", "100", "300"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        bits.append(done.stdout.split())
    assert bits[0] == bits[1]
    assert len(set(bits[0])) == 3


def test_loops_of_llvm_fill_whole_registers() -> None:
    """As formulas of `Lanes` do; by its own choice LLVM takes half of a register of Intel's servers."""
    from numba import njit, types

    from backends.numba_lanes import register_bytes, whole_registers

    @njit(types.void(types.CPointer(types.float32), types.intp), error_model="numpy")
    def double(numbers: Any, count: int) -> None:
        whole_registers()
        for k in range(count):
            numbers[k] += numbers[k]

    (code,) = double.inspect_llvm().values()
    assert f"load <{register_bytes() // 4} x float>" in code
