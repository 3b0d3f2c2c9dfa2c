"""What this project set its backends to reach, case by case, and whether they did: ratios, so that they hold anywhere.

Figures in seconds are for two cores of 2023 with AVX-512; ratios to peers in float64 are less a fifth.

Tests: `tests/bench/limits/test_limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.basics.formats import format_count, format_percent, format_ratio, format_seconds
from bench.limits import placing
from bench.limits.standings import WORKLOADS, LimitCase, Standing

Measure = Literal["seconds", "core_seconds", "share", "times_copy", "times_peer", "times_idiom"]
BEST, EVERY = "best", "every"
FLOAT64_PART = 0.8


@dataclass(frozen=True)
class Target:
    """One line: in this case ``who`` should reach ``value``: at most this many seconds, or at least this ratio.

    ``core_seconds`` are those of all cores together. ``times_copy``, the time of placing over that of a plain copy, is
    to be at most ``value``.

    ``who`` is ``best``, the fastest tuned backend; ``every``, each of them; or a name. For the ``share`` that a name
    should reach a faster variant may stand, such as ``torch-fused`` for torch.
    """

    case: LimitCase
    who: str
    measure: Measure
    value: float
    device: str = "cpu"


@dataclass(frozen=True)
class Verdict:
    """A target and what was reached, as text and as a number.

    ``least`` is the least value that the machine's limit allows, of a target in seconds; ``None`` if it is not known.
    What is ``out_of_reach`` lies below that: no implementation can reach it on this machine.
    """

    case: str
    dtype: str
    backend: str
    goal: str
    reached: str
    verdict: Literal["yes", "no", "not measured"]
    value: float | None
    least: float | None = None
    out_of_reach: bool = False


_TRAIN, _STEP = LimitCase("3-2-1", 3, "train"), LimitCase("3-2-1", 3)
_MIDDLE, _LARGE = LimitCase("3-2-1", 16_384), LimitCase("3-2-1", 1_048_576)
_HIDDEN, _DEEP, _WIDE = LimitCase("32-64-1", 65_536), LimitCase("64-64-64-1", 16_384), LimitCase("784-512-10", 4_096)
_ADAM, _MOMENTUM, _CLASSES, _RELU = WORKLOADS
IN_SECONDS = ("seconds", "core_seconds")
AT_MOST = (*IN_SECONDS, "times_copy")

TARGETS = (
    Target(_TRAIN, BEST, "seconds", 0.06e-6),
    Target(_TRAIN, "numba", "seconds", 0.1e-6),
    Target(_TRAIN, "jax", "seconds", 0.1e-6),
    Target(_TRAIN, "numpy", "seconds", 15e-6),
    Target(_TRAIN, "torch", "seconds", 30e-6),
    Target(_STEP, BEST, "seconds", 0.8e-6),
    Target(_STEP, "jax", "seconds", 12e-6),
    Target(_MIDDLE, BEST, "times_peer", 8.0),
    Target(_MIDDLE, BEST, "share", 0.65),
    Target(_MIDDLE, EVERY, "times_idiom", 2.0),
    Target(_LARGE, BEST, "times_peer", 10.0),
    Target(_LARGE, BEST, "share", 0.75),
    Target(_LARGE, "jax", "share", 0.25),
    Target(_LARGE, "numpy", "share", 0.15),
    Target(_LARGE, "torch", "share", 0.15),
    Target(_LARGE, EVERY, "times_idiom", 3.0),
    Target(_HIDDEN, BEST, "times_peer", 2.0),
    Target(_HIDDEN, BEST, "share", 0.75),
    Target(_HIDDEN, EVERY, "times_idiom", 1.5),
    Target(_DEEP, BEST, "times_peer", 1.5),
    Target(_DEEP, BEST, "share", 0.75),
    Target(_DEEP, EVERY, "times_idiom", 1.0),
    Target(_WIDE, BEST, "share", 0.92),
    Target(_WIDE, EVERY, "share", 0.88),
    Target(_ADAM, BEST, "core_seconds", 400e-6),
    Target(_ADAM, BEST, "times_peer", 4.0),
    Target(_MOMENTUM, BEST, "times_peer", 1.3),
    Target(_CLASSES, BEST, "times_peer", 3.0),
    Target(_RELU, BEST, "times_peer", 2.0),
    Target(_RELU, BEST, "share", 0.6),
    *(Target(LimitCase(text, placing.ROWS, "place"), EVERY, "times_copy", 1.5) for text in placing.NETWORKS),
    Target(_TRAIN, BEST, "seconds", 5e-6, "cuda"),
    Target(LimitCase("3-2-1", 67_108_864), BEST, "share", 0.5, "cuda"),
    Target(LimitCase("784-512-10", 65_536), BEST, "share", 0.7, "cuda"),
)


def judge(standings: Sequence[Standing]) -> Iterator[Verdict]:
    """Yield a verdict for each target whose case was measured; for ``every``, one for each tuned backend."""
    for dtype in dict.fromkeys(standing.dtype for standing in standings):
        for target in TARGETS:
            if dtype != "float32" and target.measure in IN_SECONDS:
                continue
            wanted = (target.case, dtype, target.device)
            measured = [each for each in standings if (each.case, each.dtype, each.device) == wanted]
            for standing in _chosen(target, measured):
                yield _verdict(target, standing)


def _chosen(target: Target, measured: Sequence[Standing]) -> Sequence[Standing]:
    """Return the standings of one case that a target is for, out of all, which are sorted by time."""
    tuned = [standing for standing in measured if standing.role == "best"]
    if target.who == EVERY:
        return tuned
    if target.who == BEST:
        return tuned[:1]
    own = [standing for standing in tuned if standing.backend == target.who]
    if own and target.measure == "share":
        prefix = f"{target.who}-"
        own += [each for each in measured if each.role == "variant" and each.backend.startswith(prefix)]
    return sorted(own, key=measured.index)[:1]


def _verdict(target: Target, standing: Standing) -> Verdict:
    less_a_fifth = standing.dtype == "float64" and target.measure in ("times_peer", "times_idiom")
    wanted = target.value * FLOAT64_PART if less_a_fifth else target.value
    value: float | None = getattr(standing, target.measure)
    least = _least(target.measure, standing)
    met: Literal["yes", "no", "not measured"] = "not measured"
    if value is not None:
        met = "yes" if (value <= wanted if target.measure in AT_MOST else value >= wanted) else "no"
    return Verdict(
        case=f"{target.case.network} n={format_count(target.case.batch)} {target.case.phase}",
        dtype=standing.dtype,
        backend=standing.backend,
        goal=_text(target.measure, wanted),
        reached=_text(target.measure, value, goal=False),
        verdict=met,
        value=value,
        least=least,
        out_of_reach=least is not None and least > wanted,
    )


def _least(measure: Measure, standing: Standing) -> float | None:
    """Return the limit of a case in the unit of a measure of time."""
    if measure not in IN_SECONDS or standing.limit is None:
        return None
    if measure == "seconds":
        return standing.limit.seconds
    return None if standing.cores is None else standing.cores * standing.limit.seconds


def _text(measure: Measure, value: float | None, goal: bool = True) -> str:
    if measure in IN_SECONDS:
        cores = " of all cores" if goal and measure == "core_seconds" else ""
        return f"{'<= ' if goal else ''}{format_seconds(value)}{cores}"
    if measure == "share":
        return f"{'>= ' if goal else ''}{format_percent(value)}{' of limit' if goal else ''}"
    if measure == "times_copy":
        return f"<= {format_ratio(value)} a copy" if goal else format_ratio(value)
    against = {"times_idiom": " idiom", "times_peer": " best peer"}[measure]
    return f">= {format_ratio(value)}{against}" if goal else format_ratio(value)
