"""What continuous integration reads of a gate: JUnit with a case for each cell, a comment with names escaped."""

from xml.etree import ElementTree

import pytest

from bench.terminal import gate_report
from bench.verdicts import gate
from tests.bench import synthetic

HOSTILE = "<img src=x>|`*[a](b)\x1b[31m"
SIDES = "base <b> -> change"


@pytest.fixture(scope="module")
def failed():
    """A gate that jax fails at one shape; another backend has a hostile name."""
    grid = {"networks": ("3-2-1",), "batches": (1, 256), "phases": ("step",), "rounds": 12}
    before = synthetic.frame(seed=1, run="a", **grid)
    after = synthetic.frame(seed=2, run="b", **grid, slower={("jax", "3-2-1", 256): 1.5})
    return gate.judge(*(rows.replace({"backend": {"torch": HOSTILE}}) for rows in (before, after)))


def test_junit_has_a_case_for_each_cell_and_a_failure_for_each_slow_one(failed):
    """Every cell is a test case; a cell that is proven slower is a failure with its ratio and interval."""
    root = ElementTree.fromstring(gate_report.junit(failed, SIDES))
    suite = root.find("testsuite")
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests")) == len(failed.cells) + len(failed.lost)
    failures = [case for case in cases if case.find("failure") is not None]
    slow = [case for case in failures if "slower" in case.find("failure").get("message")]
    assert [case.get("classname") for case in slow] == ["jax"]
    assert len(failures) == int(suite.get("failures"))
    assert "95 %" in slow[0].find("failure").get("message")


def test_junit_says_lost_cells(failed):
    """A cell that the change could not time is a failure that says why."""
    lost = gate.Gate(failed.cells, failed.slower, ("numba, 3-2-1 n=1 float32 step: crashed: a reason",), 0, 0.05)
    text = gate_report.junit(lost, SIDES)
    assert 'message="lost: crashed: a reason"' in text


def test_cells_without_a_base_are_skipped_and_said():
    """A cell that the base could not time is no failure: skipped in JUnit, with its reason there and in the comment."""
    grid = {"networks": ("3-2-1",), "batches": (1, 256), "phases": ("step",), "rounds": 12}
    before, after = (synthetic.frame(seed=seed, run=f"run-{seed}", **grid) for seed in (1, 2))
    gone = (before["backend"] == "torch") & (before["batch"] == 256)
    before.loc[gone, ["status", "reason"]] = ["unavailable", "it has no dtype"]
    judged = gate.judge(before, after)
    assert judged.passed
    assert judged.without_base == ("torch, 3-2-1 n=256 float32 step: unavailable: it has no dtype",)
    suite = ElementTree.fromstring(gate_report.junit(judged, SIDES)).find("testsuite")
    (skipped,) = suite.iter("skipped")
    assert skipped.get("message") == "the base could not be timed: unavailable: it has no dtype"
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    comment = gate_report.markdown(judged, SIDES, "again")
    assert "not compared, the base could not be timed: torch, 3-2-1 n=256" in comment


def test_comment_starts_with_the_verdict_and_escapes_names(failed):
    """The first line is the verdict; names of HTML, Markdown or control letters are escaped; cells are folded."""
    text = gate_report.markdown(failed, SIDES, "python -m bench gate --against main")
    assert text.startswith("### Failed: 1 cell slower")
    assert "<img" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "&lt;img src=x&gt;\\|" in text
    assert text.index("| jax |") < text.index("<details>")
    table = [line for line in text.splitlines() if line.startswith("| ") and "img" in line]
    assert all(len(line.replace("\\|", "").split("|")) == 12 for line in table)


def test_undecided_fails_where_asked(failed):
    """With undecided among the verdicts that fail, such a cell is a failure in JUnit and in the verdict."""
    cells = failed.cells.assign(verdict="undecided")
    strict = gate.Gate(cells, failed.slower.head(0), (), len(cells), 0.05, ("slower", "undecided"))
    assert not strict.passed
    assert gate_report.headline(strict).startswith("Failed")
    assert gate.Gate(cells, failed.slower.head(0), (), len(cells), 0.05).passed
