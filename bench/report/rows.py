"""The rows of the pictures of speed and cost: one tidy table each, from `bench.results.load`, units in the names.

Intervals and verdicts are those of `bench.verdicts`, phase by phase of each run, so that the page says what
``python -m bench compare --phases PHASE`` says. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.report.crossovers import CHANGE, LINE, change_row
from bench.report.outlook import STEPS, Outlook
from bench.results import timed
from bench.verdicts import pairs, statistics
from bench.verdicts.estimates import CASE as CASE_OF_ONE_RUN

if TYPE_CHECKING:
    import pandas as pd

    from bench.limits.ceilings import Ceilings

CASE = ["run", *CASE_OF_ONE_RUN]
"""What the backends of one comparison have in common."""

CELL = [*CASE, "backend"]

NUMPY, IDIOM = "numpy", "own idiom"
"""What a backend can be compared with."""


def phases(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield run, machine and rows of each phase that was timed."""
    good = timed(frame)
    for (run, machine, _), rows_of_phase in good.groupby(["run", "machine", "phase"], sort=False):
        yield run, machine, rows_of_phase


def estimates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `bench.verdicts.statistics.cell_estimates` of each run and phase, with ``run`` and ``machine``."""
    import pandas as pd

    by_phase = [
        statistics.cell_estimates(rows).assign(run=run, machine=machine) for run, machine, rows in phases(frame)
    ]
    return pd.concat(by_phase, ignore_index=True)


def cells(frame: pd.DataFrame, every: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the first arm with their rounds, and each one's verdict among the backends of its phase.

    That is the outcome of its case for the fastest, and what is proven of it against the fastest for any other.
    """
    import pandas as pd

    good = timed(frame, arm="")
    counts = good.groupby(CELL, as_index=False)[["rounds", "set_aside"]].sum()
    first_arm = every[every["arm"] == ""]
    judged = [pairs.against_fastest(rows)[0] for _, rows in first_arm.groupby(["run", "phase"], sort=False)]
    return framed(pd.concat(judged, ignore_index=True).merge(counts, on=CELL), "seconds")


def framed(rows: pd.DataFrame, value: str, apart: list[str] | None = None) -> pd.DataFrame:
    """Return rows with ``drawn_low`` and ``drawn_high``: the interval, cut off where it would dwarf all the values.

    An interval from two processes may span decades. The cut is at a third of the least value of the chart and at three
    times its greatest; the interval itself stays as it is.
    """
    chart = rows.groupby([name for name in CASE if name != "batch" and name in rows] + (apart or []))[value]
    low, high = ("low_s", "high_s") if "low_s" in rows else ("low", "high")
    low, high = rows[low].clip(lower=chart.transform("min") / 3), rows[high].clip(upper=chart.transform("max") * 3)
    return rows.assign(drawn_low=low, drawn_high=high)


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as fast each cell is as numpy's, and as the idiom of its framework."""
    import pandas as pd

    parts = []
    for reference in (NUMPY, IDIOM):
        against = rows["backend"] + "-idiom" if reference == IDIOM else pd.Series(NUMPY, rows.index)
        base = rows[CASE].assign(backend=against).merge(rows, on=CELL, how="left")
        known = base["log_s"].notna().to_numpy()
        compared, other = rows[known], base[known]
        ratio = statistics.ratios(compared, other)
        labelled = compared[CELL].assign(reference=reference, against=other["backend"].to_numpy())
        parts.append(labelled.assign(ratio=ratio.ratio, low=ratio.low, high=ratio.high))
    return framed(pd.concat(parts, ignore_index=True), "ratio", ["reference"])


def limits(cells: pd.DataFrame, ceilings: Mapping[str, Ceilings]) -> pd.DataFrame:
    """Return for each case the time below which nothing can run, where the machine's ceilings were measured.

    Args:
        cells: one row a cell, with ``machine`` and ``threads``.
        ceilings: by machine.
    """
    import pandas as pd

    from bench.basics.errors import UsageError
    from bench.limits.ceilings import limit_s
    from bench.workload import Workload

    rows: list[dict[str, Any]] = []
    for known in cells[[*CASE, "machine"]].drop_duplicates().to_dict("records"):
        machine = ceilings.get(known["machine"])
        if machine is None:
            continue
        case = (known["batch"], known["dtype"], known["phase"])
        try:
            limit = limit_s(Workload.parse(known["network"]), *case, machine, known["threads"], known["device"])
        except (UsageError, ValueError):
            continue
        rows.append({**known, "limit_s": limit.seconds, "binds": limit.binds})
    if not rows:
        return pd.DataFrame(columns=[*CASE, "limit_s", "binds"])
    return pd.DataFrame(rows)[[*CASE, "limit_s", "binds"]]


def limit_line(cells: pd.DataFrame, limit: pd.DataFrame) -> pd.DataFrame:
    """Return the limits that the chart of times draws, one of each line with a label.

    A limit far below the shortest time of its chart would squeeze all the times, so the line ends at a third of it.
    """
    chart = [name for name in CASE if name != "batch"]
    shortest = cells.groupby(chart, as_index=False)["seconds"].min().rename(columns={"seconds": "shortest_s"})
    drawn = limit.merge(shortest, on=chart)
    drawn = drawn[drawn["limit_s"] >= drawn["shortest_s"] / 3].drop(columns="shortest_s")
    line = drawn.groupby(chart)["batch"]
    third = line.rank(method="first") == 1 + line.transform("size") // 3
    return drawn.assign(label=drawn["binds"].map("limit ({})".format).where(third, None))


def shares(cells: pd.DataFrame, limit: pd.DataFrame) -> pd.DataFrame:
    """Return each cell's share of the limit: limit / time."""
    joined = cells.merge(limit, on=CASE)
    joined["share"] = joined["limit_s"] / joined["seconds"]
    return joined[[*CELL, "seconds", "low_s", "high_s", "limit_s", "binds", "share"]]


def ledger(frame: pd.DataFrame, outlooks: Iterable[Outlook]) -> pd.DataFrame:
    """Return what each backend pays once and for each step, by batch and state of the compile cache."""
    import pandas as pd

    rows = pd.DataFrame([{**outlook.conditions._asdict(), **cost} for outlook in outlooks for cost in outlook.costs])
    good = timed(frame, arm="")
    used = good.groupby(CELL, as_index=False).agg(
        peak_bytes=("peak_bytes", "median"), flop=("flop", "median"), bytes_moved=("bytes_moved", "median")
    )
    rows = rows.merge(used, on=CELL)  # only what was measured: not every backend ran every batch
    rows["flop_per_s"] = rows["flop"] / rows["step_s"]
    rows["bytes_per_s"] = rows["bytes_moved"] / rows["step_s"]
    return rows.drop(columns=["flop", "bytes_moved", "phase"]).sort_values("fixed_s", kind="stable")


def totals(outlooks: Iterable[Outlook]) -> pd.DataFrame:
    """Return the total time of each backend by batch and number of steps, with its interval."""
    import pandas as pd

    rows = pd.DataFrame(
        {
            **outlook.conditions._asdict(),
            "batch": cell.batch,
            "steps": cell.steps,
            "backend": total.backend,
            "total_s": total.total_s,
            "low_s": total.low_s,
            "high_s": total.high_s,
        }
        for outlook in outlooks
        for cell in outlook.cells
        for total in cell.totals
    )
    return framed(rows, "total_s", ["batch", "cache"])


def break_even(outlooks: Iterable[Outlook]) -> pd.DataFrame:
    """Return where the best backend changes along the number of steps, by batch and state of the compile cache."""
    import pandas as pd

    rows = [
        {**outlook.conditions._asdict(), "batch": batch, **change_row(change, "steps", STEPS[0], STEPS[-1])}
        for outlook in outlooks
        for batch, changes in outlook.step_changes.items()
        for change in changes
    ]
    return pd.DataFrame(rows, columns=[*LINE, "cache", "batch", "steps", *CHANGE])
