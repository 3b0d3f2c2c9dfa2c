"""Designs of a backend against each other, to repeat the statements of `docs/tuning.md`.

    python -m bench.limits.designs numpy-blocks

A trial sets one constant of a backend to several values and takes a step by each in turns, in one process. What counts
is the least processor time of a step, since it hardly depends on what else the machine does; on one thread by default,
where it is the time that a quiet machine takes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import backends
from backends import Network
from backends.caches import BLOCK_BYTES
from backends.tuned import NEVER
from bench.workload import Workload
from bench.workload.problem import Problem, make

LAP_S = 2e-3
"""A lap takes a design's step this long, or once if it takes longer."""


@dataclass(frozen=True)
class Trial:
    """One constant of one backend and the values it is tried at, the project's own among them.

    Attributes:
        backend: its name.
        constant: where it is, ``module:NAME``, or ``module:NAME[key]`` of a dict.
        values: what it is set to; times are relative to the first.
        cases: networks and numbers of rows.
        also: constants that are set for all values alike.
        dtype: of the steps.
        steps: of one call of `train`; a single one is a call of `step`.
    """

    backend: str
    constant: str
    values: tuple[Any, ...]
    cases: tuple[tuple[str, int], ...]
    also: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    steps: int = 1


NARROW = (("3-2-1", 1 << 20), ("8-32-1", 1 << 18))
MIDDLE = (("32-64-1", 1 << 16), ("64-64-64-1", 1 << 14))
TRIALS = {
    "numpy-blocks": Trial(
        "numpy",
        "backends.threads:NEAR_BYTES",
        tuple(BLOCK_BYTES.near * part // 4 for part in (4, 1, 2, 8, 16)),
        (*NARROW[1:], *MIDDLE),
    ),
    "numpy-long-blocks": Trial(
        "numpy",
        "backends.threads:LONG_ROWS",
        (1 << 16, 1 << 14, 1 << 15, 1 << 17, 1 << 18),
        NARROW[:1],
        {"backends.threads:NEAR_BYTES": NEVER},
    ),
    "numpy-parts": Trial(
        "numpy", "backends.numpy_products:SMALL_PRODUCT", (1_000_000, NEVER), (*NARROW, ("12-14-1", 1 << 17), *MIDDLE)
    ),
    "numpy-one-row": Trial("numpy", "backends.numpy_workspace:MANY_ROWS", (1024, NEVER), (*NARROW, *MIDDLE)),
    "numpy-few-outputs": Trial(
        "numpy", "backends.numpy_workspace:FEW_OUTPUTS", (16, 0), (("784-512-10", 1 << 12), ("300-300-10", 1 << 12))
    ),
    "numpy-row-major": Trial(
        "numpy",
        "backends.numpy_batch:WIDE_INPUTS",
        (32, 1, NEVER),
        (("3-2-1", 1 << 14), ("8-32-1", 1 << 14), *MIDDLE, ("784-128-10", 1 << 10)),
    ),
    "numba-registers": Trial(
        "numba",
        "backends.numba_blocking:REGISTER_PARAMETERS",
        (36, 0),
        (("3-2-1", 3), ("3-2-1", 1 << 14), ("3-2-1", 1 << 20)),
    ),
    "numba-tiles": Trial(
        "numba",
        "backends.numba_blocking:TILED_WEIGHTS",
        (15_625, 0),
        (("8-32-1", 1 << 18), *MIDDLE, ("120-120-10", 1 << 13)),
    ),
    "numba-blocks": Trial(
        "numba",
        "backends.numba_blocking:MOST_ROWS",
        (480, 96, 224, 960),
        (("8-32-1", 1 << 18), *MIDDLE),
        {"backends.numba_blocking:CACHE_PART": 0.25},
    ),
    "numba-few-rows": Trial(
        "numba",
        "backends.numba_batch:FEW_ROWS",
        (4, 0, 16),
        tuple((network, rows) for network in ("17-33-3", "64-64-64-1") for rows in (1, 4, 8, 16)),
    ),
    "numba-short-tiles": Trial(
        "numba",
        "backends.numba_batch:SHORT_ROWS",
        (16, 0),
        tuple((network, rows) for network in ("8-32-1", "17-33-3", "64-64-64-1") for rows in (5, 8, 12, 16)),
    ),
    "numba-team": Trial(
        "numba",
        "backends.numba_blocking:MOST_TEAM_WEIGHTS",
        (1 << 22, 0),
        (
            ("784-128-10/relu/cross-entropy/adam", 128),
            ("28-300-300-300-300-300-1/momentum", 100),
            *(("784-512-10", rows) for rows in (32, 128, 512, 4096)),
            ("300-300-10", 1 << 12),
            ("2000-2000-1", 1 << 11),
        ),
        {"backends.numba_blocking:MOST_TEAM_ROWS": 0},
    ),
    "numba-team-parts": Trial(
        "numba",
        "backends.numba_blocking:PART_ROWS",
        (256, 128, 512, NEVER),
        (("784-512-10", 1 << 12), ("300-300-10", 1 << 12), ("784-33-1", 1 << 13)),
    ),
    "numba-panels": Trial(
        "numba",
        "backends.numba_team_panels:REPAID",
        (16, NEVER),
        (
            ("784-128-10/relu/cross-entropy/adam", 128),
            ("784-64-64-10/relu/cross-entropy/adam", 64),
            ("784-512-10", 512),
        ),
        steps=64,
    ),
    "torch-row-major": Trial("torch", "backends.torch_batch:WIDE_INPUTS", (32, NEVER), MIDDLE),
    "torch-blocks": Trial(
        "torch",
        "backends.torch_batch:BLOCK_BYTES[cpu]",
        tuple(BLOCK_BYTES.calls * part // 8 for part in (8, 1, 2, 4, 16)),
        (*NARROW, *MIDDLE),
    ),
    "torch-onednn": Trial(
        "torch",
        "backends.torch_backend:ONEDNN_TANH",
        (1 << 16, 1 << 14, 1 << 18, NEVER),
        (("3-2-1", 1 << 14), ("3-2-1", 1 << 16), *NARROW, *MIDDLE),
    ),
    "torch-onednn-product": Trial(
        "torch",
        "backends.torch_backend:ONEDNN_PRODUCT",
        (1 << 23, 1 << 20, NEVER),
        (*MIDDLE, ("784-512-10", 1 << 11)),
    ),
    "torch-expm1": Trial(
        "torch", "backends.torch_kernels:TANH_BY_EXPM1", (1 << 13, NEVER), (*NARROW, *MIDDLE), dtype="float64"
    ),
    "torch-turned": Trial(
        "torch", "backends.torch_workspace:TRANSPOSED_WEIGHTS", (256, NEVER), MIDDLE, dtype="float64"
    ),
    "torch-turned-inputs": Trial(
        "torch", "backends.torch_workspace:TRANSPOSED_INPUTS", (128, NEVER), (("784-128-10", 1 << 11),), dtype="float64"
    ),
}

XLA = "backends.jax_backend:"
TRIALS |= {
    "jax-one-loop": Trial(
        "jax",
        XLA + "NARROW_PARAMETERS",
        (128, 0),
        (("3-2-1", 1 << 14), ("3-2-1", 1 << 20), ("4-8-1", 1 << 18), ("10-10-1", 1 << 16)),
    ),
    "jax-one-loop-rows": Trial(
        "jax",
        XLA + "NARROW_ROWS",
        (96, 1, NEVER),
        (("3-2-1", 1 << 9), ("3-2-1", 1 << 11), ("4-8-1", 1 << 12), ("10-10-1", 1 << 12), ("10-10-1", 1 << 14)),
    ),
    "jax-one-loop-blocks": Trial(
        "jax",
        XLA + "NARROW_BLOCK_ROWS",
        (1 << 11, 1 << 8, 1 << 9, 1 << 13, 1 << 20),
        (("3-2-1", 1 << 14), ("3-2-1", 1 << 20), ("4-8-1", 1 << 18)),
    ),
    "jax-blocks": Trial(
        "jax",
        XLA + "BLOCK_BYTES",
        tuple(BLOCK_BYTES.products * part // 3 for part in (3, 1, 6, 12)),
        (NARROW[1], *MIDDLE),
    ),
    "jax-one-vector": Trial(
        "jax", XLA + "ONE_VECTOR_PARAMETERS", (1 << 15, NEVER), (("784-512-10", 64), ("784-512-10", 1 << 12))
    ),
    "jax-row-major": Trial(
        "jax", XLA + "ROW_MAJOR_INPUTS", (32, 1, NEVER), (NARROW[1], *MIDDLE, ("784-128-10", 1 << 10))
    ),
}


@dataclass(frozen=True)
class Result:
    """Processor time of a step of one case by one design, and that relative to the trial's first value."""

    case: str
    value: Any
    cpu_s: float
    relative: float


@contextmanager
def constants(values: dict[str, Any]) -> Iterator[None]:
    """Set constants of modules inside the ``with`` block."""
    before = {where: _exchange(where, value) for where, value in values.items()}
    try:
        yield
    finally:
        for where, value in before.items():
            _exchange(where, value)


def value_of(where: str) -> Any:
    """Return what ``module:NAME`` or ``module:NAME[key]`` is."""
    value = _exchange(where, None)
    _exchange(where, value)
    return value


def _exchange(where: str, value: Any) -> Any:
    """Set ``module:NAME`` or ``module:NAME[key]``; return what it was."""
    module_name, _, name = where.partition(":")
    name, _, key = name.rstrip("]").partition("[")
    holder = vars(importlib.import_module(module_name))
    if key:
        holder = holder[name]
        name = key
    before, holder[name] = holder[name], value
    return before


def compare(trial: Trial, laps: int = 20) -> Iterator[Result]:
    """Yield the results of each case: every design takes its step in each lap, one after another."""
    for text, rows in trial.cases:
        workload = Workload.parse(text)
        problem = make(workload, rows)
        values = (trial.values[0], *trial.values)  # the arm placed first is a little slower: it does not count
        settings = [{**trial.also, trial.constant: value} for value in values]
        arms = [Arm(trial.backend, workload, problem, each, trial.dtype, trial.steps) for each in settings]
        least = [float("inf")] * len(arms)
        for _ in range(laps):
            for k, arm in enumerate(arms):
                least[k] = min(least[k], arm.lap(time.process_time))
        for value, seconds in zip(trial.values, least[1:], strict=True):
            yield Result(f"{text}, n = {rows:,}", value, seconds, seconds / least[1])


class Arm:
    """One design at work on one case.

    Args:
        name: of the backend.
        workload: of the case.
        problem: its rows and first parameters.
        settings: constants of the design.
        dtype: of its steps.
        steps: of one call.
    """

    def __init__(
        self,
        name: str,
        workload: Workload,
        problem: Problem,
        settings: dict[str, Any],
        dtype: str = "float32",
        steps: int = 1,
    ) -> None:
        self._problem, self._settings, self._steps = problem, settings, steps
        with constants(settings):
            self._backend = backends.load(name, problem.network, dtype, optimizer=workload.optimizer)
        self.place()

    def place(self) -> None:
        """Place batch and parameters, anew if they are placed: where they lie in memory has some luck in it."""
        with constants(self._settings):
            self._batch = self._backend.place_batch(self._problem.inputs, self._problem.targets)
            self._params = self._backend.place_params(self._problem.params)

    def lap(self, clock: Callable[[], float]) -> float:
        """Return the seconds of a step, the mean over one lap; a step may reuse the memory of its params."""
        with constants(self._settings):
            start, steps = clock(), 0
            while steps == 0 or clock() - start < LAP_S:
                if self._steps == 1:
                    self._params, _ = self._backend.step(self._params, self._batch, 1e-6)
                else:
                    self._params, _ = self._backend.train(self._params, self._batch, 1e-6, self._steps)
                steps += self._steps
            self._backend.synchronize()
            return (clock() - start) / steps


def _text(value: Any) -> str:
    return "never" if value == NEVER else f"{value:,}"


def hold_threads(backend: str, threads: int) -> None:
    """Let a backend use this many threads, before its framework is loaded."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))
    if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as it may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if backends.find(backend).capabilities.threads:
        backends.load(backend, Network((1, 1, 1)), threads=threads)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the result of a trial."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits.designs", description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--laps", type=int, default=20, help="of each design, in turns")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(arguments)
    trial = TRIALS[asked.trial]
    hold_threads(trial.backend, asked.threads)
    print(f"{trial.backend}: {trial.constant}; processor time of a step, and relative to the first value")
    for result in compare(trial, asked.laps):
        print(f"{result.case:24} {_text(result.value):>12} {result.cpu_s * 1e6:12,.0f} us {result.relative:6.2f}")


if __name__ == "__main__":
    main()
