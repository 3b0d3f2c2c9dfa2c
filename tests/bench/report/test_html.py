"""The file: whole in itself, safe with whatever the data say, small, and complete."""

import json
import re

import pytest

from bench.basics.errors import UsageError
from bench.report import html, page, vega
from bench.report.html import columnar, embedded, short_count
from tests.bench.report import made_up

NASTY = "</script><script>alert(1)</script><!-- ]]> &amp; \u2028\u2029 ' \" \\"


@pytest.fixture(scope="module")
def made():
    """The page of two unlike runs."""
    return page.page(made_up.frame(), {"made-up-machine": made_up.ceilings()}, {made_up.FIRST: "python -m bench run"})


@pytest.fixture(scope="module")
def text(made):
    """Its HTML."""
    return html.rendered(made, vega.scripts())


def test_embedded_json_cannot_leave_its_script():
    """Whatever a text holds, its JSON has no character that ends a script, and reads back the same."""
    safe = embedded({"text": NASTY})
    assert not set("<>&\u2028\u2029") & set(safe)
    assert json.loads(safe) == {"text": NASTY}


def test_columns_travel_whole():
    """Texts, counts, numbers and what is not finite come back as they were, the last as null."""
    import pandas as pd

    frame = pd.DataFrame({"t": ["b", "a", "b"], "n": [1, 2, 3], "x": [0.1, float("nan"), float("inf")]})
    sent = json.loads(json.dumps(columnar(frame)))
    assert sent["names"] == ["t", "n", "x"]
    assert sent["columns"] == [{"texts": ["b", "a"], "at": [0, 1, 0]}, [1, 2, 3], [0.1, None, None]]


def test_hostile_names_are_escaped_everywhere(text):
    """A backend called like a tag is in the file, and nowhere as a tag."""
    assert made_up.HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "\\u003cimg src=x onerror=alert(1)\\u003e" in text


def test_file_asks_nothing_of_a_network(text):
    """No element loads anything, and the page's own policy forbids it."""
    body = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"""<(?:script|link|img|iframe|object)\b[^>]*(?:src|href)=(?!["']?data:)""", body)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(http" not in text


def test_file_is_small(text):
    """Two runs of several backends make less than 6 MB, most of which is the drawing library."""
    assert len(text.encode()) < 6_000_000


def test_every_chart_has_a_table(made):
    """Each exhibit has columns for its table, all of which its rows have."""
    for exhibit in made.exhibits:
        assert exhibit.columns
        assert {column.name for column in exhibit.columns} <= set(exhibit.frame.columns), exhibit.id


def test_choices_are_what_was_measured(made):
    """A selector offers the values of the rows, phases in their natural order; the first choice is one of them."""
    sent = html.payload(made)
    assert sent["choices"]["phase"] == ["forward", "step", "train"]
    assert sent["choices"]["batch"] == list(made_up.BATCHES)
    assert sent["choices"]["reference"] == ["numpy", "own idiom"]
    for dimension, options in sent["choices"].items():
        assert sent["chosen"][dimension] in options


def test_failures_stand_with_their_reason(text):
    """A backend that failed is named with its status and the reason."""
    assert "nonconformant" in text
    assert "error 1.9e+07 times the bound" in text


def test_nothing_timed_says_what_to_do():
    """Rows without a single time make no page, but an error with the next command."""
    rows = made_up.frame().query("status != 'ok'")
    with pytest.raises(UsageError, match="python -m bench run"):
        page.page(rows, {}, {})


@pytest.mark.parametrize(
    ("count", "short"),
    [(1, "1"), (256, "256"), (1_000, "1k"), (4_096, "4.1k"), (65_536, "66k"), (1_048_576, "1M"), (10**9, "1G")],
)
def test_short_count_keeps_to_four_letters(count, short):
    """Counts in the map are at most four letters."""
    assert short_count(count) == short
    assert len(short_count(count)) <= 4


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (1.234e-6, "seconds", "1.23 µs"),
        (float("nan"), "seconds", "\u2013"),
        (None, "count", "\u2013"),
        (0.123, "percent", "12.3 %"),
        (2.0, "ratio", "2.00\u00d7"),
        (True, "yes", "yes"),
        (1_048_576, "count", "1,048,576"),
    ],
)
def test_table_shows_what_the_terminal_shows(value, style, text):
    """A table writes numbers as `bench.basics.formats` does, with the sign of micro; what is missing is a dash."""
    assert html.shown_as(value, style) == text
