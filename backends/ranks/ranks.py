"""The contract that every engine keeps, and the engine of one rank alone. No launcher, no framework.

Tests: `tests/backends/ranks/test_ranks.py`.
"""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self

from backends.errors import RanksError

LOG = logging.getLogger("backends.ranks")


class Ranks(ABC):
    """Processes that each hold a share of one batch. Every method is collective: all ranks call it, in the same order.

    Use it as a context manager. An error inside the ``with`` block ends this process at once, after a sentence on
    standard error: an ordinary exit would wait for the other ranks, which wait for this one.

    Attributes:
        engine: what carries the sums: ``"mpi"``, ``"torch"``, ``"jax"``, ``"alone"`` or a third party's name.
        rank, size: number of this process, from 0, and of all.
        timeout_s: after which a rank no longer waits for the others, and ends.
        hosts: number of host names among the ranks.
        threads: for this rank to compute with; ``None`` leaves it to the frameworks.
    """

    engine: ClassVar[str]
    hosts: int = 1
    threads: int | None = None

    def __init__(self, rank: int, size: int, timeout_s: float) -> None:
        self.rank = rank
        self.size = size
        self.timeout_s = timeout_s

    @abstractmethod
    def sum(self, vector: Any) -> Any:
        """Return the sum of a vector over all ranks, the same bits on each; may reuse the memory of ``vector``.

        Takes a writable contiguous numpy vector, and what the engine calls its own (a tensor, a JAX array); returns
        the same kind. The length and the dtype are the same on every rank.
        """

    @abstractmethod
    def gather(self, text: str) -> list[str]:
        """Return every rank's text, by rank. For agreements and names, not for data."""

    def agree(self, what: str, mine: object) -> None:
        """Return if every rank is at the same place with the same value.

        Args:
            what: what must be equal, such as ``"network"``; ranks that ask for different things took different paths.
            mine: this rank's value; its text is compared.

        Raises:
            RanksError: on every rank, with all values by rank.
        """
        said = [text.partition("\0")[::2] for text in self.gather(f"{what}\0{mine}")]
        if len({asked for asked, _ in said}) > 1:
            listed = "; ".join(f"rank {rank}: {asked}: {value}" for rank, (asked, value) in enumerate(said))
            raise RanksError(f"ranks took different paths: {listed}")
        if len({value for _, value in said}) > 1:
            listed = "; ".join(f"rank {rank}: {value}" for rank, (_, value) in enumerate(said))
            raise RanksError(f"ranks differ in {what}: {listed}")

    def describe(self) -> dict[str, str | int]:
        """Facts that a fair comparison needs: engine, number of ranks and hosts, threads of this rank."""
        facts: dict[str, str | int] = {"engine": self.engine, "ranks": self.size, "hosts": self.hosts}
        return facts if self.threads is None else facts | {"threads a rank": self.threads}

    def close(self) -> None:  # noqa: B027 - one rank alone leaves nobody
        """Leave together; the last call."""

    def fail(self, error: BaseException) -> NoReturn:
        """Say the error and end this process without waiting for the other ranks, with exit status 1."""
        say(self.rank, self.size, error)
        self.end()

    def end(self) -> NoReturn:
        """End this process at once, and with it, where the engine can, the others."""
        os._exit(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            try:
                self.close()
            except RanksError as others:  # an ordinary exit would wait for them
                self.fail(others)
        elif self.size > 1:
            self.fail(error)


class Alone(Ranks):
    """One rank: its sum is its own vector."""

    engine = "alone"

    def __init__(self, timeout_s: float = 60.0) -> None:
        super().__init__(0, 1, timeout_s)

    def sum(self, vector: Any) -> Any:
        """Return the vector itself."""
        return vector

    def gather(self, text: str) -> list[str]:
        """Return the only text."""
        return [text]


def say(rank: int, size: int, error: BaseException) -> None:
    """Write what ended a rank to standard error: a sentence, or for an unexpected error where it was raised."""
    if isinstance(error, RanksError):
        text = str(error)
    elif isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    else:
        import traceback

        text = "".join(traceback.format_exception(error)).strip()
    LOG.critical("rank %d of %d: %s", rank, size, text)
    sys.stdout.flush()
    sys.stderr.flush()
