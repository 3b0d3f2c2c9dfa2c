"""What ``run`` says to a person: the plan before it starts, and the outcome.

Tests: `tests/bench/cli/test_run.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bench.cli import flags

if TYPE_CHECKING:
    from bench.measure.outcome import Outcome
    from bench.measure.plan import Plan


def show_plan(plan: Plan, estimate_s: float) -> None:
    """Print what will be measured, and how long it should take."""
    from bench.terminal import terminal

    out = terminal.console()
    networks: dict[str, list[int]] = {}
    for group in sorted(plan.groups, key=lambda group: group.rows):
        networks.setdefault(str(group.workload), []).append(group.rows)
    rows = [
        (network, ", ".join(terminal.format_count(count) for count in dict.fromkeys(counts)))
        for network, counts in networks.items()
    ]
    out.print(terminal.table([("network", "left"), ("rows of a batch", "left")], rows))
    dtypes = ", ".join(dict.fromkeys(group.dtype for group in plan.groups))
    devices = ", ".join(dict.fromkeys(group.device for group in plan.groups))
    timed = f"{terminal.format_seconds(plan.effort.timed_s)} of rounds a cell"
    if plan.adaptive:
        how = f"2 fresh processes or more, {timed}; up to {plan.processes} if the fastest is not decided"
    else:
        how = f"{plan.processes} processes, {timed}; {plan.processes * len(plan.arms)} processes in all"
    lines = [
        ("phases", ", ".join(plan.phases)),
        ("backends", f"{', '.join(plan.backends)}{f'; {plan.aa} twice (A/A)' if plan.aa else ''}"),
        ("on", f"{dtypes}; {devices}; threads {', '.join(map(str, plan.threads))}"),
        ("each in", how),
    ]
    reasons: dict[str, list[str]] = {}
    for line in plan.left_out:
        what, _, why = line.partition(": ")
        reasons.setdefault(why, []).append(what)
    lines += [("left out", f"{'; '.join(left_out)}: {why}") for why, left_out in reasons.items()]
    print(f"\n{terminal.facts([*lines, ('estimate', terminal.format_seconds(estimate_s))])}\n")


def show_outcome(outcome: Outcome) -> None:
    """Print the time of a step by backend, what failed, where the run is kept and which command comes next."""
    from bench.results import load
    from bench.terminal import terminal
    from bench.terminal.summary import step_table
    from bench.terminal.wrapping import wrap
    from bench.verdicts import conditions

    out = terminal.console()
    frame = load(outcome.run)
    columns, rows = step_table(frame)
    if rows:
        out.print(terminal.table(columns, rows, title="time of a step"))
        out.print()
    aside, rounds = int(frame["set_aside"].sum()), int(frame["rounds"].sum() + frame["set_aside"].sum())
    print(
        wrap(
            f"{outcome.processes} processes in {terminal.format_seconds(outcome.total_s)}; {rounds:,} rounds, "
            f"{aside:,} of them spoiled by the machine and set aside"
        )
    )
    if warning := conditions.busy(frame):
        print(wrap(warning))
    if outcome.stopped:
        print(wrap(outcome.stopped, "stopped early: "))
    for line in outcome.failures:
        print(wrap(line, "FAILED "))
    print(wrap(os.path.relpath(outcome.run.path), "kept in "))
    print(wrap(f"python -m bench compare {outcome.run.id}{flags.leading_to(outcome.run)}", "next: "))
