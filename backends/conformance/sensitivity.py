"""How small a fault the kit still rejects: the least relative error of all gradients, by rows, dtype and claim.

    python -m backends.conformance.sensitivity

A correct backend is made wrong by a factor of ``1 + eps`` on every gradient of `backward`, and so of `step` and
`train`. The table has the least ``eps``, to a quarter of a decade, that is rejected by the usual bounds of a normal
batch, by spikes and by exact sums, each of that number of rows. `check` and what a campaign proves have all three.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from backends.base import Array, Layer, Network, Params
from backends.conformance.cases import Case
from backends.conformance.exact import judge_exact
from backends.conformance.judge import Tally
from backends.conformance.plain import Batch, Plain
from backends.conformance.spikes import judge_spikes
from backends.conformance.stages import judge_stages

ROWS = (3, 1000, 100_000, 1_000_000)
NETWORK = Network((3, 2, 1))
STEPS_A_DECADE = 4
SMALLEST = {"float32": -8, "float64": -17}
"""Powers of ten, below half a unit in the last place: no fault at all."""

JUDGES: dict[str, Callable[[Plain, int], Tally]] = {
    "usual bounds": lambda backend, rows: judge_stages(backend, Case(NETWORK, rows, "normal").problem(backend.dtype)),
    "spikes": lambda backend, rows: judge_spikes(backend, rows, "sensitivity"),
    "exact sums": lambda backend, rows: judge_exact(backend, rows, "sensitivity"),
}


class Scaled(Plain):
    """Correct, but for a factor on every gradient."""

    name = "scaled"
    eps = 0.0

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Scale in extended precision, and round once."""
        loss, gradients = super().backward(params, batch, tape)
        factor = np.longdouble(1) + np.longdouble(self.eps)
        return loss, tuple(Layer(*((array * factor).astype(self.dtype) for array in layer)) for layer in gradients)


def least_rejected(judge: str, rows: int, dtype: str) -> float:
    """Return the least relative fault that a judge rejects; infinity if even a factor of two passes."""
    passing, failing = SMALLEST[dtype] * STEPS_A_DECADE, 1
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if _rejected(judge, rows, dtype, 10.0 ** (middle / STEPS_A_DECADE)):
            failing = middle
        else:
            passing = middle
    return 10.0 ** (failing / STEPS_A_DECADE) if failing <= 0 else float("inf")


def _rejected(judge: str, rows: int, dtype: str, eps: float) -> bool:
    backend = Scaled(NETWORK, dtype)
    backend.eps = eps
    with np.errstate(all="ignore"):
        return any(finding.status == "fail" for finding in JUDGES[judge](backend, rows).findings)


def table(rows: Iterable[int]) -> str:
    """Return the table, in Markdown."""
    lines = [f"| rows | dtype | {' | '.join(JUDGES)} |", f"| ---: | --- |{' ---: |' * len(JUDGES)}"]
    for n in rows:
        for dtype in SMALLEST:
            least = " | ".join(f"{least_rejected(judge, n, dtype):.1e}" for judge in JUDGES)
            lines.append(f"| {n:,} | {dtype} | {least} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(ROWS))
