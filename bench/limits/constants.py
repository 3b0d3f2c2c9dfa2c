"""What it costs if a constant of a backend is wrong by a factor, as one that was tuned here may be on another machine.

    python -m bench.limits.constants [NAME ...]

Each constant is multiplied by 1/4, 1/2, 2 and 4, in cases on both sides of it, and steps by each are taken in turns
in one process on one thread (`bench.limits.designs`). Shown is the worst case of each factor, relative to the constant
as it is.

Tests: `tests/bench/limits/test_constants.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.limits.designs import MIDDLE, NARROW, Trial, compare, hold_threads, value_of

FACTORS = (1.0, 0.25, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Constant:
    """A constant that was tuned on one processor, and cases in which its value decides.

    Attributes:
        backend: whose steps are timed.
        where: as in `Trial`.
        cases: networks and numbers of rows.
    """

    backend: str
    where: str
    cases: tuple[tuple[str, int], ...]

    def trial(self) -> Trial:
        """Return the trial of all factors."""
        value = value_of(self.where)
        return Trial(self.backend, self.where, tuple(type(value)(value * factor) for factor in FACTORS), self.cases)


def around(network: str, rows: int) -> tuple[tuple[str, int], ...]:
    """Return cases between a number of rows and a quarter, half, twice and four times as many."""
    return tuple((network, int(rows * part)) for part in (0.35, 0.7, 1.4, 2.8))


WIDE = ("784-512-10", 4096)
CONSTANTS = {
    "numpy-near-bytes": Constant("numpy", "backends.threads:NEAR_BYTES", (NARROW[1], ("17-33-3", 1 << 16), *MIDDLE)),
    "numpy-minimum-rows": Constant("numpy", "backends.threads:MINIMUM_ROWS", (*MIDDLE, WIDE)),
    "numpy-long-rows": Constant("numpy", "backends.threads:LONG_ROWS", NARROW[:1]),
    "numpy-many-rows": Constant(
        "numpy", "backends.numpy_workspace:MANY_ROWS", (*around("3-2-1", 1024), *around("32-64-1", 1024))
    ),
    "numpy-wide-inputs": Constant(
        "numpy",
        "backends.numpy_batch:WIDE_INPUTS",
        tuple((f"{inputs}-32-1", 1 << 14) for inputs in (12, 24, 48, 96)),
    ),
    "numba-register-parameters": Constant(
        "numba",
        "backends.numba_blocking:REGISTER_PARAMETERS",
        tuple((network, 1 << 16) for network in ("2-3-1", "4-4-1", "6-6-1", "8-12-1")),
    ),
    "numba-tiled-weights": Constant(
        "numba",
        "backends.numba_blocking:TILED_WEIGHTS",
        tuple((f"{width}-{width}-1", 1 << 12) for width in (80, 104, 150, 220)),
    ),
    "numba-few-rows": Constant(
        "numba", "backends.numba_batch:FEW_ROWS", tuple(("17-33-3", rows) for rows in (1, 3, 6, 12))
    ),
    "numba-short-rows": Constant(
        "numba", "backends.numba_batch:SHORT_ROWS", tuple(("17-33-3", rows) for rows in (6, 12, 24, 48))
    ),
    "numba-most-rows": Constant("numba", "backends.numba_blocking:MOST_ROWS", (NARROW[1], MIDDLE[0])),
    "numba-cache-part": Constant("numba", "backends.numba_blocking:CACHE_PART", MIDDLE),
    "numba-most-wide-rows": Constant("numba", "backends.numba_blocking:MOST_WIDE_ROWS", (WIDE,)),
    "numba-few-wide-rows": Constant("numba", "backends.numba_blocking:FEW_WIDE_ROWS", (("784-512-10", 1024),)),
    "torch-onednn-tanh": Constant(
        "torch", "backends.torch_backend:ONEDNN_TANH", (*around("3-2-1", 1 << 15), *around("32-64-1", 1 << 10))
    ),
    "torch-onednn-product": Constant("torch", "backends.torch_backend:ONEDNN_PRODUCT", around("64-64-64-1", 1 << 11)),
    "torch-wide-inputs": Constant(
        "torch", "backends.torch_batch:WIDE_INPUTS", tuple((f"{inputs}-32-1", 1 << 14) for inputs in (12, 24, 48, 96))
    ),
    "jax-narrow-parameters": Constant(
        "jax",
        "backends.jax_backend:NARROW_PARAMETERS",
        tuple((network, 1 << 16) for network in ("4-8-1", "10-8-1", "10-16-1", "16-24-1")),
    ),
    "jax-narrow-rows": Constant(
        "jax", "backends.jax_backend:NARROW_ROWS", (*around("3-2-1", 11 * 96), *around("10-8-1", 97 * 96))
    ),
    "jax-narrow-block-rows": Constant("jax", "backends.jax_backend:NARROW_BLOCK_ROWS", NARROW[:1]),
    "jax-block-bytes": Constant("jax", "backends.jax_backend:BLOCK_BYTES", (NARROW[1], *MIDDLE)),
    "jax-one-vector": Constant(
        "jax",
        "backends.jax_backend:ONE_VECTOR_PARAMETERS",
        tuple((f"{width}-{width}-1", 1 << 10) for width in (100, 150, 210, 300)),
    ),
    "jax-row-major-inputs": Constant(
        "jax",
        "backends.jax_backend:ROW_MAJOR_INPUTS",
        tuple((f"{inputs}-32-1", 1 << 14) for inputs in (12, 24, 48, 96)),
    ),
}


@dataclass(frozen=True)
class Cost:
    """The worst relative time of a constant at one factor, and the case that shows it."""

    factor: float
    relative: float
    case: str


def costs(constant: Constant, laps: int) -> Iterator[Cost]:
    """Yield the cost of each factor but 1."""
    trial = constant.trial()
    results = list(compare(trial, laps))
    for factor, value in list(zip(FACTORS, trial.values, strict=True))[1:]:
        worst = max((result for result in results if result.value == value), key=lambda result: result.relative)
        yield Cost(factor, worst.relative, worst.case)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each constant."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits.constants", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *CONSTANTS], metavar="NAME", help=", ".join(CONSTANTS))
    parser.add_argument("--laps", type=int, default=20, help="of each value, in turns")
    asked = parser.parse_args(arguments)
    names = asked.names or list(CONSTANTS)
    if len(names) > 1:  # each in a fresh process, since the number of threads is set before a framework is loaded
        for name in names:
            command = [sys.executable, "-m", "bench.limits.constants", name, "--laps", str(asked.laps)]
            subprocess.run(command, check=True)
        return
    constant = CONSTANTS[names[0]]
    hold_threads(constant.backend, 1)
    shown = [f"x{cost.factor:g}: {cost.relative:.2f} ({cost.case})" for cost in costs(constant, asked.laps)]
    print(f"{names[0]:26} {constant.trial().values[0]:>10,}  {'; '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
