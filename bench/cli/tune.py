"""``python -m bench tune``: try the backends' constants on this machine, keep what is proven faster."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING, Any

from bench.basics.formats import counted
from bench.cli import document, flags, messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.limits.tuning import Outcome, Tried


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument(
        "--backends", type=flags.several(flags.name), metavar="LIST", help="some of numpy,numba,torch,jax (all here)"
    )
    flags.alias(parser, "--backend", "backends", flags.several(flags.name))
    flags.add_margin(parser, "smaller gains are not kept")
    parser.add_argument("--reset", action="store_true", help="forget what was kept: the defaults are used again")
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, keep, print."""
    from dataclasses import asdict

    from backends import tuned
    from bench.basics.errors import UsageError

    path = tuned.path()
    if path is None:
        raise UsageError(
            f"no file to keep values in: {tuned.VARIABLE} is {os.environ.get(tuned.VARIABLE, '')!r}, expected a path "
            f"or nothing, in which case there must be a home folder; try: {tuned.VARIABLE}=tuned.json"
        )
    if args.reset:
        return _reset(args, path)
    names = _names(args.backends)
    _check_place(path)
    outcomes = _judged(_measured(names, args.margin), args.margin)
    _keep(outcomes, path)
    if args.json:
        document.show(
            {"path": str(path), "margin": args.margin, "constants": [asdict(outcome) for outcome in outcomes]}
        )
        return 0
    _print(outcomes, path)
    return 0


def _check_place(path: Path) -> None:
    """Make sure that the file can be written, before minutes of measuring rather than after.

    Raises:
        UsageError: it cannot.
    """
    from backends import tuned
    from bench.basics.files import check_output, make_folder

    make_folder(path.parent, path.parent, f"name a file: {tuned.VARIABLE}=tuned.json", mode=0o700)
    check_output(path, tuned.VARIABLE)


def _reset(args: argparse.Namespace, path: Path) -> int:
    """Remove the file."""
    there = path.exists()
    path.unlink(missing_ok=True)
    if args.json:
        document.show({"path": str(path), "removed": there})
    else:
        print(f"{'removed' if there else 'there is no'} {path}: every constant is at its default")
    return 0


def _names(backends: Sequence[str] | None) -> list[str]:
    """Return the constants of the backends asked for, or of those that are here."""
    from backends import available, find
    from bench.basics.errors import UsageError
    from bench.limits.tuning import TUNABLE

    known = list(dict.fromkeys(tunable.constant.backend for tunable in TUNABLE.values()))
    for name in backends or ():
        if name not in known:
            raise UsageError(f"backend {name!r} has no constants to tune; expected some of {', '.join(known)}")
        find(name)  # says what is missing
    asked = backends or [name for name in known if name in available("best")]
    return [name for name, tunable in TUNABLE.items() if tunable.constant.backend in asked]


def _measured(names: Sequence[str], margin: float) -> list[Tried]:
    """Return what was measured, with progress and a warning if others measure as well."""
    from bench.limits import tuning
    from bench.measure import neighbours
    from bench.terminal import terminal

    with neighbours.announced(f"tune {os.getpid()}") as others, terminal.progress("tuning") as bar:
        if there := others.now():
            messages.warn(neighbours.warning(there))
        return tuning.measure(names, margin, bar.update)


def _judged(results: Sequence[Tried], margin: float) -> list[Outcome]:
    from bench.limits import tuning

    return tuning.judged(results, margin)


def _keep(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write what is kept, with what was kept before of backends that were not tried now."""
    from backends import tuned
    from bench.basics.files import write_text

    tried = {outcome.name for outcome in outcomes}
    before = {name: value for name, value in tuned.stored().values.items() if name not in tried}
    kept = {name: (value.value, value.default) for name, value in before.items()}
    kept |= {outcome.name: (outcome.kept, outcome.default) for outcome in outcomes if outcome.kept != outcome.default}
    write_text(path, tuned.text_of(kept))
    tuned.stored.cache_clear()


def _print(outcomes: Sequence[Outcome], path: Path) -> None:
    from bench.terminal import terminal

    out = terminal.console()
    out.print(
        terminal.table(
            ["constant", ("default", "right"), ("tried", "right"), ("kept", "right"), ("time", "right")],
            [_row(outcome) for outcome in outcomes],
        )
    )
    out.print(
        "\ntried: times the default. time: with the value that looked fastest / with the default, in the case that "
        "gains most; -: nothing looked faster. In brackets the 95 % interval."
    )
    for outcome in outcomes:
        if outcome.case:
            out.print(_proof(outcome))
    kept = [outcome for outcome in outcomes if outcome.kept != outcome.default]
    if kept:
        out.print(f"\n{len(kept)} of {counted(len(outcomes), 'constant')} not at the default now. Kept in {path}")
        out.print("next: python -m bench check; back to the defaults: python -m bench tune --reset")
    else:
        out.print("\nThe defaults are kept: no other value is proven faster here.")


def _row(outcome: Outcome) -> list[Any]:
    time = f"{outcome.ratio:.2f}" if outcome.case else "-"
    tried = ", ".join(_factor(value / outcome.default) for value in outcome.values)
    return [outcome.name, _size(outcome.default), tried, _size(outcome.kept), time]


def _size(size: int) -> str:
    from backends.tuned import NEVER

    return "never" if size >= NEVER else f"{size:,}"


def _factor(factor: float) -> str:
    """Return 2 as ``2`` and what is about a half as ``1/2``."""
    doublings = round(math.log2(factor))
    return str(2**doublings) if doublings >= 0 else f"1/{2**-doublings}"


def _proof(outcome: Outcome) -> str:
    """Say how sure the gain of a candidate is, and what became of it."""
    said = f"{outcome.name} {outcome.candidate:,}: {outcome.ratio:.2f} of the time ({outcome.low:.2f} to "
    said += f"{outcome.high:.2f}) at {outcome.case}; "
    if outcome.kept != outcome.default:
        return said + "kept"
    return said + ("not proven" if outcome.worst <= outcome.limit else f"up to {outcome.worst:.2f} in another case")
