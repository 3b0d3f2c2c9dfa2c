"""What ``train`` says to a person: what is about to be trained, and what came of it.

Tests: `tests/bench/cli/test_train.py`.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from backends.base import Array
    from bench.training.prediction import ClassScore, Score
    from bench.training.prepare import Prepared
    from bench.training.training import Training


def introduce(args: argparse.Namespace, prepared: Prepared) -> None:
    """Say what is about to be trained, and what was done to the data."""
    from bench.terminal.terminal import facts, format_count

    parts, network = prepared.parts, prepared.network
    names = parts.inputs.columns
    scaled = "every input" if prepared.classes else "every column"
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    rows = prepared.rows + len(parts.held_x)
    dropped = f" ({format_count(prepared.rows_dropped)} with missing values left out)" if prepared.rows_dropped else ""
    lines = [
        ("data", f"{format_count(rows)} rows{dropped} of {args.data}"),
        ("inputs", listed),
        _target(args, prepared),
        ("scaled", f"{scaled} to mean 0 and standard deviation 1 over the rows trained on"),
        (
            "split",
            f"{format_count(prepared.rows)} rows to train on, {format_count(len(parts.held_x))} held out for scoring",
        ),
        (
            "network",
            f"{network}: {format_count(network.parameter_count)} parameters, {network.activation} hidden units, "
            f"{args.dtype}",
        ),
        ("backend", f"{prepared.backend.name} on {args.device} ({prepared.why}){_ranks(prepared)}"),
        ("training", _course(prepared)),
    ]
    if parts.inputs.constant:
        lines.insert(4, ("constant", f"{', '.join(parts.inputs.constant)}: the same in every row, so without effect"))
    print(facts(lines))


def _ranks(prepared: Prepared) -> str:
    """Return what shares the rows, '' if nothing does."""
    facts = prepared.backend.describe()
    return f", on {facts['ranks']} ranks by {facts['engine']}" if facts.get("ranks", 1) != 1 else ""


def _target(args: argparse.Namespace, prepared: Prepared) -> tuple[str, str]:
    """Return the line about what is to be predicted."""
    columns = prepared.parts.targets.columns
    if prepared.classes is None:
        return "target" if len(columns) == 1 else "targets", ", ".join(columns)
    listed = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
    why = "" if args.loss else "; loss cross-entropy, as this column is text"
    return "classes", f"{len(columns)} in column {prepared.classes.column}: {listed}{why}"


def _course(prepared: Prepared) -> str:
    """Return the line about how training goes."""
    from bench.basics.formats import counted
    from bench.terminal.terminal import format_count

    rate = f"learning rate {prepared.learning_rate:g}{' (suggested)' if prepared.suggested else ''}"
    kind = "full-batch steps"
    if prepared.stream and prepared.rows_per_step:
        epoch, source = (
            prepared.stream.steps(prepared.rows_per_step),
            "kept in memory" if prepared.stream.keep else "read each time",
        )
        kind = (
            f"steps of {format_count(prepared.rows_per_step)} rows, {format_count(epoch)} an epoch, the table {source},"
        )
    elif prepared.stream:
        kind = f"full-batch steps on {counted(len(prepared.stream.sizes), 'chunk')} read from disk,"
    stop = f", until {prepared.patience} checks bring no lower held-out loss" if prepared.patience else ""
    return f"{format_count(prepared.steps)} {kind} of {prepared.backend.optimizer}, at {rate}{stop}"


def conclude(
    out: Console,
    prepared: Prepared,
    trained: Training,
    stopped_by: str,
    seen: Score | ClassScore,
    held: Score | ClassScore | None,
) -> None:
    """Show the curve, the scores, and what to try next."""
    from bench.terminal.terminal import format_count
    from bench.terminal.training import advice

    out.print()
    done = len(trained.losses)
    if done < prepared.steps:
        how = "early" if trained.complete else f"by {stopped_by}"
        out.print(f"Stopped {how} after {format_count(done)} of {format_count(prepared.steps)} steps.\n")
    losses = _show_losses(prepared, trained)
    out.print()
    if trained.best_step is not None:
        out.print(
            f"Parameters kept: those after {format_count(trained.best_step)} steps, of the lowest held-out loss.\n"
        )
    _show_scores(out, seen, held)
    out.print()
    for line in advice(losses, seen, held):
        out.print(line)


def _show_losses(prepared: Prepared, trained: Training) -> Array:
    """Show the curve of the losses; return them, of mini-batches as means of an epoch."""
    from bench.terminal.terminal import curve, format_count, format_number, format_seconds
    from bench.terminal.training import smoothed

    done = len(trained.losses)
    every = prepared.stream.steps(prepared.rows_per_step) if prepared.stream and prepared.rows_per_step else 1
    every = every if done >= 2 * every else 1
    losses = smoothed(trained.losses, every)
    first, last = format_number(float(losses[0])), format_number(float(losses[-1]))
    title = f"Loss {first} -> {last} in {format_count(done)} steps, {format_seconds(trained.seconds)}"
    what = "cross-entropy" if prepared.classes else "mean squared error, standardised"
    print(curve(losses, title, what if every == 1 else f"{what}, mean of an epoch", height=9, every=every))
    return losses


def _show_scores(out: Console, seen: Score | ClassScore, held: Score | ClassScore | None) -> None:
    """Show how well the rows trained on, and those held out, are predicted."""
    from bench.terminal.training import class_scores, confusion, explain_scores, scores
    from bench.training.prediction import ClassScore, Score

    if isinstance(seen, ClassScore):
        held_classes = held if isinstance(held, ClassScore) else None
        out.print(class_scores(seen, held_classes))
        out.print()
        out.print(confusion(held_classes or seen))
    else:
        held_score = held if isinstance(held, Score) else None
        out.print(scores(seen, held_score))
        print(explain_scores(seen, held_score))


def say_where(out: Console, saved_to: Path | None, ask: bool) -> None:
    """Say where the parameters are, and how to use them; if nowhere, how to ``ask`` for it."""
    from bench.basics.formats import printable

    if saved_to:
        out.print("Saved parameters, columns and scaling. Predict from a table with these inputs:")
        print(f"  python -m bench predict --params {shlex.quote(printable(str(saved_to)))} --data FILE")
    elif ask:
        out.print("Nothing was saved: ask for it with --save params.safetensors.")
