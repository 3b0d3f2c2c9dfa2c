"""What every rank can count on, whatever the engine."""

from __future__ import annotations

import numpy as np
import pytest

from backends.ranks import Alone, Ranks, RanksError


class Said(Ranks):
    """An engine whose ranks have said these texts; this process is rank 0."""

    engine = "said"

    def __init__(self, *others: str) -> None:
        super().__init__(0, 1 + len(others), 1.0)
        self.others = others

    def sum(self, vector: np.ndarray) -> np.ndarray:
        return vector * self.size

    def gather(self, text: str) -> list[str]:
        return [text, *self.others]


def test_one_rank_alone_sums_to_itself() -> None:
    """One rank alone gets its own vector back, not a copy."""
    vector = np.arange(3.0)
    with Alone() as ranks:
        assert ranks.sum(vector) is vector
        ranks.agree("network", "3-2-1")
        assert (ranks.rank, ranks.size, ranks.engine) == (0, 1, "alone")


def test_an_error_of_one_rank_alone_goes_on_to_the_caller() -> None:
    """Where nobody waits, an error inside the block is raised as everywhere."""
    with pytest.raises(ZeroDivisionError), Alone():
        raise ZeroDivisionError


def test_ranks_that_differ_are_told_each_value() -> None:
    """Ranks with unequal values get an error that lists the value of every rank."""
    with pytest.raises(RanksError, match=r"ranks differ in network: rank 0: 3-2-1; rank 1: 4-2-1"):
        Said("network\x004-2-1").agree("network", "3-2-1")


def test_ranks_that_are_elsewhere_are_told_where() -> None:
    """Ranks that agree on different things took different paths, and the error says which."""
    with pytest.raises(RanksError, match=r"took different paths: rank 0: steps: 4; rank 1: the end: leaving"):
        Said("the end\x00leaving").agree("steps", 4)


def test_ranks_that_agree_go_on() -> None:
    """Equal values raise nothing, whatever their type."""
    Said("rows\x007").agree("rows", 7)
