"""A headless Chromium and the report in it. Every request and every console message of the page is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import results
from bench.report import html, page, vega
from tests.bench.report import made_up

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
READY = "body[data-state=ready]"


@dataclass
class Opened:
    """The report in a tab: playwright's page, what it asked for, what it said."""

    tab: Any
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def choose(self, dimension: str, value: object) -> None:
        """Choose with the first visible selector of a dimension and wait until all is drawn."""
        self.tab.locator(f'input[data-dimension="{dimension}"][data-value="{value}"]').first.check(force=True)
        self.tab.wait_for_selector(READY)

    def drawn(self, exhibit: str) -> str:
        """Return what an exhibit's charts look like."""
        return str(self.tab.eval_on_selector_all(f"#{exhibit} .chart svg", "all => all.map(x => x.outerHTML).join()"))

    def labels(self, exhibit: str) -> list[str]:
        """Return what an exhibit's charts say of their marks."""
        found = self.tab.locator(f"#{exhibit} svg [aria-label]").all()
        return [str(mark.get_attribute("aria-label")) for mark in found]

    def rows(self, exhibit: str, source: str = "main") -> pd.DataFrame:
        """Return the rows that an exhibit's first chart has drawn, from the drawing library itself."""
        script = "([id, source]) => [...report.views].find(([key]) => key.startsWith(id + '/'))[1].view.data(source)"
        return pd.DataFrame(self.tab.evaluate(script, [exhibit, source]))


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two stored runs, one of them with a backend whose name is a tag."""
    return made_up.stored(tmp_path_factory.mktemp("results"), made_up.frame())


@pytest.fixture(scope="session")
def frame(stored: list[Path]) -> pd.DataFrame:
    """Their rows, as `bench.results.load` gives them."""
    return results.load(*stored)


@pytest.fixture(scope="session")
def report_file(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both runs."""
    made = page.page(frame, {"made-up-machine": made_up.ceilings()}, {})
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.rendered(made, vega.scripts()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium: that of ``$CHROMIUM``, else the machine's."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("no Chromium on this machine; run: nox -s browser, or apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, report_file: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report in a fresh tab; parametrise indirectly to set the tab's options (width, colour scheme)."""
    yield from tab(chromium, report_file, getattr(request, "param", {}))


@pytest.fixture(scope="module")
def kept(chromium: Any, report_file: Path) -> Iterator[Opened]:
    """The report in a tab that tests share; whoever chooses something chooses it back."""
    yield from tab(chromium, report_file, {})


def tab(chromium: Any, report_file: Path, more: dict[str, Any]) -> Iterator[Opened]:
    """Give the report in a tab of its own."""
    options = {"width": 1280, "height": 900, **more}
    size = {name: options.pop(name) for name in ("width", "height")}
    context = chromium.new_context(viewport=size, accept_downloads=True, **options)
    shown = Opened(context.new_page())
    shown.tab.on("request", lambda sent: shown.requests.append(sent.url))
    shown.tab.on("console", lambda message: shown.messages.append(f"{message.type}: {message.text}"))
    shown.tab.on("pageerror", lambda error: shown.messages.append(f"error: {error}"))
    shown.tab.goto(report_file.as_uri())
    shown.tab.wait_for_selector(READY)
    yield shown
    context.close()
