"""What a finished training run looks like as text: its curve, its scores, and advice drawn from both."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from backends.base import Array
from bench.terminal.terminal import facts, format_number, table
from bench.training.prediction import Score

FALLING = 0.9
BOUNCING = 0.25
OVERFITTED = 0.2


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


def advice(losses: Array, training: Score, held_out: Score | None) -> list[str]:
    """Return what to try next, judged by the losses' shape and by the gap between the two parts."""
    found = []
    late = losses[len(losses) // 2 :]
    if len(late) > 1 and np.mean(np.diff(late) > 0) > BOUNCING and late.max() > 1.05 * late.min():
        found.append("The loss goes up and down: try a lower --learning-rate.")
    elif len(late) > 1 and late[-1] < FALLING * late[0]:
        found.append("The loss is still falling: more --steps may help.")
    if held_out and any(training.r2[name] - held_out.r2[name] > OVERFITTED for name in training.r2):
        found.append(
            "It fits the rows it saw better than the others: try more rows, fewer --steps or a smaller --network."
        )
    return found
