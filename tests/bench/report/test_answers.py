"""The map's cells and cards: what stands in them without colour, and in words."""

from bench.report.answers import Card, Cell, Conditions, Total

NUMPY, NUMBA = Total("numpy", 0.2, 0.19, 0.21), Total("numba", 0.1, 0.09, 0.11)


def cell(verdict, leaders, **more):
    """Return a cell of 256 rows and 1,000 steps."""
    return Cell(256, 1_000, verdict, leaders, (NUMBA, NUMPY), **more)


def test_verdicts_differ_without_colour():
    """A fastest, a tie and an undecided cell differ in their letters; an estimate has a sign of its own."""
    assert cell("fastest", ("numba",)).lines == ["numba"]
    assert cell("tie", ("numba", "numpy")).lines == ["numba", "= numpy"]
    assert cell("undecided", ("numba", "numpy", "jax")).lines == ["numba", "? 2 more"]
    assert cell("none faster", ("numba", "numpy")).lines == ["numba", "≤ numpy"]
    assert cell("fastest", ("numba",), estimated=True).lines == ["~numba"]
    assert cell("none", ()).lines == ["-"]


def test_sentence_of_a_cell_names_time_and_next_best():
    """The sentence of a fastest has its total and how far the next one is; of a tie, both names; of one that none is
    faster than, who comes near.
    """
    assert cell("fastest", ("numba",)).sentence == (
        "256 rows, 1,000 steps: numba is fastest with 100 ms in all, 2 times as fast as numpy."
    )
    assert cell("tie", ("numba", "numpy")).sentence == "256 rows, 1,000 steps: numba and numpy tie within the margin."
    assert cell("none faster", ("numba", "numpy", "jax")).sentence == (
        "256 rows, 1,000 steps: numpy and jax are not faster than numba by more than the margin."
    )


def test_card_lays_cells_out_by_batch_and_steps():
    """Rows are batches, columns numbers of steps, and the cell shown first is the middle batch at 1,000 steps."""
    cells = tuple(
        Cell(batch, steps, "fastest", ("numba",), (NUMBA,)) for batch in (1, 16, 256) for steps in (10, 1_000)
    )
    card = Card(Conditions("run", "3-2-1", "float32", "cpu", 2, "warm"), "words", cells)
    assert card.steps == [10, 1_000]
    assert [row["batch"] for row in card.rows] == [1, 16, 256]
    assert (cells[card.first].batch, cells[card.first].steps) == (16, 1_000)
    assert card.about == "1 hidden layer, 11 parameters, float32"
