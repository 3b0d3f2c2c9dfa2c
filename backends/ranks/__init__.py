"""Ranks: processes that each hold a share of one batch, and the one sum that they take together.

Importing this package imports no engine: neither MPI nor a framework.
"""

from backends.errors import RanksError
from backends.ranks.joining import join
from backends.ranks.launch import Launch, launched
from backends.ranks.ranks import Alone, Ranks

__all__ = ["Alone", "Launch", "Ranks", "RanksError", "join", "launched"]
