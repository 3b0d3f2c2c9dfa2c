"""Claims about ranks: one batch shared out among several processes is trained on as on one.

Every rank makes the whole problem of a case, places its own rows, and judges what it gets as on one process: the bounds
hold for any order of sums, so also for any sharing out. In float32 the bound of thousands of rows is wider than the
effect of a lost row, so exact sums judge those. The parameters have to be the same bits on all ranks.

Runs `python -m backends.conformance.ranks ENGINE FILE TASKS` on each rank.

Tests: `tests/backends/conformance/test_ranks.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Backend, Network, parse_optimizer
from backends.conformance import exact
from backends.conformance.cases import Case
from backends.conformance.judge import Tally
from backends.conformance.report import SEVERITY, Claim, Finding, summarise
from backends.conformance.stages import judge_params, judge_step
from backends.conformance.subject import Problem, precision_of
from backends.conformance.trajectory import judge_local_steps
from backends.optimizers import Optimizer
from backends.ranks import Ranks, join
from backends.registry import find
from backends.shares import SharedBatch, Shares

TIMEOUT_S = 60.0
CASES = ("3-2-1/n=3/tutorial", "3-2-1/n=64/normal", "8-32-1/n=257/normal")
TRAINED = "3-2-1/n=64/normal"
STEPS, FEWER_STEPS, RATE = 1000, 100, 1e-3
EXACT_ROWS = (9001, 1 << 20)
EXACT = Network((3, 2, 1))

Deal = tuple[int, ...]


class Dealt(Shares):
    """Backends on trial: each rank is given the whole batch, and places the rows that it is dealt.

    Attributes:
        deal: number of rows of each rank.
    """

    deal: Deal = ()

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Place this rank's rows."""
        first = sum(self.deal[: self.ranks.rank])
        mine = slice(first, first + self.deal[self.ranks.rank])
        return super().place_batch(np.asarray(inputs)[mine], np.asarray(targets)[mine], of)


class OnRanks:
    """One backend in one dtype on trial, on all ranks."""

    def __init__(self, name: str, dtype: str, device: str, ranks: Ranks, kind: type[Dealt]) -> None:
        self.name, self.dtype, self.device, self.ranks, self.kind = name, dtype, device, ranks, kind
        self._instances: dict[tuple[Network, Optimizer | None], Dealt] = {}

    def on(self, network: Network, deal: Deal, optimizer: Optimizer | None = None) -> Dealt:
        """Return the instance for a network, which deals out rows in this way."""
        known = network, optimizer
        if known not in self._instances:
            chosen: dict[str, Any] = {} if optimizer is None else {"optimizer": optimizer}
            backend = find(self.name)(network, self.dtype, self.device, **chosen)
            self._instances[known] = self.kind(backend, self.ranks)
        self._instances[known].deal = deal
        return self._instances[known]


def deals(n: int, size: int) -> list[Deal]:
    """Return ways to share ``n`` rows out: evenly, one row for one rank, none for one rank, all for the last."""
    even = tuple(n // size + (rank < n % size) for rank in range(size))
    one = (1, *(len(part) for part in np.array_split(np.arange(n - 1), size - 1)))
    none = (n // 3, *(0,) * (size - 2), n - n // 3)
    return list(dict.fromkeys([even, even[::-1], one, none, (*(0,) * (size - 1), n)]))


def judge_steps(subject: OnRanks) -> Iterator[Finding]:
    """Judge one step, of every case and deal."""
    for case in map(Case.parse, CASES):
        problem = case.problem(subject.dtype)
        for deal in deals(case.rows, subject.ranks.size):
            yield from _named(judge_step(subject.on(case.network, deal), problem), deal)


def judge_training(subject: OnRanks) -> Iterator[Finding]:
    """Judge steps one after another, of every case and deal."""
    for case in map(Case.parse, CASES):
        problem = case.problem(subject.dtype)
        for deal in deals(case.rows, subject.ranks.size):
            yield from _named(judge_local_steps(subject.on(case.network, deal), problem), deal)


def judge_exact_sums(subject: OnRanks) -> Iterator[Finding]:
    """Judge step and train on data whose sums are exact in any order; a row that is lost or counted twice shows."""
    for n in EXACT_ROWS:
        even, *_, none, _ = deals(n, subject.ranks.size)
        for deal in (even, none) if n == EXACT_ROWS[0] else (even,):
            yield from _named(_exact(subject.on(EXACT, deal), n), deal)


def judge_bits(subject: OnRanks) -> Iterator[Finding]:
    """Judge that many steps give the same bits on every rank, and the same again; with every optimiser."""
    case = Case.parse(TRAINED)
    problem = case.problem(subject.dtype)
    for name in find(subject.name).capabilities.optimizers:
        optimizer = None if name == "descent" else parse_optimizer(name)
        deal = deals(case.rows, subject.ranks.size)[2]
        backend = subject.on(case.network, deal, optimizer)
        steps = STEPS if optimizer is None else FEWER_STEPS
        runs = [_digest(*_trained(backend, problem, steps)) for _ in range(2)]
        everywhere = [text.split() for text in subject.ranks.gather(" ".join(runs))]
        where = f"{name}, {steps} steps"
        unequal = [rank for rank, (first, _) in enumerate(everywhere) if first != everywhere[0][0]]
        repeats = "process" in backend.inner.capabilities.deterministic
        if unequal:
            where = f"{where}: rank {unequal[0]} differs from rank 0"
        elif repeats and any(first != again for first, again in everywhere):
            where, unequal = f"{where}: the second time differs from the first", [0]
        yield Finding("bits", f"{TRAINED} as {_text(deal)} rows", math.inf if unequal else 0.0, where)


CLAIMS: dict[str, Callable[[OnRanks], Iterator[Finding]]] = {
    "step": judge_steps,
    "train": judge_training,
    "exact sums": judge_exact_sums,
    "bits": judge_bits,
}


def judge(ranks: Ranks, name: str, dtype: str, device: str, kind: type[Dealt]) -> Iterator[Claim]:
    """Yield every claim, as judged by the rank that found it worst."""
    subject = OnRanks(name, dtype, device, ranks, kind)
    for claim, rule in CLAIMS.items():
        with np.errstate(all="ignore"):
            mine = summarise(claim, list(rule(subject)))
        found = [_claim_of(text) for text in ranks.gather(json.dumps(asdict(mine)))]
        yield max(found, key=lambda each: (SEVERITY.index(each.status), each.ratio))


def _claim_of(text: str) -> Claim:
    return Claim(**json.loads(text))


def _named(tally: Tally, deal: Deal) -> Iterator[Finding]:
    """Return findings that say how the rows were dealt out."""
    for finding in tally.findings:
        yield Finding(
            finding.claim, f"{finding.case} as {_text(deal)} rows", finding.ratio, finding.where, finding.sharp_ratio
        )


def _text(deal: Deal) -> str:
    return " + ".join(map(str, deal))


@lru_cache(maxsize=4)
def _exact_problem(n: int, dtype: str) -> exact.Exact:
    return exact.make(EXACT, n, dtype, f"{EXACT}/n={n}/exact")


def _exact(backend: Dealt, n: int) -> Tally:
    made = _exact_problem(n, backend.dtype)
    p = precision_of(backend, n * EXACT.parameter_count)
    tally = Tally(made.problem.name, p, backend.dtype)
    if not exact.applies(backend):
        return tally
    _, loss, new = exact.balls(made, p)
    rate, batch = made.problem.learning_rate, backend.place_batch(made.problem.inputs, made.problem.targets)
    stepped, got = backend.step(backend.place_params(made.problem.params), batch, rate)
    tally.judge(exact.CLAIM, "loss of step", float(got), loss)
    judge_params(tally, exact.CLAIM, backend.fetch(stepped), new, "step of ")
    trained, losses = backend.train(backend.place_params(made.problem.params), batch, rate, 1)
    tally.judge(exact.CLAIM, "loss of train", np.asarray(losses, np.float64)[0], loss)
    judge_params(tally, exact.CLAIM, backend.fetch(trained), new, "one step of train of ")
    return tally


def _trained(backend: Backend, problem: Problem, steps: int) -> tuple[Any, Any]:
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, losses = backend.train(backend.place_params(problem.params), batch, RATE, steps)
    return backend.fetch(params), losses


def _digest(params: Any, losses: Any) -> str:
    hashed = hashlib.sha256()
    for array in (*(array for layer in params for array in layer), losses):
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


def main(engine: str, file: str, tasks: str) -> None:
    """Judge every task: a backend, dtype, device and way to share each. Rank 0 writes each claim once it is judged."""
    with join(engine, TIMEOUT_S) as ranks, Path(file if ranks.rank == 0 else "/dev/null").open("a") as records:
        for task, (backend, dtype, device, dealt) in enumerate(json.loads(tasks)):
            module, _, name = dealt.partition(":")
            kind: type[Dealt] = getattr(importlib.import_module(module), name)
            for claim in judge(ranks, backend, dtype, device, kind):
                _write(records, {"task": task, "claim": asdict(claim)})


def _write(records: TextIO, record: dict[str, Any]) -> None:
    records.write(json.dumps(record) + "\n")
    records.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
