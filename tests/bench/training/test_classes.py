"""Classes: read from text and numbers alike, numbered by name, scored by accuracy and by what was taken for what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bench.basics.errors import UsageError
from bench.terminal.terminal import console
from bench.terminal.training import confusion
from bench.training.classes import Classes, is_text, one_hot
from bench.training.form import Form
from bench.training.number_text import NumberText
from bench.training.prediction import score_classes, softmax
from bench.training.reading import open_table, read_numbers


def read(path: Path, column: str, **form: object) -> tuple[list[str], list[float]]:
    """Return the names of the classes of a column, and the number of each row."""
    classes = Classes(column, [])
    file = open_table(path, Form(**form))  # type: ignore[arg-type]
    values = read_numbers(file, [column], [column], "keep", classes).values[:, 0]
    ordered, places = classes.in_order()
    return ordered.names, [float("nan") if np.isnan(value) else places[int(value)] for value in values]


def test_classes_are_numbered_by_name_and_missing_ones_have_none(tmp_path: Path) -> None:
    """The order of appearance does not matter; blanks and named markers are missing values."""
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,pear\n2, apple\n3,\n4,pear\n5,?\n")
    names, numbers = read(path, "y", missing=("?",))
    assert names == ["apple", "pear"]
    np.testing.assert_array_equal(numbers, [1, 0, np.nan, 1, np.nan])


@pytest.mark.parametrize("values", [["10", "9", "1.0", "1"], [10, 9, 1, 1], [10.0, 9.0, 1.0, 1.0]])
def test_numbers_name_classes_by_size(tmp_path: Path, values: list[object]) -> None:
    """10 comes after 9, and 1.0 is 1, as text and as numbers."""
    pa.parquet.write_table(pa.table({"y": values}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", "y") == (["1", "9", "10"], [2, 1, 0, 0])


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (["a", "b", None], True),
        (pa.array(["a", "b", "a"]).dictionary_encode(), True),
        (["1", "2", "3"], False),
        (["1,5", "2,5", "3,5"], False),
        (["1", "2", "broken"], False),
        ([1, 2, 3], False),
        ([True, False, True], False),
        (["?", "?", "?"], False),
    ],
)
def test_a_column_of_words_is_text(tmp_path: Path, column: object, text: bool) -> None:
    """Numbers in any form, and numbers with a stray word, are no classes."""
    pa.parquet.write_table(pa.table({"y": column}), tmp_path / "t.parquet")
    assert is_text(open_table(tmp_path / "t.parquet"), "y") == text


def test_too_many_classes_and_one_alone_are_refused(tmp_path: Path) -> None:
    """A column of names or dates is not one of classes, nor is a constant."""
    pa.parquet.write_table(pa.table({"many": [f"id{k}" for k in range(1200)], "one": ["a"] * 1200}), tmp_path / "t")
    with pytest.raises(UsageError, match="more than 1,000 different values, 'id0', 'id1', 'id2' and so on"):
        read(tmp_path / "t", "many")
    with pytest.raises(UsageError, match="target 'one' is constant: 'a' in every row"):
        read(tmp_path / "t", "one")


def test_a_class_that_was_not_trained_on_has_no_number() -> None:
    """A trained network knows its own classes alone."""
    known = Classes("y", ["a", "b"], fixed=True)
    np.testing.assert_array_equal(known.numbers(pa.array(["b", "c", None]), NumberText(Form())), [1, np.nan, np.nan])
    assert one_hot(np.array([1.0, 0.0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_the_score_counts_what_was_taken_for_what() -> None:
    """Loss, accuracy and confusion of four rows, worked out by hand; huge outputs do not overflow."""
    logits = np.log(np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]]))
    score = score_classes(("a", "b"), logits, np.array([0, 1, 1, 1]))
    assert score.accuracy == 0.75
    assert score.confusion.tolist() == [[1, 0], [1, 2]]
    assert score.loss == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.9]).mean())
    np.testing.assert_allclose(softmax(logits), np.exp(logits))
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]


def test_of_many_classes_the_most_frequent_mistakes_are_shown() -> None:
    """A table of 20 columns would not fit; the pairs confused most often are told instead."""
    names = tuple(f"class{k}" for k in range(20))
    right = np.array([3] * 5 + [7] * 2 + list(range(20)))
    guesses = np.array([4] * 5 + [8] * 2 + list(range(20)))
    score = score_classes(names, one_hot(guesses.astype(float), 20), right)
    out = console()
    with out.capture() as captured:
        out.print(confusion(score))
    lines = captured.get().split("\n")
    assert [line.split() for line in lines if line.startswith("class")][1:] == [
        ["class3", "class4", "5"],
        ["class7", "class8", "2"],
    ]
