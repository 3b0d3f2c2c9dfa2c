"""A batch larger than memory: its chunks are in a temporary file, in the layout of the backend, and read at every step.

Each chunk is cut into pieces of equal length. A piece is placed once, and the placed memory is written to the file. A
step reads one piece after the other into memory that is reused; a thread reads the next piece while the backend
computes on the present one. So two pieces are in memory at a time, and two last ones if those are shorter.

Tests: `tests/backends/test_chunks.py`.
"""

from __future__ import annotations

import ctypes
import gc
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.backend import Backend
from backends.network import Array

PIECE_ROWS, PIECE_BYTES = 1 << 15, 1 << 22
"""The most rows of a piece, and its bytes if these are more rows: short enough that two of them are little memory, and
long enough that computing on one takes much longer than handing it over.
"""
LENGTHS = 2
"""Lengths of pieces that memory is kept for: that of most, and that of the last."""


class Share(NamedTuple):
    """Rows of a batch, placed.

    Attributes:
        batch: the backend's own; ``None`` for no rows if the backend cannot place them.
        scale: what the backend's message is multiplied by, 1 if the backend divides by the rows of the whole batch.
    """

    batch: Any
    scale: float


class Place(NamedTuple):
    """Memory that a piece is read into: the share whose memory it is, or host arrays that are placed anew each time."""

    share: Share | None
    arrays: Sequence[Array]


class Chunks:
    """Shares of a batch, in a temporary file in the folder that `tempfile` uses (``TMPDIR``).

    Iterating yields each in turn; one is valid until the next is asked for.

    Args:
        backend: places the chunks.
        chunks: inputs and targets of each, read once, here; those without rows are left out.
        place: makes a share of inputs, targets and ``of``.

    Attributes:
        of: rows of the whole batch; to be set before iterating.
        rows: of each piece.

    Raises:
        OSError: the folder has no room for them.
    """

    def __init__(
        self,
        backend: Backend,
        chunks: Iterable[tuple[ArrayLike, ArrayLike]],
        place: Callable[[ArrayLike, ArrayLike, int], Share],
    ) -> None:
        self._backend, self._place = backend, place
        self._kept: tuple[dict[int, Place], dict[int, Place]] = {}, {}
        self._file = tempfile.TemporaryFile(prefix="chunks-")  # noqa: SIM115 - it lives as long as the batch
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = []
        self._piece = 0
        self.rows: list[int] = []
        self.of = 0
        for inputs, targets in chunks:
            if len(np.shape(inputs)) == 2 and np.shape(inputs)[0] == 0:
                continue
            self._write(inputs, targets)
            del inputs, targets  # else they are kept while the next chunk is made
        self._file.flush()
        _give_back()

    def __iter__(self) -> Iterator[Share]:
        if not self.rows:
            return
        with ThreadPoolExecutor(1, "chunks") as reader:
            place = self._memory(0)
            ahead = reader.submit(self._read, 0, place)
            for k in range(len(self.rows)):
                ahead.result()
                now = place
                if k + 1 < len(self.rows):
                    place = self._memory(k + 1)
                    ahead = reader.submit(self._read, k + 1, place)
                yield now.share or self._place(now.arrays[0], now.arrays[1], self.of)

    def _write(self, inputs: ArrayLike, targets: ArrayLike) -> None:
        """Write a chunk, in pieces as long as those of the first chunk."""
        x, y = self._backend.host_batch(inputs, targets)
        self._piece = self._piece or piece_rows(len(x), (x.nbytes + y.nbytes) // len(x))
        for start in range(0, len(x), self._piece):
            self._write_piece(x[start : start + self._piece], y[start : start + self._piece])

    def _write_piece(self, x: Array, y: Array) -> None:
        """Write rows as the backend places them, or row-major if its batches have no host memory."""
        self._starts.append(self._file.tell())
        self.rows.append(len(x))
        arrays = self._backend.host_memory(self._backend.place_batch(x, y))
        try:
            for array in (x, y) if arrays is None else arrays:
                self._file.write(_bytes(array))
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror}: a batch of more than {sum(self.rows[:-1]):,} rows does not fit into "
                f"{tempfile.gettempdir()}; set TMPDIR to a folder with more room",
            ) from error

    def _memory(self, number: int) -> Place:
        """Return the memory for a piece: that of another one than the piece before it, kept from step to step."""
        kept, rows = self._kept[number % 2], self.rows[number]
        if rows not in kept:
            if len(kept) == LENGTHS:
                kept.clear()
            network, dtype = self._backend.network, self._backend.dtype
            x = np.zeros((rows, network.inputs), dtype)
            y = np.full((rows, network.outputs), 1 / network.outputs, dtype)  # targets of any loss, until one is read
            share = self._place(x, y, self.of)
            arrays = self._backend.host_memory(share.batch)
            kept[rows] = Place(None, (x, y)) if arrays is None else Place(share, arrays)
            del x, y
            _give_back()
        return kept[rows]

    def _read(self, number: int, place: Place) -> None:
        self._file.seek(self._starts[number])
        for array in place.arrays:
            view = _bytes(array)
            if self._file.readinto(view) != len(view):
                raise OSError(f"the temporary file of {sum(self.rows):,} rows was cut short; place the batch anew")


def piece_rows(rows: int, row_bytes: int) -> int:
    """Return the rows of a piece: the chunk is cut into as few as need be, all of one length if it can be."""
    most = max(PIECE_ROWS, PIECE_BYTES // row_bytes)
    least = -(-rows // most)
    return next((rows // count for count in range(least, 2 * least) if rows % count == 0), most)


def _give_back() -> None:
    """Return freed memory to the system, which glibc would keep; with another C library do nothing."""
    gc.collect(0)  # JAX frees arrays whose memory it took over only when Python collects garbage
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _bytes(array: Array) -> memoryview:
    """Return the memory of a contiguous array."""
    return memoryview(array).cast("B")  # type: ignore[arg-type] # numpy's arrays are buffers
