"""Compare what a backend computed with a ball: the ratio error / bound, entry by entry, NaN and infinity included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.bounds import SLACK, Ball, Precision, magnitude
from backends.conformance.report import Finding, worst_of


def ratios(got: Array, ball: Ball, p: Precision, nan_for_infinity: bool = False) -> Array:
    """Return error / bound for each entry.

    Where the exact value is NaN the result must not be finite; where it is infinite, the result must be that infinity,
    or NaN where ``nan_for_infinity``; where it lies beyond the largest number, or may by its radius, or something on
    its way may, the result may be infinite or NaN as well.
    """
    with np.errstate(all="ignore"):
        bound = np.broadcast_to(ball.radius, ball.exact.shape) * SLACK + 0.0  # never the zero that is negative
        error = magnitude(p.arithmetic.array(got) - ball.exact)
        ratio = error / bound
        if np.isfinite(ratio).all() and np.isfinite(bound).all():
            return ratio
        ratio = np.where(error == 0, 0.0, ratio)
        infinite = (ball.exact == math.inf) | (ball.exact == -math.inf)  # beyond doubles is not infinite
        unknown = ball.exact != ball.exact
        may_overflow = ~(ball.magnitude + bound < p.largest) | (ball.reach > p.largest)
        got_finite = np.isfinite(got)
        # An infinite radius claims nothing.
        ratio = np.where(got_finite, np.where(bound == math.inf, 0.0, ratio), np.where(may_overflow, 0.0, math.inf))
        ratio = np.where(unknown, np.where(got_finite, math.inf, 0.0), ratio)
        infinity = (got == ball.exact) | (np.isnan(got) & nan_for_infinity)
        return np.where(infinite, np.where(infinity, 0.0, math.inf), ratio)


# A derivative may be taken as ``(g + g h) (1 - h)``, which for infinite ``g`` and negative ``h`` is Inf - Inf.
MAY_MEET_INFINITIES = frozenset({"weights gradients", "biases gradients", "step", "train"})


@dataclass
class Tally:
    """Collects the worst ratio of each claim on one problem.

    Attributes:
        case: name of the problem.
        precision: of the backend.
        dtype: that arrays must have.
    """

    case: str
    precision: Precision
    dtype: str
    _worst: dict[str, Finding] = field(default_factory=dict)

    def judge(self, claim: str, label: str, got: Any, *tiers: Ball, first_row: int = 0) -> None:
        """Compare ``got``, which is ``label``, with the proven ball and, if given, with the quality tier's."""
        ball, got = tiers[0], np.asarray(got)
        if got.shape != ball.exact.shape:
            self.refute(claim, f"{label}: shape {got.shape}, expected {ball.exact.shape}")
            return
        all_ratios = ratios(got, ball, self.precision, claim in MAY_MEET_INFINITIES)
        worst = _argmax(all_ratios)
        at = (worst[0] + first_row, *worst[1:]) if worst else worst
        index = f"[{', '.join(map(str, at))}]" if at else ""
        sharp_ratio = max((float(np.nanmax(ratios(got, sharp, self.precision))) for sharp in tiers[1:]), default=0.0)
        self.keep(Finding(claim, self.case, float(all_ratios[worst]), f"{label}{index}", sharp_ratio))

    def require(self, claim: str, what: str, got: Any, shape: tuple[int, ...]) -> bool:
        """Record a failure, and return false, unless ``got`` is a row-major array of this dtype and ``shape``."""
        if not isinstance(got, np.ndarray) or got.shape != shape or got.dtype != np.dtype(self.dtype):
            actual = f"{got.dtype} {got.shape}" if isinstance(got, np.ndarray) else type(got).__name__
            self.refute(claim, f"{what}: {actual}, expected {self.dtype} {shape}")
            return False
        if not got.flags.c_contiguous:
            self.refute(claim, f"{what}: strides {got.strides}, expected row-major")
            return False
        return True

    def refute(self, claim: str, why: str) -> None:
        """Record a failure that has no ratio."""
        self.keep(Finding(claim, self.case, math.inf, why))

    def confirm(self, claim: str) -> None:
        """Record that a claim of equality held."""
        self.keep(Finding(claim, self.case, 0.0))

    @property
    def findings(self) -> list[Finding]:
        """One finding a claim."""
        return list(self._worst.values())

    def take_better(self, *readings: Tally) -> None:
        """Take over what other tallies found, of each claim the best: each of them is one way to be right."""
        for claim in dict.fromkeys(finding.claim for reading in readings for finding in reading.findings):
            candidates = [finding for reading in readings for finding in reading.findings if finding.claim == claim]
            self.keep(min(candidates, key=lambda finding: finding.badness))

    def keep(self, finding: Finding) -> None:
        """Record a finding, unless a worse one of its claim is known."""
        known = self._worst.get(finding.claim)
        if known is not None:
            sharp_ratio = max(known.sharp_ratio, finding.sharp_ratio)
            finding = replace(worst_of([known, finding]), sharp_ratio=sharp_ratio)
        self._worst[finding.claim] = finding


def _argmax(values: Array) -> tuple[int, ...]:
    return tuple(int(at) for at in np.unravel_index(np.argmax(values), values.shape))
