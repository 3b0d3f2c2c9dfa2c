"""A table made ready for a network: shuffled, a part held out, and both parts standardised by the rest.

Tests: `tests/bench/training/test_standardise.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.training.classes import Classes, one_hot
from bench.training.reading import Table
from bench.training.standardise import Floats, Standardisation


@dataclass(frozen=True)
class Split:
    """A table ready for a network: standardised, and a part of it held out.

    Attributes:
        inputs, targets: the standardisations, fitted to the training part only.
        x, y: the training part, ``[n, inputs]`` and ``[n, targets]``, standardised, float64.
        held_x, held_y: the same of the part held out; no rows if nothing is held out.
    """

    inputs: Standardisation
    targets: Standardisation
    x: Floats
    y: Floats
    held_x: Floats
    held_y: Floats


def split(table: Table, targets: int, holdout: float, seed: int, classes: Classes | None = None) -> Split:
    """Shuffle, hold a part out, and standardise both parts by the training part, all in the memory of the table.

    Args:
        table: input columns first, the last ``targets`` columns are the targets.
        targets: how many.
        holdout: the fraction held out, 0 to below 1; at least one row if it is above 0.
        seed: of the shuffle.
        classes: of the last column, if it holds class numbers: they become probabilities, which are not scaled.

    Raises:
        UsageError: too few rows, or a target that is constant.
    """
    rows = len(table.values)
    held = max(1, round(rows * holdout)) if holdout else 0
    if rows - held < 2:
        remedy = "or train on all with --holdout 0" if rows > 1 else "one row cannot tell one input from another"
        raise UsageError(
            f"{counted(rows, 'row')}, of which {held} held out, leave {rows - held} to train on, and "
            f"training needs 2 or more; give more rows, {remedy}"
        )
    np.random.default_rng(seed).shuffle(table.values)
    count = len(table.columns) - targets
    x, y = table.values[:, :count], table.values[:, count:]
    inputs = Standardisation.fit(table.columns[:count], x[held:])
    outputs = class_targets(classes) if classes else Standardisation.fit(table.columns[count:], y[held:])
    if outputs.constant:
        name = outputs.constant[0]
        raise UsageError(
            f"target {name!r} is constant: {outputs.means[outputs.columns.index(name)]:g} in all {rows - held:,} rows "
            "trained on; there is nothing to learn, choose another --target"
        )
    if len(inputs.constant) == count:
        raise UsageError(f"all {count} input columns are constant over {rows - held:,} rows; nothing can be learnt")
    x = inputs.apply(x, out=x)
    y = one_hot(y[:, 0], len(classes.names)) if classes else outputs.apply(y, out=y)
    return Split(inputs, outputs, x[held:], y[held:], x[:held], y[:held])


def class_targets(classes: Classes) -> Standardisation:
    """Return the standardisation of class probabilities, which leaves them as they are."""
    count = len(classes.names)
    return Standardisation(tuple(classes.names), (0.0,) * count, (1.0,) * count)
