"""A backend whose batches are shares: of the batch of all ranks, or of chunks that are read one after the other.

Each share gives one message, ``[gradients..., loss]``, already divided by the rows of the whole batch. So messages add
up: over chunks by ``+``, over ranks by one sum a step. No engine, no framework and no files here.

Tests: `tests/backends/test_shares.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.backend import Backend
from backends.chunks import Chunks, Share
from backends.errors import RanksError
from backends.network import Array, Layer, Params
from backends.optimizers import State
from backends.ranks import Alone, Ranks


class SharedBatch(NamedTuple):
    """What one rank has of a batch of ``of`` rows.

    Attributes:
        shares: what its messages are added up over.
        of: rows of the whole batch.
        rows: of each rank.
        whole: the backend's own batch of all rows, if one rank has them in one piece.
    """

    shares: Iterable[Share]
    of: int
    rows: tuple[int, ...]
    whole: Any = None


class Shares(Backend):
    """Adds up the shares of one batch around any backend: those of chunks, and those of all ranks.

    Losses are those of all rows of all ranks, and params the same bits on every rank. With more than one rank,
    `place_params`, `place_batch`, `backward`, `step` and `train` are collective: all ranks call them, in one order.
    What differs between ranks and must not, such as the network or the number of steps, is a `RanksError` on each.

    Args:
        backend: does the work; one without ``shares`` among its capabilities is scaled by rows / ``of`` here.
        ranks: those who have the other shares; by default this process is alone.
    """

    name: str  # type: ignore[misc] # that of the backend inside

    def __init__(self, backend: Backend, ranks: Ranks | None = None) -> None:
        self.inner, self.ranks = backend, ranks or Alone()
        self.name, self.capabilities = backend.name, backend.capabilities
        self.network, self.dtype, self.device = backend.network, backend.dtype, backend.device
        self.optimizer, self.threads = backend.optimizer, backend.threads
        self._scatters = self.ranks.size > 1
        if self._scatters:
            chosen = f"{self.name} {self.network} {self.dtype} {self.device} {self.optimizer}"
            self.ranks.agree("backend, network, dtype, device or optimizer", chosen)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the backend that does the work.

        Raises:
            TypeError: there are other ranks, whose connections are of this process.
        """
        if self._scatters:
            raise TypeError(
                f"a backend on {self.ranks.size} ranks cannot be pickled; in each process: "
                "backends.load(..., ranks=backends.join())"
            )
        return Shares, (self.inner,)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Place parameters, which must be the same on every rank."""
        placed = self.inner.place_params(params, state) if state is not None else self.inner.place_params(params)
        if self._scatters:
            self.ranks.agree("the parameters that training starts from", _digest(self.fetch(placed)))
        return placed

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Place this rank's rows, of which there may be none; ``of`` is the sum of the rows of all ranks.

        Raises:
            ValueError: as for any backend; with more than one rank, if no rank has a row.
        """
        n = np.shape(inputs)[0] if np.ndim(inputs) else 0
        if not self._scatters and of in (None, n):
            whole = self.inner.place_batch(inputs, targets)
            return SharedBatch([Share(whole, 1.0)], n, (n,), whole)
        rows, of = self._rows_of_all(n, of)
        return SharedBatch([self.place_share(inputs, targets, of)], of, rows)

    def place_chunks(self, chunks: Iterable[tuple[ArrayLike, ArrayLike]], of: int | None = None) -> SharedBatch:
        """Place this rank's rows chunk by chunk, in a temporary file: a batch larger than memory.

        ``step`` and ``train`` read the file once for each step, in pieces of 32,768 rows or 4 MiB, and add up the
        gradients of all. Memory for about two chunks is needed while they are placed, and later for two pieces and what
        the backend computes in; and room for all rows in the folder of `tempfile` (``TMPDIR``). Chunks of equal length
        are best, the last one shorter, of some ten thousand rows. Such a batch is taken whole: it has no
        ``rows_per_step``, `split` or `reorder`.

        Args:
            chunks: inputs ``[n, inputs]`` and targets ``[n, outputs]`` of each, read once, before this returns.
            of: rows of the whole batch, by default all of all ranks.

        Raises:
            ValueError: as `place_batch`.
            OSError: the folder has no room for the rows.
        """
        placed = Chunks(self.inner, chunks, self.place_share)
        rows, placed.of = self._rows_of_all(sum(placed.rows), of)
        return SharedBatch(placed, placed.of, rows)

    def place_share(self, inputs: ArrayLike, targets: ArrayLike, of: int) -> Share:
        """Place some rows of a batch of ``of``."""
        if self.inner.capabilities.shares:
            return Share(self.inner.place_batch(inputs, targets, of=of), 1.0)  # type: ignore[call-arg]
        x, _ = self.host_batch(inputs, targets, of)
        return Share(self.inner.place_batch(inputs, targets) if len(x) else None, len(x) / of)

    def forward(self, params: Any, batch: SharedBatch) -> list[Any]:
        """Return the tape of each share of this rank, ``None`` for one without rows."""
        return [
            share.batch if share.batch is None else self.inner.forward(params, share.batch) for share in batch.shares
        ]

    def backward(self, params: Any, batch: SharedBatch, tape: list[Any]) -> tuple[Any, Any]:
        """Return loss and gradients of all rows of all ranks; without the tape, which a message does not need."""
        return self.gradients(params, batch)

    def update(self, params: Any, gradients: Any, learning_rate: float) -> Any:
        """As the backend does."""
        return self.inner.update(params, gradients, learning_rate)

    def outputs(self, tape: list[Any]) -> tuple[Array, ...]:
        """Return outputs of this rank's rows."""
        parts = [self.inner.outputs(part) for part in tape if part is not None]
        if not parts:
            return tuple(np.empty((0, size), self.dtype) for size in self.network.sizes[1:])
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))

    def fetch(self, params: Any) -> Params:
        """As the backend does."""
        return self.inner.fetch(params)

    def fetch_state(self, params: Any) -> State:
        """As the backend does."""
        return self.inner.fetch_state(params)

    def message(self, params: Any, batch: SharedBatch) -> Array:
        """Return the sum of the messages of all shares of all ranks."""
        total: Array | None = None
        for share in batch.shares:
            if share.batch is None:
                continue
            message = self.inner.message(params, share.batch)
            if share.scale != 1:
                np.multiply(message, message.dtype.type(share.scale), message)
            total = message if total is None else np.add(total, message, total)
        if total is None:
            total = np.zeros(self.network.parameter_count + 1, self.dtype)
        return np.asarray(self.ranks.sum(total)) if self._scatters else total

    def from_message(self, message: Array) -> tuple[Any, Any]:
        """As the backend does."""
        return self.inner.from_message(message)

    def split(self, batch: SharedBatch, rows_per_step: int) -> list[SharedBatch]:
        """Return mini-batches of ``rows_per_step`` rows of all ranks, the last one shorter.

        The rows of each rank are spread evenly over the pass, in their order: row ``k`` of ``n`` is due at
        ``(k + 1/2) / n`` of it, and what is due first comes first, of a lower rank if two are due at once. So a rank
        with more rows has more of each mini-batch, and one rank alone has the mini-batches of any backend.
        """
        rows_per_step = self.checked_rows(rows_per_step, batch.of)
        if batch.whole is not None:
            parts = self.inner.split(batch.whole, rows_per_step)
            sizes = [min(rows_per_step, batch.of - k) for k in range(0, batch.of, rows_per_step)]
            return [SharedBatch([Share(part, 1.0)], n, (n,), part) for part, n in zip(parts, sizes, strict=True)]
        share = self._only_share(batch)
        parts, before = [], (0,) * len(batch.rows)
        for first in range(0, batch.of, rows_per_step):
            of = min(rows_per_step, batch.of - first)
            after = rows_due(batch.rows, first + of)
            start, stop = before[self.ranks.rank], after[self.ranks.rank]
            part = self.inner.cut(share.batch, start, stop, of)
            parts.append(SharedBatch([Share(part, 1.0)], of, tuple(b - a for a, b in zip(before, after, strict=True))))
            before = after
        return parts

    def reorder(self, batch: SharedBatch, order: ArrayLike) -> SharedBatch:
        """Return this rank's rows in another order."""
        if batch.whole is not None:
            whole = self.inner.reorder(batch.whole, order)
            return batch._replace(shares=[Share(whole, 1.0)], whole=whole)
        share = self._only_share(batch)
        return batch._replace(shares=[share._replace(batch=self.inner.reorder(share.batch, order))])

    def step(self, params: Any, batch: SharedBatch, learning_rate: float) -> tuple[Any, Any]:
        """Take one step with the gradients of all rows of all ranks."""
        if batch.whole is not None:
            return self.inner.step(params, batch.whole, learning_rate)
        loss, gradients = self.inner.from_message(self.message(params, batch))
        return self.inner.update(params, gradients, learning_rate), loss

    def train(
        self, params: Any, batch: SharedBatch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Train as any backend does; it diverges on every rank at the same step, since losses are those of all."""
        few = {} if rows_per_step is None else {"rows_per_step": rows_per_step}
        if self._scatters:
            of_each = "" if rows_per_step is None else f", {rows_per_step} rows each"
            self.ranks.agree("steps", f"{steps} steps at a rate of {float(learning_rate)!r}{of_each}")
        if batch.whole is not None:
            return self.inner.train(params, batch.whole, learning_rate, steps, **few)
        with np.errstate(over="ignore", invalid="ignore"):  # training that overflows is reported once, at its end
            return super().train(params, batch, learning_rate, steps, **few)

    def synchronize(self) -> None:
        """As the backend does."""
        self.inner.synchronize()

    def describe(self) -> dict[str, str | int]:
        """Say what the backend says, and the ranks if there are several."""
        ranks: dict[str, str | int] = {"ranks": self.ranks.size, "engine": self.ranks.engine} if self._scatters else {}
        return {**self.inner.describe(), **ranks}

    def _rows_of_all(self, n: int, of: int | None) -> tuple[tuple[int, ...], int]:
        """Return each rank's number of rows, and that of the whole batch."""
        rows = self._rows_of_ranks(n)
        if of is None:
            of = sum(rows)
        elif self._scatters:
            self.ranks.agree("rows of the whole batch", of)
        if of == 0:
            raise ValueError("a batch needs at least one row, and no rank has any")
        return rows, of

    def _rows_of_ranks(self, n: int) -> tuple[int, ...]:
        """Return every rank's number of rows. As text: a vector of an engine may not hold large whole numbers."""
        if not self._scatters:
            return (n,)
        said = self.ranks.gather(f"rows\0{n}")  # as `Ranks.agree` writes it: a rank that is elsewhere can be told
        if any(not text.startswith("rows\0") for text in said):
            listed = "; ".join(f"rank {rank}: {text.replace(chr(0), ': ')}" for rank, text in enumerate(said))
            raise RanksError(f"ranks took different paths: {listed}")
        return tuple(int(text.partition("\0")[2]) for text in said)

    def _only_share(self, batch: SharedBatch) -> Share:
        """Return the share of a batch that can be cut."""
        if not isinstance(batch.shares, list):
            raise ValueError("a batch of chunks is taken whole: omit rows_per_step, or place its rows by place_batch")
        if not self.inner.capabilities.shares:
            raise ValueError(
                f"backend {self.name!r} cannot cut a share of a batch: it has no shares among its capabilities; "
                "omit rows_per_step"
            )
        share: Share = batch.shares[0]
        return share


def rows_due(rows: Sequence[int], first: int) -> tuple[int, ...]:
    """Return how many of each rank's ``rows`` are among the ``first`` that are due; see `Shares.split`."""
    from fractions import Fraction

    of, ranks = sum(rows), len(rows)
    # Row k of n is due before t if k < n t - 1/2. At t = (first - ranks / 2) / of no more than `first` are.
    counts = [max(0, -((of - n * (2 * first - ranks)) // (2 * of))) for n in rows]
    for _ in range(first - sum(counts)):
        due = [(Fraction(2 * done + 1, n), rank) for rank, (done, n) in enumerate(zip(counts, rows, strict=True)) if n]
        counts[min(due)[1]] += 1
    return tuple(counts)


def _digest(params: Params) -> str:
    import hashlib

    hashed = hashlib.sha256()
    for layer in params:
        for array in layer:
            hashed.update(array.tobytes())
    return hashed.hexdigest()[:16]
