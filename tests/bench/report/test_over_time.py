"""The picture of a cell over the stored runs: what it shows, where its steps are, when there is none."""

import pytest

from bench.report import over_time, page
from bench.verdicts import history
from tests.bench import synthetic


@pytest.fixture(scope="module")
def frame():
    """Six runs; in the last three numba takes 1.5 times as long."""
    return synthetic.over_time()


def shown(levels, frame):
    """Return the exhibit of the page of some runs."""
    return next(it for it in page.page(frame, {}, {}, levels=levels).exhibits if it.id == "over-time")


def test_every_run_is_a_point_under_the_newest(frame):
    """Of each cell on the page, every run is a row with its commit and interval, in order, under the newest run."""
    newest = frame[frame["run"] == "run-5"]
    rows = shown(history.levels(frame), newest).frame
    numba = rows[rows["backend"] == "numba"]
    assert numba["measured"].tolist() == [f"run-{number}" for number in range(6)]
    assert numba["commit"].tolist() == [f"commit{number}" for number in range(6)]
    assert set(rows["run"]) == {"run-5"}
    assert ((rows["low_s"] < rows["seconds"]) & (rows["seconds"] < rows["high_s"])).all()


def test_only_the_step_is_marked(frame):
    """The planted step is the one row of the steps, with the time after it over the time before."""
    steps = shown(history.levels(frame), frame[frame["run"] == "run-5"]).sources["steps"]
    assert steps[["backend", "measured"]].to_numpy().tolist() == [["numba", "run-3"]]
    assert float(steps["step"].iloc[0].rstrip("\u00d7")) == pytest.approx(1.5, rel=0.1)


def test_cells_that_the_page_lacks_are_left_out(frame):
    """What the runs on the page did not measure is in no selector and in no picture."""
    without = frame[(frame["run"] == "run-5") & (frame["backend"] != "torch")]
    assert "torch" not in set(over_time.rows(history.levels(frame), without)["main"]["backend"])


def test_machines_are_kept_apart(frame):
    """Runs of another machine are no part of the picture of this one."""
    other = frame["run"].isin(["run-0", "run-1"])
    levels = history.levels(frame.assign(machine=frame["machine"].where(~other, "another")))
    rows = over_time.rows(levels, frame[frame["run"] == "run-5"])["main"]
    assert sorted(set(rows["measured"])) == ["run-2", "run-3", "run-4", "run-5"]


@pytest.mark.parametrize("runs", [0, 1])
def test_one_run_has_no_picture(frame, runs):
    """With one run alone, or none kept, the page has no such exhibit."""
    newest = frame[frame["run"] == "run-5"]
    levels = history.levels(newest) if runs else None
    assert "over-time" not in [it.id for it in page.page(newest, {}, {}, levels=levels).exhibits]
