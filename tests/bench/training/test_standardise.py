"""Standardising: mean 0 and spread 1, and back to what it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bench.basics.errors import UsageError
from bench.training.reading import Table
from bench.training.split import split
from bench.training.standardise import Standardisation

VALUES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-1e150, 1e150))


def fitted(values: np.ndarray) -> Standardisation:
    """Fit to columns named by their position."""
    return Standardisation.fit([str(k) for k in range(values.shape[1])], values)


@given(VALUES)
def test_standardisation_undoes_what_it_does(values: np.ndarray) -> None:
    """Back in original units every value is what it was, within the rounding of the sum of mean and deviation."""
    fit = fitted(values)
    back = fit.undo(fit.apply(values))
    # A difference, a quotient, a product and a sum round once each, relative to the largest of the column at most.
    largest = np.abs(values).max(axis=0)
    assert (np.abs(back - values) <= 16 * np.finfo(np.float64).eps * largest + 1e-300).all()


@given(VALUES)
def test_standardised_columns_have_mean_0_and_spread_1(values: np.ndarray) -> None:
    """A column that varies gets mean 0 and standard deviation 1; a constant one becomes 0."""
    fit = fitted(values)
    standardised = fit.apply(values)
    assert np.isfinite(standardised).all()
    for column, scale, mean in zip(standardised.T, fit.scales, fit.means, strict=True):
        if scale == 0:
            assert not column.any()
        elif scale > 1e-6 * abs(mean) and scale > 1e-290:  # else rounding of the values themselves shows
            assert abs(column.mean()) < 1e-6
            assert abs(column.std() - 1) < 1e-6


def test_constant_column_stays_0_for_values_it_never_saw() -> None:
    """A column that was constant in training has no say later, whatever it holds; rounding does not make it vary."""
    fit = fitted(np.array([[0.3, 1.0], [0.1 + 0.2, 2.0]]))
    assert fit.constant == ("0",)
    assert fit.apply(np.array([[1e9, 1.5]])).tolist() == [[0.0, 0.0]]


def table(rows: int) -> Table:
    """Return a table of two inputs and a target that tells its rows apart."""
    values = np.arange(rows * 3, dtype=float).reshape(rows, 3)
    return Table(("a", "b", "y"), values, rows)


def test_split_keeps_every_row_once_and_fits_to_the_training_part() -> None:
    """Held-out and training rows make up the table, and the standardisation knows the training part only."""
    parts = split(table(50), 1, 0.2, seed=1)
    assert (parts.x.shape, parts.held_x.shape) == ((40, 2), (10, 2))
    trained, held = parts.targets.undo(parts.y), parts.targets.undo(parts.held_y)
    assert sorted(np.rint(np.concatenate([trained, held]).ravel())) == [3 * k + 2 for k in range(50)]
    np.testing.assert_allclose(parts.x.mean(axis=0), 0, atol=1e-12)
    assert abs(parts.held_x.mean()) > 1e-3
    assert parts.inputs.columns == ("a", "b")


def test_split_is_repeatable_and_follows_its_seed() -> None:
    """Equal seeds hold out the same rows, another seed others."""
    first, again, other = (split(table(50), 1, 0.2, seed) for seed in (1, 1, 2))
    assert first.held_y.tolist() == again.held_y.tolist() != other.held_y.tolist()


def test_split_without_holdout_trains_on_all() -> None:
    """A holdout of 0 keeps no row back."""
    parts = split(table(2), 1, 0.0, seed=0)
    assert (len(parts.x), len(parts.held_x)) == (2, 0)


@pytest.mark.parametrize(
    ("values", "holdout", "message"),
    [
        ([[1, 2]], 0.2, "1 row, of which 1 held out, leave 0 to train on"),
        ([[1, 2], [3, 4]], 0.2, "--holdout 0"),
        ([[1, 7], [3, 7], [4, 7], [5, 7]], 0.2, "target 'y' is constant: 7 in all 3 rows"),
        ([[1, 7], [1, 8], [1, 9], [1, 5]], 0.2, "all 1 input columns are constant"),
    ],
)
def test_split_refuses_what_cannot_be_learned(values: list[list[float]], holdout: float, message: str) -> None:
    """Too few rows, a constant target or inputs that never vary are named."""
    with pytest.raises(UsageError, match=message):
        split(Table(("a", "y"), np.array(values, float), len(values)), 1, holdout, seed=0)
