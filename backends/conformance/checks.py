"""The claims, and `check`, which judges them all on one backend.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from backends.base import Backend, Network
from backends.conformance import (
    arrays,
    determinism,
    exact,
    functions,
    laws,
    minibatches,
    optimizers,
    rates,
    refusals,
    shares,
    sign,
    spikes,
    state,
    trajectory,
)
from backends.conformance.cases import LARGE_NETWORK, Case, fixed, fixed_for, large_of, many_blocks
from backends.conformance.drawn import DRAWS, DRAWS_THAT_COMPILE, drawn
from backends.conformance.report import Claim, Finding, Report, summarise
from backends.conformance.stages import judge_stages, judge_step
from backends.conformance.subject import Problem, Subject

STAGES = ("outputs", "loss", "weights gradients", "biases gradients", "update")


MOST_SHAPED_WORK = 1 << 26
"""Rows times parameters beyond which a shape of the stated set is not judged by spikes and exact sums as well."""


@dataclass(frozen=True)
class Rule:
    """How one claim is judged.

    Attributes:
        judge: yields findings for a subject and cases.
        selected: names out of the fixed set that it is judged on; all of them if empty.
        exact: a claim of equality, which has no ratio.
        own_cases: makes its own cases and takes none.
        large: cases of many rows, judged on top of the stated set.
    """

    judge: Callable[[Subject, tuple[Case, ...]], Iterable[Finding]]
    selected: tuple[str, ...] = ()
    exact: bool = False
    own_cases: bool = False
    large: tuple[Case, ...] = ()


def _judge_stage(claim: str, subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge one stage; all five stages of a case are judged at once and remembered."""
    for case in cases:
        name = str(case)
        if name not in subject.judged:
            subject.judged[name] = _on_case(claim, subject, case, lambda *on: judge_stages(*on).findings)
        yield from (finding for finding in subject.judged[name] if finding.claim == claim or not finding.claim)


def _judge_step(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    def judge(backend: Backend, problem: Problem) -> list[Finding]:
        return judge_step(backend, problem, [trajectory.first_step(subject, backend, problem)]).findings

    for case in cases:
        yield from _on_case("step", subject, case, judge)


def _on_case(claim: str, subject: Subject, case: Case, judge: Callable[..., list[Finding]]) -> list[Finding]:
    """Return the findings of one case; an exception is a finding against every claim that was to be judged."""
    try:
        return judge(subject.on(case.network), case.problem(subject.dtype))
    except Exception as error:  # whatever a stranger's backend raises must not stop the other cases
        return [Finding("", str(case), math.inf, f"raised {type(error).__name__}: {error}")]


RULES: dict[str, Rule] = {
    **{claim: Rule(partial(_judge_stage, claim)) for claim in STAGES},
    "step": Rule(_judge_step),
    spikes.CLAIM: Rule(spikes.check_spikes, large=spikes.LARGE),
    exact.CLAIM: Rule(exact.check_exact, large=exact.LARGE),
    "train": Rule(trajectory.check_train),
    functions.ACTIVATION_CLAIM: Rule(functions.check_activations, own_cases=True),
    functions.LOSS_CLAIM: Rule(functions.check_losses, own_cases=True),
    optimizers.CLAIM: Rule(optimizers.check_optimizers, own_cases=True),
    minibatches.CLAIM: Rule(minibatches.check_minibatches, own_cases=True),
    "sign": Rule(sign.check_sign, sign.SIGNED),
    "rates": Rule(rates.check_rates, own_cases=True),
    "layouts": Rule(arrays.check_layouts, own_cases=True),
    "values": Rule(arrays.check_values, own_cases=True),
    shares.CLAIM: Rule(shares.check_shares, own_cases=True),
    "state": Rule(state.check_state, own_cases=True),
    "determinism": Rule(determinism.check_determinism, exact=True, own_cases=True),
    "laws": Rule(laws.check_laws, exact=True, own_cases=True),
    "refusals": Rule(refusals.check_refusals, exact=True, own_cases=True),
}


def check_claim(claim: str, subject: Subject, cases: tuple[Case, ...], each: Callable[[], None] | None = None) -> Claim:
    """Return one claim judged on ``cases``; an exception of the backend is a failure of the claim.

    ``each`` is called after each finding.
    """
    findings: list[Finding] = []
    try:
        with np.errstate(all="ignore"):  # overflow and NaN are part of the cases
            for finding in RULES[claim].judge(subject, cases):
                findings.append(finding)
                if each:
                    each()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's backend raises must not stop the other claims
        findings.append(Finding(claim, claim, math.inf, f"raised {type(error).__name__}: {error}"))
    return summarise(claim, findings)


def check(
    backend_name: str,
    network: Network | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    quick: bool = False,
    cases: tuple[Case, ...] | None = None,
    claims: tuple[str, ...] | None = None,
    progress: Callable[[float, str], None] | None = None,
    draws: int | None = None,
    seed: int | None = None,
    judged: Callable[[Claim], None] | None = None,
    deep: bool = False,
) -> Report:
    """Judge every claim on one backend.

    Args:
        backend_name: what `backends.load` takes.
        network: judge the numeric claims on this network alone; ``None`` for the stated set of networks.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"cpu"`` or ``"cuda"``.
        quick: fewer cases, and no child processes.
        cases: exactly these cases instead, and of the claims only those that are judged case by case.
        claims: only these claims.
        progress: told the fraction done and which claim is being judged, after each finding.
        draws: cases of shapes that are drawn; ``None`` for the stated number, none of them if ``quick``.
        seed: of the drawn cases, which ``report.seed`` tells; ``None`` for a new one.
        judged: given each claim when it is judged.
        deep: spend minutes on orders of calls and numbers of steps; ``draws`` is as given.

    Raises:
        BackendUnavailable: the framework or the device is not there.
        ValueError: no backend of that name, or it lacks the dtype or the device.
    """
    subject = Subject(backend_name, dtype, device, draws=draws, deep=deep, quick=quick)
    if seed is not None:
        subject.seed = seed
    plan = plan_of(subject, network, quick, cases, claims)
    if any(claim == "determinism" for claim, _ in plan):
        determinism.prefetch(subject)
    claims_judged = []
    for k, (claim, chosen) in enumerate(plan):
        tell = partial(progress or _tell_nobody, k / len(plan), claim)
        tell()
        claims_judged.append(check_claim(claim, subject, chosen, tell))
        if judged:
            judged(claims_judged[-1])
    return Report(backend_name, dtype, device, tuple(claims_judged), subject.products, subject.seed)


def _tell_nobody(fraction: float, claim: str) -> None:
    """Take the place of a ``progress`` that was not given."""


def plan_of(
    subject: Subject,
    network: Network | None = None,
    quick: bool = False,
    cases: tuple[Case, ...] | None = None,
    claims: tuple[str, ...] | None = None,
) -> list[tuple[str, tuple[Case, ...]]]:
    """Return the claims in order, each with its cases."""
    given = fixed(subject.on, quick) if network is None else fixed_for(network, subject.on, quick)
    given = tuple(dict.fromkeys((*given, *drawn(subject.seed, _draws(subject, quick), network))))
    plan = []
    for claim, rule in RULES.items():
        if claims is not None and claim not in claims:
            continue
        if cases is not None:
            if not rule.own_cases:
                plan.append((claim, cases))
        elif rule.selected and network is None:
            plan.append((claim, tuple(case for case in given if str(case) in rule.selected)))
        elif not (quick and rule.own_cases and claim == "determinism"):
            plan.append((claim, given if not rule.large or quick else _shapes(subject, given, rule, network)))
    return plan


def _shapes(subject: Subject, given: tuple[Case, ...], rule: Rule, network: Network | None) -> tuple[Case, ...]:
    """Return the shapes that are not too much work, one of many blocks of wide layers, and one of many rows."""
    small = [case for case in given if case.rows * case.network.parameter_count <= MOST_SHAPED_WORK]
    if network:
        return (*small, *large_of(network))
    return (*small, *map(Case.parse, many_blocks(subject.on(LARGE_NETWORK))), *rule.large)


def _draws(subject: Subject, quick: bool) -> int:
    """Return how many cases are drawn."""
    if subject.draws is not None:
        return subject.draws
    if quick:
        return 0
    return DRAWS_THAT_COMPILE if subject.kind.capabilities.compiles else DRAWS
