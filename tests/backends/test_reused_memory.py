"""Memory of large arrays is used again when they are gone, and not before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

import backends
from backends import Layer, Network, layout, reused_memory

pytestmark = pytest.mark.skipif(not reused_memory.POSSIBLE, reason="this system has no MADV_FREE")

SIZE = 2 * reused_memory.LEAST_BYTES


@pytest.fixture(autouse=True)
def none_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without memory that waits; end without what the test left, and look for that among new objects alone."""
    monkeypatch.setattr(reused_memory, "_waiting", [])
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()


def place_of(array: np.ndarray) -> int:
    """Return the address of an array."""
    return int(array.ctypes.data)


def test_memory_is_used_again_when_the_last_view_is_gone() -> None:
    """A view keeps the memory of its array; after it the next array of about the size has that memory."""
    array = reused_memory.empty_bytes(SIZE)
    place, view = place_of(array), array[SIZE // 2 :].view(np.float32)
    view[:] = 7
    del array
    other = reused_memory.empty_bytes(SIZE)
    other[:] = 1
    assert place_of(other) != place
    assert (view == 7).all()
    del view
    assert place_of(reused_memory.empty_bytes(SIZE - 1)) == place


def test_memory_that_is_much_too_long_waits_on() -> None:
    """A piece is not given to an array of half its size, and is there for one of its own."""
    place = place_of(reused_memory.empty_bytes(2 * SIZE))
    small = reused_memory.empty_bytes(SIZE)
    assert place_of(small) != place
    assert place_of(reused_memory.empty_bytes(2 * SIZE)) == place


def test_few_pieces_wait() -> None:
    """Of more arrays than wait only the last few that died are kept."""
    arrays = [reused_memory.empty_bytes(SIZE) for _ in range(reused_memory.MOST_PIECES + 3)]
    assert len({place_of(array) for array in arrays}) == len(arrays)
    arrays.clear()
    assert len(reused_memory._waiting) == reused_memory.MOST_PIECES


@pytest.mark.parametrize("shape", [(10, 3), (SIZE // 4 // 5, 5)])
def test_memory_for_arrays_starts_on_a_cache_line_and_can_be_written(shape: tuple[int, int]) -> None:
    """Small arrays, from malloc, and large ones hold what is written to them."""
    array = layout.aligned_empty(shape, np.dtype("float32"))
    array[:] = np.arange(array.size).reshape(shape)
    assert place_of(array) % layout.ALIGNMENT == 0
    np.testing.assert_array_equal(array, np.arange(array.size, dtype=np.float32).reshape(shape))


@pytest.mark.parametrize("inputs", [3, 40])
def test_a_batch_keeps_its_rows_while_others_come_and_go(backend_name: str, inputs: int) -> None:
    """A large batch has the same loss after others were placed and dropped, and after the caller's arrays changed."""
    network, rows = Network((inputs, 2, 1)), SIZE // 4 // inputs
    backend = backends.load(backend_name, network)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, inputs)).astype(np.float32), rng.normal(size=(rows, 1)).astype(np.float32)
    params = [Layer(rng.normal(size=(o, i)), rng.normal(size=o)) for o, i in network.layer_shapes]
    given = x.copy(), y.copy()

    def loss(batch: object) -> float:
        placed = backend.place_params(params)
        return float(backend.backward(placed, batch, backend.forward(placed, batch))[0])

    batch = backend.place_batch(x, y)
    before = loss(batch)
    for factor in (2, 3, 5):
        assert loss(backend.place_batch(factor * x, y)) != before
    x *= 0
    y *= 0
    assert loss(batch) == before
    assert loss(backend.place_batch(*given)) == before
