"""What the engines of several ranks share: a watch over every wait, leaving together, and ending without waiting.

Tests: `tests/backends/ranks/test_faults.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backends.errors import RanksError
from backends.ranks.ranks import Ranks
from backends.ranks.watch import Watch


class Engine(Ranks):
    """Several ranks. A subclass joins in its constructor, and puts every wait for the others under ``self.watch``."""

    def __init__(self, rank: int, size: int, timeout_s: float) -> None:
        super().__init__(rank, size, timeout_s)
        self.watch = Watch(rank, timeout_s, self.fail)

    def close(self) -> None:
        """Wait until every rank is here, so that none leaves while others still sum; then let go of the engine."""
        self.agree("the end", "leaving")
        self.leave()

    def leave(self) -> None:
        """Let go of the engine; every rank does so at the same time."""

    @contextmanager
    def lost(self, doing: str) -> Iterator[None]:
        """Turn an error of the engine in this block into one that says what happened to the ranks."""
        try:
            with self.watch:
                yield
        except RanksError:
            raise
        except (RuntimeError, ValueError) as error:
            raise RanksError(
                f"lost another rank in {doing}: it ended, or sent something else ({str(error).splitlines()[0]})"
            ) from error
