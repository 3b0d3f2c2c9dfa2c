"""The claim on shares: messages of the parts of a batch add up to that of the batch, however it is parted.

The bounds of one batch hold as they are, since they hold for any order of a sum. If a backend cannot place shares and
`backends.Shares` scales its messages, three more roundings are allowed. In float32 the bound of thousands of rows would
let a mean of means or a lost row pass, so few rows, very unequal parts and exact sums are judged as well.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Network
from backends.chunks import Share
from backends.conformance import exact
from backends.conformance.bounds import Precision
from backends.conformance.cases import Case
from backends.conformance.composed import ball_of_gradients, balls_of_steps, exact_params
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params, judge_step, judge_train
from backends.conformance.subject import Problem, Subject, precision_of
from backends.shares import SharedBatch, Shares

CLAIM = "shares"
FEW = Case.parse("3-2-1/n=9/normal")
MANY = Case.parse("3-2-1/n=9001/normal")
EXACT = ((9001, (4500, 4501)), (1 << 20, (1, (1 << 19) - 1, 1 << 19)))
"""Rows, and rows of each share, of sums that round nowhere, or only in the factor ``1 / N``."""
EXACT_SCALED = ((1 << 20, (1 << 18, 1 << 18, 1 << 19)),)
"""The same for a backend whose messages are scaled: the mean of each share is exact too."""
SCALED = 3
"""Roundings of a message that is scaled by rows / ``of``: of the quotient, of the product, and of the mean's own."""


def check_shares(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge partitions of few and of many rows, steps of shares, and exact sums."""
    for case in (FEW,) if subject.quick else (FEW, MANY):
        backend, problem = subject.on(case.network), case.problem(subject.dtype)
        yield from judge_partitions(backend, problem, partitions(case.rows)).findings
    backend, problem = subject.on(FEW.network), FEW.problem(subject.dtype)
    tallies = [judge_itself(backend, problem)]
    if backend.capabilities.shares:
        parted, steps = Parted(backend, (1, 8)), balls_of_steps(problem, 2, precision_of(backend, problem.work))
        tallies += [judge_step(parted, problem, steps), judge_train(parted, problem, steps)]
    for tally in tallies:
        yield from (
            Finding(CLAIM, found.case, found.ratio, f"{found.claim}: {found.where}") for found in tally.findings
        )
    exact_sums = EXACT if backend.capabilities.shares else EXACT_SCALED
    for rows, sizes in exact_sums[-1:] if subject.few else exact_sums:
        yield from judge_exact_shares(subject.on(Network((3, 2, 1))), rows, sizes).findings


def partitions(rows: int) -> tuple[tuple[int, ...], ...]:
    """Return rows of each share: all in one, one row and the rest, none and all, uneven thirds, sevenths."""
    seventh = rows // 7
    thirds = rows // 4, rows // 2, rows - rows // 4 - rows // 2
    return (rows,), (1, rows - 1), (0, rows), thirds, (*6 * (seventh,), rows - 6 * seventh)


class Parted(Shares):
    """A backend whose batches are shares of these numbers of rows."""

    def __init__(self, backend: Backend, sizes: Sequence[int]) -> None:
        super().__init__(backend)
        self.sizes = sizes

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Place all rows, share by share."""
        n = len(inputs)  # type: ignore[arg-type] # the kit places arrays
        return SharedBatch([self.place_share(*part, of=n) for part in self.parts(inputs, targets)], n, (n,))

    def parts(self, inputs: ArrayLike, targets: ArrayLike) -> Iterator[tuple[Array, Array]]:
        """Yield inputs and targets of each share."""
        ends = np.cumsum(self.sizes)[:-1]
        yield from zip(np.split(inputs, ends), np.split(targets, ends), strict=True)


def judge_partitions(backend: Backend, problem: Problem, parts: Sequence[Sequence[int]]) -> Tally:
    """Judge loss and gradients of a batch in parts, placed and cut, from the inputs and parameters."""
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    native = backend.capabilities.shares
    gradients, loss = ball_of_gradients(problem, exact_params(problem, p), p, 0 if native else SCALED)
    params = backend.place_params(problem.params)
    for sizes in parts:
        parted = Parted(backend, sizes)
        batches = [("", parted.place_batch(problem.inputs, problem.targets))]
        if native and backend.capabilities.minibatches and len(sizes) == len(parts[-2]):
            batches.append((" cut", _cut(parted, problem, sizes)))
        if len(sizes) == len(parts[-2]):
            batches.append((" in chunks", parted.place_chunks(parted.parts(problem.inputs, problem.targets))))
        for how, batch in batches:
            what = f"{'+'.join(map(str, sizes))} rows{how}, "
            message = parted.message(params, batch)
            if not tally.require(CLAIM, f"{what}message", message, (problem.network.parameter_count + 1,)):
                return tally
            got_loss, got = parted.from_message(message)
            tally.judge(CLAIM, f"{what}loss", float(got_loss), loss)
            judge_params(tally, CLAIM, backend.fetch(got), gradients, what)
    return tally


def judge_itself(backend: Backend, problem: Problem) -> Tally:
    """Judge that a batch given as a share of itself has the same bits, and that a message stays what it is."""
    tally = Tally(problem.name, precision_of(backend, problem.work), backend.dtype)
    params = backend.place_params(problem.params)
    batch = backend.place_batch(problem.inputs, problem.targets)
    message = backend.message(params, batch)
    kept = message.tobytes()
    if backend.capabilities.shares:
        share: Any = backend.place_batch(problem.inputs, problem.targets, of=len(problem.inputs))  # type: ignore[call-arg]
        if backend.message(params, share).tobytes() != kept:
            tally.refute(CLAIM, "of = the rows of the batch gives other bits than no of")
    backend.message(params, backend.place_batch(problem.inputs[:1], problem.targets[:1]))
    if message.tobytes() != kept:
        tally.refute(CLAIM, "a message changed while another one was computed")
    tally.confirm(CLAIM)
    return tally


def judge_exact_shares(backend: Backend, rows: int, sizes: Sequence[int]) -> Tally:
    """Judge loss and gradients of shares of exact data: every row counts, once, and no number is narrowed."""
    name = f"{backend.network}/n={rows}, exact"
    p: Precision = precision_of(backend, rows * backend.network.parameter_count)
    tally = Tally(name, p, backend.dtype)
    if not exact.applies(backend):
        return tally
    made = exact.make(backend.network, rows, backend.dtype, name)
    problem = made.problem
    gradients, loss, _ = exact.balls(made, p, 0 if made.whole else len(sizes))
    parted = Parted(backend, sizes)
    params = backend.place_params(problem.params)
    got_loss, got = parted.gradients(params, parted.place_batch(problem.inputs, problem.targets))
    what = f"{'+'.join(map(str, sizes))} rows, exact, "
    tally.judge(CLAIM, f"{what}loss", float(got_loss), loss)
    judge_params(tally, CLAIM, backend.fetch(got), gradients, what)
    return tally


def _cut(parted: Parted, problem: Problem, sizes: Sequence[int]) -> SharedBatch:
    """Return the shares as they are cut from one batch on the device."""
    whole = Shares(parted.inner).place_batch(problem.inputs, problem.targets).whole
    ends: Array = np.cumsum((0, *sizes))
    shares = [
        Share(parted.inner.cut(whole, int(start), int(stop), int(ends[-1])), 1.0) for start, stop in pairwise(ends)
    ]
    return SharedBatch(shares, int(ends[-1]), (int(ends[-1]),))
