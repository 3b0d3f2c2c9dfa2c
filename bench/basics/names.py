"""The words that rows, runs and verdicts are made of, each defined once. Standard library only."""

from __future__ import annotations

PHASES = ("place", "forward", "backward", "update", "step", "train")
"""What is timed, in the order in which it is measured."""

ALL_REDUCE = "all-reduce"
"""The phase in which ranks sum what each of them computed."""

CACHES = ("warm", "cold")
"""States of a compile cache when a process starts."""

DTYPES, DEVICES = ("float32", "float64"), ("cpu", "cuda")
"""What `backends` offers; here as well, since importing that takes a while."""

OK, TIMEOUT = "ok", "timeout"
STATUSES = (OK, "failed", "crashed", TIMEOUT, "out of memory", "unavailable", "nonconformant")
"""How the measurement of a cell ended."""

FASTER, SLOWER, TIE, NOT_FASTER, UNDECIDED = "faster", "slower", "tie", "not faster", "undecided"
"""What is proven of a ratio of times; ``not faster``: by no more than the margin, so slower or a tie."""

FASTEST, NONE_FASTER = "fastest", "none faster"
"""What is proven of the fastest of some backends: that all others are slower, or at least that none is faster; else it
is ``tie`` or ``undecided``.
"""

MARGIN = 0.05
"""Ratios of times within it are equivalent: 0.05 takes those between 1 / 1.05 and 1.05 for a tie."""

AA = "A/A"
"""The arm that is the second copy of one backend: what a comparison sees between the two is chance."""

BASE = "base"
"""The arm that runs the code which a change is held against."""

COMPARISON, CASE, GATE, CERTIFICATE, VALIDATION, LIMITS = "comparison", "case", "gate", "certify", "validate", "limits"
SCALING = "scale"
PURPOSES = (COMPARISON, CASE, GATE, CERTIFICATE, VALIDATION, LIMITS, SCALING)
"""Why a run was made: to compare backends over a grid, to time one case for an answer, to hold a change against its
base, to try the instrument, or to compare numbers of ranks.
"""
