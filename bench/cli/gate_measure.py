"""What a gate measures: its grid, fitted into the budget, of one side or of both, and what is said before it starts.

Tests: `tests/bench/cli/test_gate_command.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.basics.names import BASE, GATE
from bench.cli import messages

if TYPE_CHECKING:
    from bench.measure.base_code import BaseCode
    from bench.measure.pace import Pace
    from bench.measure.plan import Plan
    from bench.results import Run

NETWORKS, ROWS = ("3-2-1", "8-32-1", "64-64-64-1"), (1, 1_024, 16_384)
LONGEST_STEP_S = 0.05


def backends(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the backends asked for, or the built-in ones that are here."""
    from backends import catalogue
    from bench.measure import contenders

    if args.backends:
        return contenders.named(args.backends, dtypes(args), ["cpu"])
    built_in = {entry.name for entry in catalogue("best")}
    names, without = contenders.present(dtypes(args), ["cpu"])
    for name, reason in without:
        messages.note(reason, f"without {name}: ")
    return tuple(name for name in names if name in built_in)


def dtypes(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the dtypes asked for, or float32."""
    return args.dtypes or ("float32",)


def plan(args: argparse.Namespace, names: tuple[str, ...], against: str, pace: Pace) -> Plan:
    """Return the plan of both sides, or of the code here alone if it is held ``against`` nothing yet."""
    from backends import Network
    from bench.machine import default_threads
    from bench.measure import budget, contenders
    from bench.measure import plan as plans
    from bench.measure.timing import Effort

    threads = args.threads or (default_threads(),)
    contenders.check_threads(threads)
    networks = args.networks or tuple(map(Network.parse, NETWORKS))
    arms = (2 if against else 1) * len(names) * len(threads)
    if args.batches:
        groups = plans.asked_groups(networks, args.batches, dtypes(args), ("cpu",), arms)
        left_out: tuple[str, ...] = ()
    else:
        groups, left_out = plans.default_groups(networks, ROWS, dtypes(args), ("cpu",), arms, LONGEST_STEP_S)
    asked = plans.Plan(
        groups,
        plans.checked_phases(args.phases or ("step",)),
        names,
        threads=threads,
        effort=Effort(check_s=0.1),
        timeout_s=max(args.budget, 30.0),
        left_out=left_out,
        own_cache=False,
        against=against,
    )
    return budget.fit(asked, args.budget, pace, args.processes, whole=bool(args.batches))


def measured(
    args: argparse.Namespace,
    names: tuple[str, ...],
    against: str = "",
    codes: Mapping[str, BaseCode] | None = None,
    asked: Plan | None = None,
    label: str = "",
) -> Run | None:
    """Measure, with progress.

    Args:
        args: the flags.
        names: of the backends.
        against: the label of the base; '' to measure the code here alone.
        codes: by arm: the code that it runs, if it is not the code here.
        asked: a plan to measure again, instead of the one that the flags ask for.
        label: of the run.

    Returns:
        The run, ``None`` if it was interrupted.
    """
    from backends import tuned
    from bench.measure import campaign
    from bench.terminal import terminal

    os.environ[tuned.VARIABLE] = tuned.OFF  # both sides as they are shipped; the base may not know of tuned values
    pace = campaign.earlier_pace(args.results)
    fitted = asked or plan(args, names, against, pace)
    stored = campaign.create(fitted, GATE, sys.argv, label or against, args.results)
    if not args.json:
        print(foreword(fitted, args))
    try:
        with terminal.progress("measuring") as bar:
            campaign.carry_out(
                stored, fitted, pace, report=lambda state: bar.update(state.fraction, state.text), codes=codes
            )
    except KeyboardInterrupt:
        gone = ", and the base's folder is removed" if BASE in (codes or {}) else ""
        kept = (
            "nothing was measured"
            if campaign.discarded_if_empty(stored)
            else f"what was measured is kept in {stored.path}"
        )
        messages.note(f"interrupted; {kept}{gone}")
        return None
    return stored


def foreword(plan: Plan, args: argparse.Namespace) -> str:
    """Say what will be measured, and what that should find."""
    from bench.basics.formats import counted, format_seconds
    from bench.terminal.wrapping import wrap
    from bench.verdicts.gate import expected

    sides = f" and their base {plan.against}" if plan.against else ""
    limit = f", in {format_seconds(plan.budget_s)}" if plan.budget_s else ""
    said = f"{', '.join(plan.backends)}{sides}: {counted(len(plan.cells), 'cell')}, {plan.processes} processes of each"
    said += f"{limit}."
    if plan.left_out:
        said += f" Left out: {'; '.join(plan.left_out)}."
    if not plan.against:
        return wrap(said)
    slow_down = expected(plan.processes, args.margin, args.results)
    if slow_down is None:
        said += " What this can find is not known before the first gate here, or run with an A/A arm."
    else:
        said += f" On this machine that should find a slow-down of {percent(slow_down)} in nine of ten cells."
    return wrap(said)


def percent(share: float) -> str:
    """Return a share in percent, with two digits."""
    return f"{100 * share:.2g} %"
