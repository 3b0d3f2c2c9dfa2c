"""What a finished training run looks like as text: its curve, its scores, and advice drawn from both."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from backends.base import Array
from bench.terminal.terminal import Cell, facts, format_number, format_percent, table
from bench.training.prediction import ClassScore, Score

FALLING = 0.9
"""A loss whose second half ends below this part of where it began is still falling."""

BOUNCING = 0.25
"""A loss that rises in more than this part of the steps of its second half goes up and down."""

STALLED = 0.95
"""A loss that ends above this part of where it began has hardly fallen."""

OVERFITTED = 0.2
"""A larger gap, of R^2 or accuracy, between the rows trained on and those held out is worth a word."""

MOST_SHOWN = 12
"""Classes of a whole table of mistakes; of more, as many of the most frequent mistakes."""


def class_scores(training: ClassScore, held_out: ClassScore | None) -> Table:
    """Return loss and accuracy on the rows trained on and held out, and the accuracy of always naming one class."""
    rows = [("rows trained on", training), *([("rows held out", held_out)] if held_out else [])]
    return table(
        ["", ("rows", "right"), ("accuracy", "right"), ("commonest class alone", "right"), ("loss", "right")],
        [
            (
                name,
                int(score.confusion.sum()),
                format_percent(score.accuracy),
                format_percent(float(score.confusion.sum(axis=1).max() / score.confusion.sum())),
                score.loss,
            )
            for name, score in rows
        ],
    )


def confusion(score: ClassScore) -> Table:
    """Return the confusion matrix; if there are many classes, the most frequent mistakes."""
    names = score.names
    if len(names) <= MOST_SHOWN:
        rows: list[tuple[Cell, ...]] = [
            (name, *(int(count) for count in counts)) for name, counts in zip(names, score.confusion, strict=True)
        ]
        return table(["class", *((name, "right") for name in names)], rows, title="rows of a class, by predicted class")
    wrong = score.confusion * (1 - np.eye(len(names), dtype=np.intp))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:MOST_SHOWN]
    places = [(int(place) // len(names), int(place) % len(names)) for place in worst]
    mistakes = [
        (names[right], names[guess], int(wrong[right, guess])) for right, guess in places if wrong[right, guess]
    ]
    return table(["class", "taken for", ("rows", "right")], mistakes, title="most frequent mistakes")


def scores(training: Score, held_out: Score | None) -> Table:
    """Return R^2 and RMSE of each target, on the rows trained on and on those held out."""
    columns = ["target", "R^2 trained on", "R^2 held out", "RMSE trained on", "RMSE held out"]
    rows = [
        (name, training.r2[name], held_out.r2[name], training.rmse[name], held_out.rmse[name])
        if held_out
        else (name, training.r2[name], None, training.rmse[name], None)
        for name in training.r2
    ]
    return table([columns[0], *((name, "right") for name in columns[1:])], rows)


def explain_scores(training: Score, held_out: Score | None) -> str:
    """Return the losses, and how to read the table of `scores`."""
    loss = f"{format_number(training.loss)} on the rows trained on"
    if held_out:
        loss += f", {format_number(held_out.loss)} on those held out"
    return facts(
        [
            ("loss", f"mean squared error of the scaled targets: {loss}"),
            ("R^2", "1 is perfect, 0 no better than always predicting the mean"),
            ("RMSE", "root mean squared error, in the target's own unit"),
        ]
    )


def advice(losses: Array, training: Score | ClassScore, held_out: Score | ClassScore | None) -> list[str]:
    """Return what to try next, judged by the losses' shape and by the gap between the two parts."""
    lines = []
    late = losses[len(losses) // 2 :]
    if len(late) > 1 and np.mean(np.diff(late) > 0) > BOUNCING and late.max() > 1.05 * late.min():
        lines.append("The loss goes up and down: try a lower --learning-rate.")
    elif len(late) > 1 and late[-1] < FALLING * late[0]:
        lines.append("The loss is still falling: more --steps may help.")
    elif len(losses) > 1 and losses[-1] > STALLED * losses[0]:
        lines.append("The loss has hardly fallen: try a higher --learning-rate, or --optimizer adam.")
    if held_out and _gap(training, held_out) > OVERFITTED:
        lines.append(
            "It fits the rows it saw better than the others: try more rows, fewer --steps, --patience or a smaller "
            "--network."
        )
    return lines


def smoothed(losses: Array, steps: int) -> Array:
    """Return the mean loss of every ``steps`` steps; for mini-batches, of each epoch."""
    whole = len(losses) // steps * steps
    return losses[:whole].reshape(-1, steps).mean(axis=1) if whole else losses


def _gap(training: Score | ClassScore, held_out: Score | ClassScore) -> float:
    """Return by how much the rows trained on are fitted better than those held out."""
    if isinstance(training, ClassScore) or isinstance(held_out, ClassScore):
        pair = [score.accuracy for score in (training, held_out) if isinstance(score, ClassScore)]
        return pair[0] - pair[-1]
    return max(training.r2[name] - held_out.r2[name] for name in training.r2)
