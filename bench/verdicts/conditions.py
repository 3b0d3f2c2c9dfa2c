"""Whether times were taken under like conditions: what differs, and the refusal to compare what is unlike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.machine import SAME_CONDITIONS, SAME_EXPERIMENT, UNLESS_SAID
from bench.machine.speed import Speed, difference
from bench.results import timed

if TYPE_CHECKING:
    import pandas as pd

    from bench.results import Run


def unlike_within(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the conditions in which backends of one run differ, with the values of each."""
    return _unlike(frame, [], SAME_CONDITIONS)


def unlike_between(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, list[str]]:
    """Return the conditions in which two runs differ for one backend, with the values of each."""
    import pandas as pd

    return _unlike(pd.concat([before, after], ignore_index=True), ["backend"], SAME_EXPERIMENT)


def unlike_speed(before: Run, after: Run) -> dict[str, list[str]]:
    """Return in which rates the machines of two runs differ, as `unlike_between` does for the rows."""
    said = difference(*(Speed.from_dict(run.manifest.get("speed")) for run in (after, before)))
    return {"speed of the machine": [said]} if said else {}


def refuse(unlike: dict[str, list[str]], force: bool, remedy: str = "compare all the same with --force") -> None:
    """Refuse a comparison across unlike conditions, naming the fields that differ and what to do.

    Raises:
        UsageError: they differ, and it was not forced.
    """
    if unlike and not force:
        fields = "; ".join(
            f"{name.removeprefix('receipt_')}: {' against '.join(map(repr, values))}" for name, values in unlike.items()
        )
        raise UsageError(f"unlike conditions, so no fair comparison: {fields}; {remedy}")


def _unlike(frame: pd.DataFrame, inside: list[str], fields: Iterable[str]) -> dict[str, list[str]]:
    """Return fields with several values among good rows that agree in ``inside``, device and number of threads.

    Rows without a field are ignored, unless `UNLESS_SAID` has the value of rows from before the field was stored.
    """
    good = timed(frame)
    groups = [*inside, "device", "threads"]
    unlike: dict[str, list[str]] = {}
    for name in fields:
        if name not in good or name in groups:
            continue
        texts = said(good, name)
        for _, values in texts.groupby([good.loc[texts.index, key] for key in groups], sort=False):
            if values.nunique() > 1:
                unlike.setdefault(name, list(map(str, values.unique())))
    return unlike


def said(frame: pd.DataFrame, name: str) -> pd.Series[str]:
    """Return a condition as text, for the rows that have it."""
    values = frame[name]
    return (values.fillna(UNLESS_SAID[name]) if name in UNLESS_SAID else values.dropna()).astype(str)


def busy(frame: pd.DataFrame) -> str:
    """Return a warning if other programs wanted the processors while a run was measured, '' if they did not."""
    neighbours = frame["receipt_beside"].dropna() if "receipt_beside" in frame else ()
    if others := {name for text in neighbours for name in text.split("; ")} - {""}:
        first, *more = sorted(others)
        shown = ", ".join([first, *more]) if len(more) < 2 else f"{first} and {len(more)} others"
        return f"Measured at the same time as {shown}: times suffer. Measure again alone."
    if "receipt_throttled_periods" in frame and (periods := frame["receipt_throttled_periods"].fillna(0).max()) > 0:
        return (
            f"The processor quota held a process of this run back {counted(int(periods), 'time')}: times hold under "
            "that quota. Measure with fewer threads, or without the quota."
        )
    good = frame[(frame["status"] == "ok") & (frame["load_average"] > 0)]
    if good.empty:
        return ""
    load, threads = float(good["load_average"].median()), int(good["threads"].max())
    if load <= threads + 1:
        return ""
    return (
        f"The machine was busy: load {load:.1f} where this run needed {threads}. "
        "Times hold for a busy machine; measure again on a quiet one."
    )
