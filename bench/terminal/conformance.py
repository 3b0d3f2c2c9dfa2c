"""Conformance reports as text: claims x backends, the worst cases, and how to see one again.

Tests: `tests/bench/terminal/test_conformance_text.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from backends.conformance import Claim, Report
from backends.conformance.checks import RULES
from bench.basics.formats import format_number, shortened
from bench.terminal.conformance_plain import command_for, printable_report, verdict
from bench.terminal.terminal import table

MOST_OF_A_NAME = 24


def format_reports(reports: Sequence[Report], skipped: dict[str, str], seconds: float) -> Iterator[RenderableType]:
    """Yield the parts to print: the table, the worst cases, failures with a command for each, and the verdict."""
    reports = [printable_report(report) for report in reports]
    if reports:
        dtypes = list(dict.fromkeys(report.dtype for report in reports))
        yield f"Worst error / proven bound, {' then '.join(dtypes)}: at most 1 is right."
        yield ""
        for launch in dict.fromkeys((report.ranks, report.engine) for report in reports):
            if launch[0] > 1:
                yield f"{launch[0]} ranks by {launch[1]}:"
            yield _claims_table([report for report in reports if (report.ranks, report.engine) == launch], dtypes)
            yield ""
        yield "ok: equal bit for bit, or refused as documented.  -: nothing to judge."
        again = "" if reports[0].ranks > 1 else "; --case NAME judges one again"
        yield f"The case closest to its bound{again}:"
        yield ""
        yield _worst_table(reports)
        yield ""
    for report in reports:
        for claim in report.warnings:
            yield f"warning: {report.backend} {report.dtype}, {claim.name}: {claim.warning} of the quality tier"
        if report.products != "ieee":
            yield (
                f"declared: {report.backend} {report.dtype} rounds the factors of its products to {report.products}; "
                "its bounds allow that"
            )
    for report in reports:
        if report.failures:
            yield _failures_table(report)
            yield "the first of these again:"
            yield Text(f"  {command_for(report, report.failures[0])}", no_wrap=True, overflow="ignore")
            yield ""
    for seed in {report.seed for report in reports if report.seed is not None}:
        yield f"drawn shapes: --seed {seed} draws them again"
    for name, reason in skipped.items():
        yield f"skipped: {name}: {reason}"
    yield verdict(reports, seconds)


def _short(backend: str) -> str:
    return shortened(backend.rpartition(":")[2], MOST_OF_A_NAME)


def _claims_table(reports: Sequence[Report], dtypes: Sequence[str]) -> RenderableType:
    """One row a claim, one column a backend, one number a dtype."""
    names = list(dict.fromkeys(report.backend for report in reports))
    by_column = {(report.backend, report.dtype): {claim.name: claim for claim in report.claims} for report in reports}
    claims = list(dict.fromkeys(claim.name for report in reports for claim in report.claims))
    rows = []
    for claim in claims:
        cells = [
            " ".join(_cell(by_column[name, dtype].get(claim)) for dtype in dtypes if (name, dtype) in by_column)
            for name in names
        ]
        rows.append([claim, *cells])
    return table([("claim", "left"), *((_short(name), "right") for name in names)], rows)


def _cell(claim: Claim | None) -> str:
    """Return five characters: a ratio, ``ok`` for a claim of equality that holds, ``warn`` or ``FAIL``."""
    if claim is None or claim.status == "skip":
        text = "-"
    elif claim.status == "fail":
        text = "FAIL"
    elif claim.status == "warn":
        text = "warn"
    elif claim.name not in RULES or RULES[claim.name].exact:
        text = "ok"
    else:
        text = f"{claim.ratio:.3f}"
    return f"{text:>5}"


def _worst_table(reports: Sequence[Report]) -> RenderableType:
    rows = []
    for report in reports:
        worst = report.worst
        ratio = "FAIL" if worst.status == "fail" else f"{worst.ratio:.3f}"
        label = replace(report, backend=_short(report.backend)).label
        rows.append([label, ratio, worst.name, worst.case])
    columns = [("backend", "left"), ("worst", "right"), ("claim", "left"), ("case", "left")]
    return table(columns, rows)


def _failures_table(report: Report) -> RenderableType:
    """In the order of the mathematics: the first that fails is the likeliest cause of the others."""
    rows = [
        [claim.name, format_number(claim.ratio), claim.case, claim.where.removeprefix(f"{claim.case}, ")]
        for claim in report.failures
    ]
    columns = [("claim", "left"), ("error/bound", "right"), ("worst case", "left"), ("where", "left")]
    return table(columns, rows, title=f"FAIL: {report.label}")
