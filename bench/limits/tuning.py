"""Constants of the backends tried at other values on this machine: what ``python -m bench tune`` measures and judges.

    python -m bench.limits.tuning numba         # one backend, a line of JSON for each constant

A constant is doubled and halved as long as that looks faster. What is chosen so is then *proven*, on batches that are
placed anew: default and candidate take their steps in turns, and each placement gives one estimate, since where arrays
lie in memory makes more difference than one round to the next. Wall time counts, on the threads that a user gets.

The other constants are at their defaults meanwhile.

Tests: `tests/bench/limits/test_tuning.py`.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from backends import Network, tuned
from backends.numba_blocking import TANH_WORK
from bench.basics.errors import UsageError
from bench.basics.names import FASTER, MARGIN
from bench.limits.constants import CONSTANTS, Constant, around
from bench.limits.designs import MIDDLE, NARROW, Arm, value_of
from bench.machine import cpus_for, default_threads
from bench.measure.child import isolate
from bench.measure.compile_cache import folder_of_caches
from bench.measure.process_environment import environment
from bench.verdicts.statistics import verdicts, weigh
from bench.workload import Workload
from bench.workload.problem import make

FACTOR, MOST_DOUBLINGS = 2, 2
NEAR = 1.1
"""Sizes are not exact: a product has a column for the biases."""
MOST_LAPS, LEAST_LAPS, ENOUGH_S = 8, 3, 0.3
"""Turns of a comparison: fewer if they have taken long enough."""
PLACEMENTS = 6
"""Of a proof, each of which gives one estimate."""

LEAST_ERROR = 1e-6
"""Of a log ratio; no clock tells less."""

LONGEST_S = 300.0
"""For one backend, all compiled anew."""

Size = Callable[[Network, int], float]
"""Network and rows -> what is held against a constant that switches between two designs."""


def _parameters(network: Network, rows: int) -> float:
    return network.parameter_count


def _rows(network: Network, rows: int) -> float:
    return rows


def _inputs(network: Network, rows: int) -> float:
    return network.inputs


def _weights(network: Network, rows: int) -> float:
    return max(i * o for i, o in pairwise(network.sizes))


@dataclass(frozen=True)
class Tunable:
    """A constant that costs 10 % or more if it is wrong by a factor of two (`bench.limits.constants`).

    Attributes:
        constant: where it is, and cases on both sides of it.
        size: what it switches at; ``None`` if it is the length of a block, which concerns all cases.
    """

    constant: Constant
    size: Size | None = None

    def cases(self, values: tuple[int, int]) -> tuple[tuple[str, int], ...]:
        """Return the cases in which two values make different designs, about: all that are near the switch."""
        if self.size is None:
            return self.constant.cases
        least, most = min(values) / NEAR, max(values) * NEAR
        return tuple(
            (text, rows)
            for text, rows in self.constant.cases
            if least <= self.size(Workload.parse(text).network, rows) <= most
        )


TUNABLE = {
    "numpy-near-bytes": Tunable(CONSTANTS["numpy-near-bytes"]),
    "numpy-long-rows": Tunable(CONSTANTS["numpy-long-rows"]),
    "numba-register-parameters": Tunable(CONSTANTS["numba-register-parameters"], _parameters),
    "numba-tiled-weights": Tunable(CONSTANTS["numba-tiled-weights"], _weights),
    "numba-few-rows": Tunable(CONSTANTS["numba-few-rows"], _rows),
    "numba-short-rows": Tunable(CONSTANTS["numba-short-rows"], _rows),
    "numba-split-work": Tunable(
        Constant("numba", "backends.numba_blocking:SPLIT_WORK", around("17-33-3", 148)),
        lambda network, rows: rows * (network.parameter_count + TANH_WORK * sum(network.sizes[1:-1])),
    ),
    "torch-onednn-tanh": Tunable(CONSTANTS["torch-onednn-tanh"], lambda network, rows: rows * max(network.sizes[1:-1])),
    "torch-onednn-product": Tunable(
        CONSTANTS["torch-onednn-product"], lambda network, rows: rows * _weights(network, rows)
    ),
    "torch-block-bytes": Tunable(Constant("torch", "backends.torch_batch:BLOCK_BYTES[cpu]", (*NARROW, *MIDDLE))),
    "jax-narrow-parameters": Tunable(CONSTANTS["jax-narrow-parameters"], _parameters),
    "jax-narrow-rows": Tunable(CONSTANTS["jax-narrow-rows"], lambda network, rows: rows / network.parameter_count),
    "jax-row-major-inputs": Tunable(CONSTANTS["jax-row-major-inputs"], _inputs),
    "jax-block-bytes": Tunable(CONSTANTS["jax-block-bytes"]),
}


@dataclass(frozen=True)
class Tried:
    """What was measured of one constant.

    Attributes:
        name: of `TUNABLE`.
        default: the value in the code.
        values: that were tried, in order.
        candidate: the one that looked fastest.
        log_ratios: by case, of each placement: log of the candidate's time over the default's; empty if the candidate
            is the default.
    """

    name: str
    default: int
    values: tuple[int, ...]
    candidate: int
    log_ratios: dict[str, list[float]]


@dataclass(frozen=True)
class Outcome:
    """What came of one constant.

    Attributes:
        name, default, values, candidate: as of `Tried`.
        kept: the value to use from now on.
        case: in which the candidate gains most; '' if nothing looked faster.
        ratio, low, high: of times there, candidate / default, with the 95 % interval.
        worst: the upper end of that interval in the case in which it is highest.
        limit: what it may be at most.
    """

    name: str
    default: int
    values: tuple[int, ...]
    candidate: int
    kept: int
    case: str = ""
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    worst: float = 1.0
    limit: float = 1.0


def log_ratios(tunable: Tunable, base: int, other: int, placements: int = 1) -> dict[str, list[float]]:
    """Return, by case, the log ratio of times, ``other`` / ``base``, of each placement."""
    constant = tunable.constant
    ratios: dict[str, list[float]] = {}
    for text, rows in tunable.cases((base, other)):
        workload = Workload.parse(text)
        problem = make(workload, rows)
        arms = [Arm(constant.backend, workload, problem, {constant.where: value}) for value in (base, other)]
        of_case = ratios[f"{text}, n = {rows:,}"] = []
        for placement in range(placements):
            for arm in arms if placement % 2 else arms[::-1]:
                arm.place()
                arm.lap(time.perf_counter)  # compiles, and touches the memory
            of_case.append(_in_turns(*arms))
    return ratios


def _in_turns(base: Arm, other: Arm) -> float:
    """Return the log ratio of the times of two designs that go there and back."""
    logs: list[float] = []
    begun_s = time.perf_counter()
    for lap in range(MOST_LAPS):
        if lap >= LEAST_LAPS and time.perf_counter() - begun_s > ENOUGH_S:
            break
        arms = (base, other) if lap % 2 else (other, base)
        seconds = {id(arm): arm.lap(time.perf_counter) for arm in arms}
        logs.append(math.log(seconds[id(other)] / seconds[id(base)]))
    return statistics.median(logs)


def walk(
    default: int, compare: Callable[[int, int], dict[str, list[float]]], margin: float
) -> tuple[int, tuple[int, ...]]:
    """Return the value that looks fastest, and the values tried: halves or doubles as long as that looks faster."""
    best, tried = default, []
    for factor in (1 / FACTOR, FACTOR):
        for _ in range(MOST_DOUBLINGS):
            value = int(best * factor)
            if value < 1:
                break
            tried.append(value)
            if not looks_faster(compare(best, value), margin):
                break
            best = value
        if best != default:
            break
    return best, tuple(tried)


def looks_faster(log_ratios: dict[str, list[float]], margin: float) -> bool:
    """Return whether some case is faster by more than the margin, and none slower by more."""
    if not log_ratios:
        return False
    middles = [statistics.fmean(of_case) for of_case in log_ratios.values()]
    return min(middles) < -math.log1p(margin) and max(middles) < math.log1p(margin)


def tried(name: str, tunable: Tunable, margin: float = MARGIN) -> Tried:
    """Try a constant in this process."""
    default = int(value_of(tunable.constant.where))
    candidate, values = walk(default, partial(log_ratios, tunable), margin)
    proof = log_ratios(tunable, default, candidate, PLACEMENTS) if candidate != default else {}
    return Tried(name, default, values, candidate, proof)


def judged(results: Sequence[Tried], margin: float = MARGIN) -> list[Outcome]:
    """Return which values are kept: those proven faster than the default in a case and no slower in all.

    All cases of all candidates are claimed together (Holm); no slower means that the whole 95 % interval of the ratio
    lies below the margin.
    """
    claims = [(result.name, case, logs) for result in results for case, logs in result.log_ratios.items()]
    if not claims:
        return [_outcome(result) for result in results]
    samples = np.array([logs for _, _, logs in claims])
    count = samples.shape[1]
    error = np.maximum(samples.std(axis=1, ddof=1) / math.sqrt(count), LEAST_ERROR)
    ratios = weigh(samples.mean(axis=1), error, count - 1.0, margin)
    proven = verdicts(ratios) == FASTER
    outcomes = []
    for result in results:
        own = [k for k, (name, _, _) in enumerate(claims) if name == result.name]
        if not own:
            outcomes.append(_outcome(result))
            continue
        best = min(own, key=lambda k: float(ratios.ratio[k]))
        worst = max(float(ratios.high[k]) for k in own)
        keep = any(proven[k] for k in own) and worst <= 1 + margin
        interval = (float(values[best]) for values in (ratios.ratio, ratios.low, ratios.high))
        outcomes.append(_outcome(result, keep, claims[best][1], *interval, worst, 1 + margin))
    return outcomes


def _outcome(result: Tried, keep: bool = False, *proof: Any) -> Outcome:
    kept = result.candidate if keep else result.default
    return Outcome(result.name, result.default, result.values, result.candidate, kept, *proof)


def measure(
    names: Sequence[str],
    margin: float = MARGIN,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> list[Tried]:
    """Return what was measured of some of `TUNABLE`, in a fresh process for each backend.

    Raises:
        UsageError: a process that ended before its time.
    """
    results: list[Tried] = []
    for backend in dict.fromkeys(TUNABLE[name].constant.backend for name in names):
        own = [name for name in names if TUNABLE[name].constant.backend == backend]
        progress(len(results) / len(names), own[0])
        for result in _child(backend, own, margin):
            results.append(result)
            progress(len(results) / len(names), f"{backend}: {result.name} tried")
    return results


def _child(backend: str, names: Sequence[str], margin: float) -> Iterator[Tried]:
    """Yield what a process of one backend measures."""
    variables = environment(default_threads(), folder_of_caches("tune") / backend) | {tuned.VARIABLE: tuned.OFF}
    command = [sys.executable, "-P", "-m", "bench.limits.tuning", "--margin", str(margin), backend, *names]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            for line in process.stdout:
                yield _read(json.loads(line))
            said = process.stderr.read().strip().splitlines()
            if process.wait(LONGEST_S):
                raise UsageError(f"{backend} could not be tuned: {said[-1] if said else 'its process ended'}")
        finally:
            process.kill()


def _read(entry: dict[str, Any]) -> Tried:
    return Tried(**{**entry, "values": tuple(entry["values"])})


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what is measured of one backend, a line of JSON for each constant."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m bench.limits.tuning", description=__doc__.splitlines()[0])
    parser.add_argument("backend", choices=sorted({of.constant.backend for of in TUNABLE.values()}))
    parser.add_argument("names", nargs="*", choices=[[], *TUNABLE], metavar="NAME", help=", ".join(TUNABLE))
    parser.add_argument("--margin", type=float, default=MARGIN)
    asked = parser.parse_args(arguments)
    isolate(cpus_for(default_threads()))
    for name, tunable in TUNABLE.items():
        if tunable.constant.backend == asked.backend and name in (asked.names or TUNABLE):
            print(json.dumps(asdict(tried(name, tunable, asked.margin))), flush=True)


if __name__ == "__main__":
    main()
