"""The documents say what the stored runs say."""

import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def writer(project: Path) -> dict:
    """The script that writes the figures."""
    return runpy.run_path(str(project / "docs" / "write_results.py"))


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_figures_are_what_the_stored_runs_give(project, writer, page):
    """Every generated figure of a page is, to the letter, what the session ``results`` would write now."""
    text = (project / page).read_text()
    assert "<!-- generated:" in text
    assert writer["rendered"](text) == text


def test_every_figure_is_used(project, writer):
    """Every figure that the script can make stands on one of its pages."""
    pages = "".join(page.read_text() for page in writer["PAGES"])
    assert [name for name in writer["FIGURES"] if f"<!-- generated: {name} -->" not in pages] == []
