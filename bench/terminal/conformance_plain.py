"""Conformance reports as plain lines, for environments without rich; JUnit XML; the command that judges a claim again.

It needs only the standard library.

Tests: `tests/bench/terminal/test_conformance_text.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from backends.conformance import Claim, Report
from backends.conformance.checks import RULES
from bench.basics.formats import format_number, format_seconds, printable


def format_plain(reports: Sequence[Report], skipped: dict[str, str], seconds: float) -> Iterator[str]:
    """Yield the lines to print: one for each claim, failures with a command for each, and the verdict."""
    for report in map(printable_report, reports):
        for claim in report.claims:
            ratio = format_number(claim.ratio)
            yield f"{report.label}  {claim.name:18} {claim.status:4}  {ratio:>8}  {claim.case}"
        for claim in report.failures:
            yield f"FAIL: {report.label}, {claim.name}: {claim.where}"
            yield f"  {command_for(report, claim)}"
    for seed in {report.seed for report in reports if report.seed is not None}:
        yield f"drawn shapes: --seed {seed} draws them again"
    for name, reason in skipped.items():
        yield f"skipped: {printable(name)}: {printable(reason)}"
    yield verdict(reports, seconds)


def command_for(report: Report, claim: Claim) -> str:
    """Return the command that judges this claim again, on the case alone if it has a name."""
    device = "" if report.device == "cpu" else f" --device {report.device}"
    backend = shlex.quote(report.backend)
    if report.ranks > 1:
        launch = f"--ranks {report.ranks} --engine {report.engine}"
        return f"python -m bench check --backend {backend} --dtype {report.dtype}{device} {launch}"
    by_name = not RULES[claim.name].own_cases and "/n=" in claim.case
    what = f"--case {shlex.quote(claim.case)}" if by_name else f"--claim {claim.name!r}"
    return f"python -m bench check --backend {backend} --dtype {report.dtype}{device} {what}"


def junit(reports: Sequence[Report], skipped: dict[str, str]) -> str:
    """Return JUnit XML: a suite for each backend and dtype, a test case for each claim, with its ratio and where."""
    root = ElementTree.Element("testsuites", name="backprop-bench check")
    for report in map(printable_report, reports):
        counts = {"tests": len(report.claims), "failures": len(report.failures)}
        counts["skipped"] = sum(claim.status == "skip" for claim in report.claims)
        name = f"{report.label} {report.device}"
        suite = ElementTree.SubElement(root, "testsuite", {"name": name} | {key: str(n) for key, n in counts.items()})
        for claim in report.claims:
            case = ElementTree.SubElement(suite, "testcase", {"classname": name, "name": claim.name})
            said = f"error / bound {format_number(claim.ratio)} on {claim.case or claim.name}"
            if claim.status == "fail":
                failure = ElementTree.SubElement(case, "failure", {"message": f"{said}: {claim.where}"})
                failure.text = command_for(report, claim)
            elif claim.status == "skip":
                ElementTree.SubElement(case, "skipped", {"message": claim.where})
            else:
                warning = f"; warning: {claim.warning} of the quality tier" if claim.warning else ""
                ElementTree.SubElement(case, "system-out").text = said + warning
    for name, reason in skipped.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": printable(name), "tests": "1", "skipped": "1"})
        case = ElementTree.SubElement(suite, "testcase", {"classname": printable(name), "name": "available"})
        ElementTree.SubElement(case, "skipped", {"message": printable(reason)})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def printable_report(report: Report) -> Report:
    """Return the report with every foreign text made safe to print: names and messages are a stranger's."""
    claims = (
        replace(claim, case=printable(claim.case), where=printable(claim.where), warning=printable(claim.warning))
        for claim in report.claims
    )
    return replace(report, backend=printable(report.backend), claims=tuple(claims))


def verdict(reports: Sequence[Report], seconds: float) -> str:
    """Return the last line: whether all is right, what was judged, and how long it took."""
    failed = [report.label for report in reports if not report.passed]
    took = f"({format_seconds(seconds)})"
    if not reports:
        return f"No backend to judge {took}."
    judged = sum(claim.cases for report in reports for claim in report.claims)
    if failed:
        return f"{', '.join(failed)}: not right {took}."
    if warnings := sum(len(report.warnings) for report in reports):
        counted = f"{warnings} warning{'s' if warnings > 1 else ''}"
        return (
            f"Right, with {counted}: {judged:,} judgements, none beyond its bound, but some errors are larger than "
            f"random roundings add up to: summation in long chains, or a coarse function {took}."
        )
    return f"All right: {judged:,} judgements, none beyond its bound {took}."
