"""The report in a real browser: it loads alone, its selectors draw, its numbers are those of the results."""

import csv
import io

import numpy as np
import pytest

from bench.report import html, page, vega
from bench.report import rows as tables
from bench.report.page import without_receipts
from bench.verdicts import history
from tests.bench import synthetic
from tests.bench.report import made_up
from tests.browser.conftest import tab

pytestmark = pytest.mark.browser

KEYS = ["network", "dtype", "phase", "batch", "backend"]
FIRST_CHOICES = {"network": "3-2-1", "dtype": "float32", "phase": "step"}


def narrowed(rows, **choices):
    """Return the first run's rows under some choices."""
    rows = rows[rows["run"] == made_up.FIRST]
    for name, value in choices.items():
        rows = rows[rows[name] == value]
    return rows


CUT_OFF = """() => [...document.querySelectorAll('.chart svg')].flatMap((svg) => {
  const around = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter((text) => {
    const box = text.getBoundingClientRect();
    const outside = box.left < around.left - 1 || box.right > around.right + 1;
    return box.width && text.getAttribute('opacity') !== '0' && outside;
  }).map((text) => text.textContent);
})"""
"""Texts that reach beyond their picture."""


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_page_loads_alone_and_without_complaint(opened):
    """Nothing is asked for but the file itself, and the console stays empty, in light and in dark."""
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.messages == []
    assert opened.tab.locator(".chart svg").count() >= 14


def test_hostile_name_stays_text(opened):
    """A backend called like a tag makes no element, runs nothing, and is shown as its text in map, chart and table."""
    assert opened.tab.locator("img").count() == 0
    assert opened.tab.get_by_text(made_up.HOSTILE, exact=True).count() > 0
    labels = opened.labels("time")
    assert any(made_up.HOSTILE in label for label in labels)
    opened.tab.locator("#time summary").click()
    assert made_up.HOSTILE in opened.tab.locator("#time table").inner_text()
    assert opened.messages == []


def test_hostile_name_stays_text_in_the_tooltip(opened):
    """What a pointer shows of that backend is its text as well."""
    mark = opened.tab.locator(f'#time svg path[aria-label*="{made_up.HOSTILE}"]').first
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    opened.tab.wait_for_selector("#vg-tooltip-element.visible")
    assert made_up.HOSTILE in opened.tab.locator("#vg-tooltip-element").inner_text()
    assert opened.tab.locator("img").count() == 0


@pytest.mark.parametrize(
    ("dimension", "value", "exhibits"),
    [
        ("network", "32-64-1", ["time", "ratio", "share", "ledger", "total", "conformance", "repeats"]),
        ("dtype", "float64", ["time", "share", "total"]),
        ("phase", "train", ["time", "ratio", "share", "repeats", "set-aside"]),
        ("reference", "own idiom", ["ratio"]),
        ("batch", 65_536, ["ledger", "total"]),
        ("cache", "cold", ["ledger", "total"]),
    ],
)
def test_each_selector_changes_what_is_drawn(kept, dimension, value, exhibits):
    """A choice changes each picture that hangs on it, the rows behind are those of the choice, and it can be undone."""
    first = kept.tab.evaluate("name => report.chosen[name]", dimension)
    before = {exhibit: kept.drawn(exhibit) for exhibit in exhibits}
    kept.choose(dimension, value)
    for exhibit in exhibits:
        assert kept.drawn(exhibit) != before[exhibit], exhibit
        assert set(kept.rows(exhibit)[dimension]) == {value}
    kept.choose(dimension, first)
    assert kept.messages == []


def test_backend_and_run_toggles_change_what_is_drawn(opened):
    """A backend that is switched off leaves the charts; a run that is switched off leaves charts and maps."""
    opened.tab.locator('[data-toggle="torch"]').uncheck(force=True)
    opened.tab.wait_for_selector("body[data-state=ready]")
    assert "torch" not in set(opened.rows("time")["backend"])
    assert opened.tab.locator("#time .panel").count() == 2
    opened.tab.locator(f'[data-toggle="{made_up.SECOND}"]').uncheck(force=True)
    opened.tab.wait_for_selector("body[data-state=ready]")
    assert opened.tab.locator("#time .panel").count() == 1
    assert opened.tab.locator(f'.answer[data-run="{made_up.SECOND}"]:visible').count() == 0


@pytest.mark.parametrize("phase", ["step", "train"])
def test_numbers_in_the_chart_equal_the_results(opened, frame, phase):
    """Every point of the chart is the figure that the statistics give for the stored rows, to the last digit."""
    slim = without_receipts(frame)
    expected = tables.cells(slim, tables.estimates(slim))
    opened.choose("phase", phase)
    wanted = narrowed(expected, **{**FIRST_CHOICES, "phase": phase})
    joined = wanted.merge(opened.rows("time"), on=KEYS, suffixes=("_expected", ""))
    assert len(joined) == len(wanted) > 0
    for name in ("seconds", "low_s", "high_s"):
        assert joined[name].to_numpy() == pytest.approx(joined[f"{name}_expected"].to_numpy(), rel=1e-12)


def test_points_stand_where_their_numbers_say(kept):
    """The height of a point on the screen is linear in the log of its seconds: what is seen is what the table says."""
    rows = kept.rows("time")
    script = """rows => rows.map(row => {
        const marks = [...document.querySelectorAll('#time .panel:first-child svg path[aria-label]')];
        const mark = marks.find(one => one.getAttribute('aria-label').includes(`backend: ${row.backend};`)
            && one.getAttribute('aria-label').includes(`rows: ${row.batch.toLocaleString('en-US')};`));
        return mark ? mark.getBoundingClientRect().y + mark.getBoundingClientRect().height / 2 : null;
    })"""
    solid = rows[rows["backend"].isin(["numpy", "numba", "torch"])]
    at = kept.tab.evaluate(script, solid[["backend", "batch"]].to_dict("records"))
    assert None not in at
    logs = np.log(solid["seconds"].to_numpy(float))
    slope, offset = np.polyfit(logs, at, 1)
    assert slope < 0
    assert np.abs(slope * logs + offset - np.array(at)).max() < 3.0


def test_table_and_csv_hold_what_the_chart_shows(opened):
    """The table has a row a point, three digits of each; the CSV has the same rows and every digit."""
    opened.tab.locator("#time summary").click()
    rows = [row for row in opened.tab.evaluate("report.fitting(report.payload.exhibits[0].sources.main, "
                                               "report.payload.exhibits[0].filters)")]  # fmt: skip
    assert opened.tab.locator("#time tbody tr").count() == len(rows)
    with opened.tab.expect_download() as download:
        opened.tab.locator('#time [data-save="shown"]').click()
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        saved = list(csv.DictReader(io.StringIO(file.read())))
    assert [float(row["seconds"]) for row in saved] == [row["seconds"] for row in rows]
    assert {row["backend"] for row in saved} == {row["backend"] for row in rows}
    assert opened.messages == []


def test_csv_does_not_begin_formulas(kept):
    """A text that a spreadsheet would run as a formula is saved with a quote before it."""
    text = kept.tab.evaluate("report.csv([{name: 'a'}], [{a: '=1+1'}, {a: '-x'}, {a: -1}, {a: 'b,\"c'}])")
    assert text.split("\r\n") == ["a", "'=1+1", "'-x", "-1", '"b,""c"', ""]


def test_picture_is_saved_as_svg(kept):
    """What is seen can be kept as an SVG file."""
    kept.tab.locator("#share summary").click()
    with kept.tab.expect_download() as download:
        kept.tab.locator('#share [data-save="svg"]').click()
    assert download.value.path().read_text().startswith("<svg")


def test_keyboard_reaches_map_and_selectors(opened):
    """Tab reaches a map once; arrows move in it and the text below follows; arrows also change a selector."""
    first = opened.tab.locator(".answer:visible .cell[tabindex='0']").first
    first.focus()
    before = opened.tab.locator(".answer:visible .detail").first.inner_text()
    opened.tab.keyboard.press("ArrowRight")
    assert opened.tab.locator(".answer:visible .detail").first.inner_text() != before
    assert opened.tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    opened.tab.keyboard.press("End")
    assert "1,000,000 steps" in opened.tab.locator(".answer:visible .detail").first.inner_text()
    opened.tab.locator('.bar input[data-dimension="phase"]:checked').focus()
    opened.tab.keyboard.press("ArrowRight")
    opened.tab.wait_for_selector("body[data-state=ready]")
    assert opened.tab.evaluate("report.chosen.phase") == "train"
    assert opened.tab.evaluate("document.activeElement.dataset.value") == "train"


def test_maps_follow_precision_and_start(opened):
    """The maps shown are those of the chosen precision and state of the cache, one a network and run."""
    assert opened.tab.locator(".answer:visible").count() == 4
    opened.choose("dtype", "float64")
    assert opened.tab.locator(".answer:visible").count() == 2
    shown = opened.tab.eval_on_selector_all(".answer:not([hidden])", "all => all.map(x => x.dataset.dtype)")
    assert set(shown) == {"float64"}


def test_every_chart_has_words_and_a_table(kept):
    """Each chart is one image for a screen reader, with a text that has numbers, and a table below."""
    for chart in kept.tab.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert "The table below" in chart.get_attribute("aria-label")
    exhibits = kept.tab.locator(".exhibit").count()
    assert kept.tab.locator(".exhibit .table table, .exhibit .table .empty").count() == exhibits


def test_unlike_runs_are_shown_as_such(kept):
    """Two machines: a warning names what differs, each run has its own panel, and none is blended with the other."""
    assert "cpu model" in kept.tab.locator(".warning").first.inner_text()
    assert kept.tab.locator("#time .panel").count() == 2
    assert set(kept.rows("time")["run"]) == {made_up.FIRST}


@pytest.mark.parametrize("opened", [{"width": 390, "height": 844}, {"width": 1024}, {"width": 1600}], indirect=True)
def test_page_fits_its_width(opened):
    """Nothing sticks out to the side, from a phone to a wide screen."""
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= opened.tab.viewport_size["width"]
    assert opened.tab.evaluate("getComputedStyle(document.body).overflowX") != "hidden"


@pytest.mark.parametrize("opened", [{"width": 390, "height": 844}, {"width": 1024}], indirect=True)
@pytest.mark.parametrize("network", made_up.NETWORKS)
def test_no_text_of_a_chart_is_cut_off(opened, network):
    """Every label of every chart, also of crossovers and bars near its edge, stands inside its picture."""
    if network != made_up.NETWORKS[0]:
        opened.choose("network", network)
    assert opened.tab.evaluate(CUT_OFF) == []


def test_page_prints(opened):
    """On paper: dark ink on white, no menus, every chart inside the sheet."""
    opened.tab.emulate_media(media="print", color_scheme="dark")
    opened.tab.wait_for_selector("body[data-state=ready]")
    assert opened.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.tab.locator(".top nav").is_visible()
    assert len(opened.tab.pdf(format="A4")) > 50_000


def test_copied_address_shows_the_same(opened, report_file):
    """Choices stand in the address: whoever opens it sees the same; nonsense in it is passed over."""
    opened.choose("network", "32-64-1")
    address = opened.tab.url
    opened.tab.goto("about:blank")
    opened.tab.goto(address.replace("phase=step", "phase=<b>"))
    opened.tab.wait_for_selector("body[data-state=ready]")
    assert opened.tab.evaluate("[report.chosen.network, report.chosen.phase]") == ["32-64-1", "step"]


def test_time_over_runs_shows_every_run_and_its_step(chromium, tmp_path):
    """The picture over time has a point for each stored run of the cell, and the planted step with its label."""
    frame = synthetic.over_time()
    made = page.page(frame[frame["run"] == "run-5"], {}, {}, levels=history.levels(frame))
    path = tmp_path / "report.html"
    path.write_text(html.rendered(made, vega.scripts()), encoding="utf-8")
    for opened in tab(chromium, path, {}):
        rows = opened.rows("over-time")
        assert rows[rows["backend"] == "numba"]["measured"].tolist() == [f"run-{number}" for number in range(6)]
        points = [label for label in opened.labels("over-time") if "numba" in label]
        assert len(points) == 6
        assert sum("step: 1.5" in label for label in points) == 1
        texts = opened.tab.locator("#over-time svg text").all_text_contents()
        assert [text for text in texts if text.endswith("\u00d7") and text.startswith("1.5")]
        assert opened.tab.evaluate(CUT_OFF) == []
        assert opened.messages == []
