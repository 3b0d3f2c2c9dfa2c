"""Totals, crossovers and break-even points on the page: those of the functions that `recommend` uses, case by case."""

import re

import pytest

from backends import Network, available
from bench.advice import recommendation
from bench.advice.job import Job
from bench.report import page, trust_rows
from bench.report import rows as tables
from bench.report.outlook import STEPS, outlooks
from bench.report.sentences import sentence
from bench.verdicts.statistics import cell_estimates
from tests.bench.report import made_up

FRAME = made_up.frame((made_up.FIRST,), hostile=False)


@pytest.fixture(scope="module")
def found():
    """The outlooks of one run."""
    return list(outlooks(page.without_receipts(FRAME)))


def test_outlook_covers_every_condition(found):
    """Each network has one outlook for each precision and state of the cache, each with every batch and step."""
    conditions = {(one.conditions.network, one.conditions.dtype, one.conditions.cache) for one in found}
    assert conditions == {(n, d, c) for n in made_up.NETWORKS for d in ("float32", "float64") for c in ("warm", "cold")}
    assert {len(one.cells) for one in found} == {len(made_up.BATCHES) * len(STEPS)}


OWN = FRAME[~FRAME["backend"].str.endswith("-idiom")]


@pytest.fixture(scope="module")
def alone():
    """The outlooks of the backends that `recommend` chooses from."""
    return list(outlooks(page.without_receipts(OWN)))


@pytest.mark.parametrize("cache", ["warm", "cold"])
@pytest.mark.parametrize("steps", [1, 1_000, 1_000_000])
def test_outlook_says_what_recommend_says(alone, steps, cache):
    """A map's totals are those of `recommend` for the same case, up to its random draws; so are its winners."""
    if missing := {"numba", "jax", "torch"} - set(available()):
        pytest.skip(f"recommend names no backend that is not installed: {', '.join(sorted(missing))}")
    one = next(
        o
        for o in alone
        if (o.conditions.network, o.conditions.dtype, o.conditions.cache) == ("3-2-1", "float32", cache)
    )
    cell = next(c for c in one.cells if (c.batch, c.steps) == (256, steps))
    asked = recommendation.from_rows(OWN, Job(Network((3, 2, 1)), 256, steps, cache=cache))
    expected = dict(zip(asked.rows["backend"], asked.rows["total_s"], strict=True))
    assert {total.backend: total.total_s for total in cell.totals} == pytest.approx(expected, rel=0.03)
    assert cell.leaders == asked.candidates


def test_totals_and_ledger_hold_the_map(found):
    """The rows of the charts are the cells of the maps: as many, and the same seconds."""
    totals = tables.totals(found)
    one = found[0]
    of_one = [(totals[name] == getattr(one.conditions, name)) for name in ("network", "dtype", "cache")]
    chosen = totals[of_one[0] & of_one[1] & of_one[2]]
    assert chosen["total_s"].tolist() == [total.total_s for cell in one.cells for total in cell.totals]
    ledger = tables.ledger(page.without_receipts(FRAME), found)
    parts = ledger[["import_s", "compile_s", "place_s", "call_s"]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(ledger["fixed_s"].to_numpy(), rel=0.05)


def test_cells_are_those_of_the_statistics():
    """Time and interval of a phase are exactly those of `cell_estimates` over the rows of that phase."""
    every = tables.estimates(page.without_receipts(FRAME))
    rows = tables.cells(page.without_receipts(FRAME), every)
    expected = cell_estimates(FRAME[FRAME["phase"] == "step"]).query("arm == ''")
    keys = ["backend", "network", "batch", "dtype"]
    joined = rows[rows["phase"] == "step"].merge(expected, on=keys, suffixes=("", "_expected"))
    assert len(joined) == len(expected)
    assert joined["seconds"].tolist() == joined["seconds_expected"].tolist()
    assert joined["low_s"].tolist() == joined["low_s_expected"].tolist()


def test_ratio_to_the_idiom_is_that_which_was_planted():
    """A backend whose idiom takes twice its time is twice as fast as it."""
    rows = tables.cells(page.without_receipts(FRAME), tables.estimates(page.without_receipts(FRAME)))
    ratios = tables.ratios(rows)
    idiom = ratios[ratios["reference"] == tables.IDIOM]
    assert set(idiom["backend"]) == {"numpy", "torch"}
    assert idiom["ratio"].to_numpy() == pytest.approx(2.0)
    itself = ratios[(ratios["reference"] == tables.NUMPY) & (ratios["backend"] == "numpy")]
    assert itself["ratio"].to_numpy() == pytest.approx(1.0)


def test_sentence_names_every_change_and_counts_what_is_proven(found):
    """The words of a map name every backend that takes over, in order, and count each verdict of its cells."""
    assert any(outlook.batch_changes for outlook in found)
    for outlook in found:
        said = sentence(outlook)
        names = [change.after for change in outlook.batch_changes]
        along = said.partition(". ")[0]
        assert [name for name in re.findall(r"[a-z]+", along) if name in set(names)][-len(names) :] == names
        counted = dict(
            (words, int(count)) for count, words in re.findall(r"(\d+) (proven fastest|proven equal|undecided)", said)
        )
        verdicts = [cell.verdict for cell in outlook.cells]
        words = {"proven fastest": "fastest", "proven equal": "tie", "undecided": "undecided"}
        expected = {text: verdicts.count(verdict) for text, verdict in words.items() if verdict in verdicts}
        assert counted == expected or (set(verdicts) == {"fastest"} and f"All {len(verdicts)} answers" in said)


def test_conditions_that_differ_are_named():
    """Two runs on unlike machines: the fields that differ are rows, with what each run observed; one run has none."""
    both = trust_rows.unlike(made_up.frame())
    assert set(both["field"]) == {"machine", "cpu model"}
    assert {"Made-up CPU", "Another CPU"} <= set(both["value"])
    assert trust_rows.unlike(FRAME).empty


def test_share_of_the_limit_is_limit_over_time():
    """The share is the machine's limit over the time; a machine without ceilings has no rows."""
    slim = page.without_receipts(FRAME)
    rows = tables.cells(slim, tables.estimates(slim))
    limit = tables.limits(rows, {"made-up-machine": made_up.ceilings()})
    shares = tables.shares(rows, limit)
    assert len(shares) == len(rows)
    assert shares["share"].to_numpy() == pytest.approx((shares["limit_s"] / shares["seconds"]).to_numpy())
    assert tables.limits(rows, {}).empty


def test_limit_far_below_the_times_is_not_drawn():
    """The chart's line of the limit ends at a third of the shortest time; the shares know every limit."""
    slim = page.without_receipts(FRAME)
    cells = tables.cells(slim, tables.estimates(slim))
    limit = tables.limits(cells, {"made-up-machine": made_up.ceilings()})
    drawn = tables.limit_line(cells, limit)
    chart = ["network", "dtype", "phase"]
    joined = drawn.merge(cells.groupby(chart, as_index=False)["seconds"].min(), on=chart)
    assert 0 < len(drawn) < len(limit)
    assert (joined["limit_s"] >= joined["seconds"] / 3).all()
