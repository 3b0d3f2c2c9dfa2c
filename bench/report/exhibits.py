"""What an exhibit of the page is: rows, a chart, columns of a table and selectors; `bench.report.html` embeds it.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["text", "seconds", "count", "ratio", "percent", "bytes", "rate", "number", "yes"]

DIMENSIONS = ("network", "dtype", "device", "threads", "phase", "batch", "cache", "reference")
"""What a selector can choose, in the order in which the page shows the selectors."""

LOCAL = ("batch", "cache", "reference")
"""Those whose selector is with the exhibits, not in the bar."""


class Column(NamedTuple):
    """A column of an exhibit's table: its name in the frame, its heading, and how its values are written."""

    name: str
    label: str
    format: Format = "text"


@dataclass(frozen=True)
class Exhibit:
    """One picture with its table.

    Attributes:
        id: name of its anchor, of its figure and of its CSV file.
        title: the heading.
        lead: how to read it, in a sentence or two.
        frame: the tidy rows; a column ``run`` tells the runs apart.
        columns: of the table and the CSV, in order.
        filters: which of `DIMENSIONS` the rows are narrowed by.
        spec: the Vega-Lite chart over the source ``main``, which is ``frame``; ``None`` for a table alone.
        sources: further rows that the chart draws, by source name, narrowed by the filters that they have.
        extent: columns of ``main`` which the charts of several runs must show on one scale.
        alternative: columns for the text alternative: the series, the abscissa and the ordinate.
        empty: what the page shows in its place when no row fits.
        wide: whether it takes the whole width; the others are in pairs.
    """

    id: str
    title: str
    lead: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    filters: tuple[str, ...] = ()
    spec: dict[str, Any] | None = None
    sources: dict[str, pd.DataFrame] = field(default_factory=dict)
    extent: tuple[str, ...] = ()
    alternative: tuple[str, str, str] | None = None
    empty: str = "Nothing was measured here."
    wide: bool = False


@dataclass(frozen=True)
class Part:
    """A chapter of the page: its anchor, heading, a sentence, and its exhibits."""

    id: str
    title: str
    lead: str
    exhibits: tuple[Exhibit, ...]

    @property
    def shared(self) -> list[str]:
        """The dimensions whose selector is there once, at the head of the part: several exhibits depend on it."""
        counts = {name: sum(name in exhibit.filters for exhibit in self.exhibits) for name in LOCAL}
        return [name for name, count in counts.items() if count > 1]


CASE_COLUMNS = (
    Column("run", "run"),
    Column("network", "network"),
    Column("dtype", "precision"),
    Column("device", "device"),
    Column("threads", "threads", "count"),
    Column("phase", "phase"),
    Column("batch", "rows", "count"),
    Column("backend", "backend"),
)
COST_COLUMNS = (*CASE_COLUMNS[:5], CASE_COLUMNS[6], Column("cache", "compile cache"), CASE_COLUMNS[7])


def interval(format_: Format, low: str = "low", high: str = "high") -> tuple[Column, Column]:
    """Return the columns of a 95 % interval."""
    return Column(low, "95 % from", format_), Column(high, "95 % to", format_)


INTERVAL = interval("seconds", "low_s", "high_s")
GRID = ("network", "dtype", "device", "threads", "phase")
NO_LIMIT = "No ceilings of this machine are stored: measure them with python -m bench ceilings"
