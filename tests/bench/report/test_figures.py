"""Figures as files: drawn without a browser, named safely, with the report's own numbers and looks."""

import itertools
import json
import re

import altair as alt
import pytest
import vl_convert

from bench.report import figures, marks, page
from bench.terminal.palette import BACKEND_COLOURS
from tests.bench.report import made_up


@pytest.fixture(scope="module")
def made():
    """The page of one run with a hostile name."""
    return page.page(made_up.frame((made_up.FIRST,)), {"made-up-machine": made_up.ceilings()}, {})


def test_figures_cover_every_chart_and_network(made):
    """Each exhibit with a chart, and the map, have a figure for each network."""
    names = [name for name, _ in figures.figures(made)]
    drawn = [exhibit.id for exhibit in made.exhibits if exhibit.spec is not None]
    assert sorted(names) == sorted(f"{what}-{network}" for what in ["map", *drawn] for network in made_up.NETWORKS)


def test_written_figures_are_pictures(made, tmp_path):
    """SVG and PNG are written side by side; the SVG has the backends' colours, their names as text, and no script."""
    only = [(name, spec) for name, spec in figures.figures(made) if name in ("time-3-2-1", "map-3-2-1")]
    paths = list(itertools.chain.from_iterable(figures.draw(name, spec, tmp_path) for name, spec in only))
    assert sorted(path.name for path in paths) == [
        "map-3-2-1.png", "map-3-2-1.svg", "time-3-2-1.png", "time-3-2-1.svg",
    ]  # fmt: skip
    svg = (tmp_path / "time-3-2-1.svg").read_text()
    assert BACKEND_COLOURS["numba"] in svg
    assert "&lt;img src=x" in svg
    assert "<img" not in svg
    assert "<script" not in svg
    assert (tmp_path / "time-3-2-1.png").read_bytes().startswith(b"\x89PNG")


def test_figures_fit_the_schema(made):
    """Every figure is what Vega-Lite's schema allows; charts are made unchecked, and this asks for all of them."""
    for _, spec in figures.figures(made):
        alt.LayerChart.from_dict(spec, validate=True)


def test_file_names_are_safe():
    """What data say becomes a file name of letters, digits, dots, dashes and underscores only."""
    assert re.fullmatch(r"[A-Za-z0-9._-]+", figures.named("time", "../../etc/<x>\0"))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-6, 1e-2, ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms"]),
        (0.2, 20.0, ["200 ms", "500 ms", "1 s", "2 s", "5 s", "10 s", "20 s"]),
        (1.0, 1.6, ["1 s", "1.2 s", "1.5 s"]),
    ],
)
def test_logarithmic_axis_is_labelled_at_round_values_of_its_rows(low, high, expected):
    """A logarithmic axis is labelled inside its rows: powers of ten, 1-2-5, or finer; x where measured."""
    rows = [{"backend": "numba", "batch": batch, "seconds": s} for batch, s in ((1, low), (32, high))]
    spec = marks.finished(
        *marks.line(marks.Theme(("numba",)), marks.batch_axis(), marks.seconds_axis("seconds", "time"), []), height=400
    )
    svg = vl_convert.vegalite_to_svg(json.dumps({**spec, "width": 300, "datasets": {"main": rows}}))
    texts = re.findall(r">([^<>]+)</text>", svg)
    assert [text for text in texts if re.fullmatch(r"[\d.]+ (µs|ms|s)", text)] == expected
    assert [text for text in texts if text.isdigit()] == ["1", "32"]
