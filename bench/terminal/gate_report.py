"""The gate's judgement in the formats that continuous integration reads: Markdown for a comment, JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from bench.basics.formats import counted, format_seconds

if TYPE_CHECKING:
    import pandas as pd

    from bench.verdicts.gate import Gate

MOST_ROWS = 60
"""Rows of a folded table; a comment has a limit of 65,536 letters."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What neither XML nor a comment can hold."""


def markdown(judged: Gate, sides: str, repeat: str, notes: Sequence[str] = ()) -> str:
    """Return a comment: the verdict, what changed, everything folded, how to repeat it.

    Args:
        judged: the judgement.
        sides: the two that were compared, in words.
        repeat: the command that does it again.
        notes: further lines, such as what could be detected.
    """
    cells, margin = judged.cells, f"{100 * judged.margin:.3g} %"
    changed = cells[cells["verdict"].isin(("slower", "faster"))].sort_values("ratio", ascending=False)
    lines = [f"### {headline(judged)}", "", plain(sides), ""]
    lines += table(changed) if len(changed) else [f"No cell changed by more than {margin}, as far as was proven."]
    lines += [f"- lost: {plain(line)}" for line in judged.lost]
    lines += [f"- not compared, the base could not be timed: {plain(line)}" for line in judged.without_base]
    counts = cells["verdict"].value_counts()
    lines += [
        "",
        f"{counted(len(cells), 'cell')}: {int(counts.get('slower', 0))} slower, {int(counts.get('faster', 0))} faster, "
        f"{int(counts.get('tie', 0))} unchanged within {margin}, {judged.undecided} undecided.",
        *(plain(note) for note in notes),
        "",
        "<details><summary>All cells</summary>",
        "",
        *table(cells.sort_values("ratio", ascending=False).head(MOST_ROWS)),
        "",
        "</details>",
        "",
        f"Repeat it: `{repeat.replace('`', '')}`",
        "",
    ]
    return "\n".join(lines)


def headline(judged: Gate) -> str:
    """Return the verdict in one line."""
    if judged.passed:
        return "Passed: no slow-down is proven"
    said = [f"{counted(len(judged.slower), 'cell')} slower"] if len(judged.slower) else []
    said += [f"{counted(len(judged.lost), 'cell')} lost"] if judged.lost else []
    said += [f"{counted(judged.undecided, 'cell')} undecided"] if judged.undecided and not said else []
    return f"Failed: {', '.join(said)}"


def table(cells: pd.DataFrame) -> list[str]:
    """Return cells as the lines of a Markdown table."""
    head = ["| backend | network | rows | dtype | phase | base | change | ratio | 95 % | verdict |"]
    head += ["| --- | --- | ---: | --- | --- | ---: | ---: | ---: | --- | --- |"]
    return head + [
        f"| {plain(row.backend)} | {plain(row.network)} | {row.batch:,} | {row.dtype} | {row.phase} "
        f"| {format_seconds(row.before_s)} | {format_seconds(row.after_s)} | {row.ratio:.3f} "
        f"| {row.low:.3f} to {row.high:.3f} | {row.verdict} |"
        for row in cells.itertuples()
    ]


def plain(text: str) -> str:
    """Return a text that Markdown and HTML show as it is, on one line."""
    text = CONTROL.sub("\ufffd", " ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~@])", r"\\\1", text)


def junit(judged: Gate, sides: str) -> str:
    """Return JUnit XML: a test case for each cell, a failure if it is proven slower, lost, or counts as undecided."""
    suite = ElementTree.Element("testsuite", name="backprop-bench gate")
    failures = 0
    for row in judged.cells.itertuples():
        case = ElementTree.SubElement(suite, "testcase", {"classname": _xml(row.backend), "name": _xml(_cell(row))})
        said = f"{row.ratio:.3f} times the base, 95 % {row.low:.3f} to {row.high:.3f}"
        if row.verdict in judged.failing:
            failures += 1
            failure = ElementTree.SubElement(case, "failure", {"message": f"{row.verdict}: {said}"})
            failure.text = _xml(f"{sides}: {format_seconds(row.before_s)} -> {format_seconds(row.after_s)}")
        else:
            ElementTree.SubElement(case, "system-out").text = f"{row.verdict}: {said}"
    for line in judged.lost:
        failures += 1
        case, why = _untimed(suite, line)
        ElementTree.SubElement(case, "failure", {"message": _xml(f"lost: {why}")})
    for line in judged.without_base:
        case, why = _untimed(suite, line)
        ElementTree.SubElement(case, "skipped", {"message": _xml(f"the base could not be timed: {why}")})
    suite.set("tests", str(len(judged.cells) + len(judged.lost) + len(judged.without_base)))
    suite.set("failures", str(failures))
    suite.set("skipped", str(len(judged.without_base)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _untimed(suite: ElementTree.Element, line: str) -> tuple[ElementTree.Element, str]:
    """Add the test case of a cell that one side could not time; return it and why."""
    name, _, why = line.partition(": ")
    names = {"classname": _xml(name.partition(",")[0]), "name": _xml(name)}
    return ElementTree.SubElement(suite, "testcase", names), why


def _cell(row: Any) -> str:
    """Return a cell as ``3-2-1 n=1024 float32 cpu step, 2 threads``."""
    parts = [str(getattr(row, name)) for name in ("network", "batch", "dtype", "device", "phase")]
    return f"{parts[0]} n={parts[1]} {' '.join(parts[2:])}, {counted(int(row.threads), 'thread')}"


def _xml(text: str) -> str:
    """Return a text that XML can hold."""
    return CONTROL.sub("\ufffd", text)
