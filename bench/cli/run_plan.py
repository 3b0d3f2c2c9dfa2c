"""The plan that the flags of ``run`` ask for.

Tests: `tests/bench/cli/test_run.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.names import PHASES
from bench.cli import messages, workloads
from bench.machine import default_threads
from bench.measure import budget, contenders, thread_search
from bench.measure import plan as plans
from bench.measure.cell import Group
from bench.measure.pace import Pace
from bench.measure.plan import Plan
from bench.measure.timing import Effort
from bench.workload import Workload

QUICK_S, DEFAULT_S = 85.0, 570.0
QUICK_NETWORKS = ("3-2-1", "8-32-1", "784-512-10")
QUICK_ROWS, QUICK_STEP_S = (1, 256, 16_384), 0.1
QUICK_PHASES = ("place", "step", "train")
LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 30.0, 300.0
COMPILING_S = 50.0
"""Of compiling everything in the default grid on two cores, once for each version of the code."""


def make_plan(args: argparse.Namespace, pace: Pace) -> Plan:
    """Return the plan that the flags ask for, fitted into its budget.

    A campaign is adaptive unless its grid, its processes or the time of its cells were asked for. An adaptive campaign
    searches the number of threads unless that was asked for.

    Raises:
        UsageError: what was asked for does not fit this machine.
        BackendUnavailable: a backend was asked for by name and is not here.
    """
    dtypes, devices = args.dtypes or ("float32",), args.devices or ("cpu",)
    whole = bool(args.batches or args.phases)
    adaptive = not (whole or args.processes or args.cell_time)
    searching = adaptive and not args.threads
    asked, unfit = _workloads(args)
    backends = _backends(args, dtypes, devices, asked)
    threads = args.threads or (thread_search.counts(devices) if searching else (default_threads(),))
    contenders.check_threads(threads)
    aa = _aa(args.aa, backends)
    arms = (len(backends) + bool(aa)) * (1 if searching else len(threads))  # searched groups are small
    groups, too_large = _groups(args, asked, dtypes, devices, arms)
    searched = thread_search.searched(groups) if len(threads) > 1 and searching else ()
    budget_s, compiling_s = args.budget or (QUICK_S if args.quick else DEFAULT_S), 0.0
    if args.warm and not args.quick and adaptive and any(map(pace.compiles, backends)):
        compiling_s = COMPILING_S
        messages.note(f"kernels of this code are compiled first: up to {COMPILING_S:g} s on top of the budget")
    plan = Plan(
        groups,
        plans.checked_phases(args.phases or (QUICK_PHASES if args.quick else PHASES)),
        backends,
        aa,
        threads if searched or not searching else threads[-1:],
        effort=_effort(args.quick, adaptive),
        timeout_s=args.timeout or min(max((budget_s + compiling_s) / 2, LEAST_TIMEOUT_S), MOST_TIMEOUT_S),
        left_out=(*unfit, *too_large),
        own_cache=not (args.quick or args.warm),
        adaptive=adaptive,
        thread_search=searched,
    )
    return budget.fit(plan, budget_s + compiling_s, pace, args.processes, args.cell_time, whole, compiling_s)


def _workloads(args: argparse.Namespace) -> tuple[list[Workload], list[str]]:
    """Return the workloads to measure, and a line for each default network that cannot have the loss asked for."""
    if args.networks:
        return workloads.asked(args, args.networks), []
    usual = tuple(map(Network.parse, QUICK_NETWORKS)) if args.quick else plans.NETWORKS
    networks, unfit = workloads.fitting(args, usual)
    return workloads.asked(args, networks), unfit


def _backends(
    args: argparse.Namespace, dtypes: Sequence[str], devices: Sequence[str], asked: Sequence[Workload]
) -> tuple[str, ...]:
    """Return the backends named, or all that are here; say why each of the others is left out."""
    if args.backends:
        return contenders.named(args.backends, dtypes, devices, asked)
    backends, without = contenders.present(dtypes, devices, asked)
    for name, reason in without:
        messages.note(reason, f"without {name}: ")
    return backends


def _aa(asked: str | None, backends: Sequence[str]) -> str:
    """Return the backend that is measured twice, '' for none."""
    if asked == "none":
        return ""
    if asked and asked not in backends:
        raise UsageError(f"--aa {asked}: expected one of the backends of this run, {', '.join(backends)}, or none")
    return asked or backends[0]


def _groups(
    args: argparse.Namespace, asked: Sequence[Workload], dtypes: Sequence[str], devices: Sequence[str], arms: int
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups to measure, and a line for each of the default grid that is too large for this machine."""
    if args.batches:
        return plans.asked_groups(asked, args.batches, dtypes, devices, arms), ()
    rows, longest_s = (QUICK_ROWS, QUICK_STEP_S) if args.quick else (plans.ROWS, plans.LONGEST_STEP_S)
    return plans.default_groups(asked, rows, dtypes, devices, arms, longest_s)


def _effort(quick: bool, adaptive: bool) -> Effort:
    """Return how long to look at a cell: an adaptive campaign times few rounds of slow calls, and proves fewer rows."""
    if adaptive:
        return Effort(least_rounds=8, fewest_rounds=2, most_s=0.6, check_s=0.1)
    return Effort(check_s=0.1) if quick else Effort()
