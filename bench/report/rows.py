"""The rows of every picture, from the tidy frame of `bench.results.load`: one tidy table each, units in the names.

Intervals and verdicts are those of `bench.verdicts`, phase by phase of each run, so that the page says what
``python -m bench compare --phases PHASE`` says. Nothing is drawn here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.machine import SAME_CONDITIONS, SAME_EXPERIMENT
from bench.report.crossovers import CHANGE, LINE, change_row
from bench.report.outlook import STEPS, Outlook
from bench.results import timed
from bench.verdicts import pairs, statistics
from bench.verdicts.statistics import CASE as CASE_OF_ONE_RUN

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


def repeats(every: pd.DataFrame) -> pd.DataFrame:
    """Return the A/A arm: the copy's time over the first's, by cell, with the verdict of this comparison by itself."""
    first, copy = every[every["arm"] == ""], every[every["arm"] != ""]
    both = first[CELL].merge(copy[CELL])
    ratio = statistics.ratios(both.merge(first, on=CELL), both.merge(copy, on=CELL))
    rows = both.assign(ratio=ratio.ratio, low=ratio.low, high=ratio.high)
    return rows.assign(verdict=statistics.verdicts(ratio, together=False))


AFTER = "state after timing"
"""The claim that represents the whole proof once timing is over."""

CLAIM_FLOOR = 1e-4
"""Where an error of nothing is drawn on a logarithmic scale, as error / bound."""

FAILURE = ("run", "backend", "status", "reason")


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


def conformance(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the worst error / bound by run, network, dtype, claim and backend, before and after timing.

    ``ratio`` is NaN for a claim that had nothing to judge. Of a proof that was kept as its worst claim alone, as older
    runs do, there is a row for that claim.
    """
    import pandas as pd

    keys = ["run", "network", "dtype", "backend"]
    known = frame[frame["arm"] == ""]
    proven = known[known["conformance_ratio"].notna()]
    proofs = proven[[*keys, "conformance_claims", "conformance_claim", "conformance_ratio"]].drop_duplicates()
    claim_rows = [
        (*key, claim, ratio)
        for *key, claims, worst, most in proofs.itertuples(index=False)
        for claim, ratio in (_ratios(claims) or {worst: most}).items()
    ]
    before = pd.DataFrame(claim_rows, columns=[*keys, "claim", "ratio"]).astype({"ratio": float})
    after = known[known["final_ratio"].notna()].rename(columns={"final_ratio": "ratio"})[[*keys, "ratio"]]
    both = pd.concat([before, after.assign(claim=AFTER)])
    rows = both.groupby([*keys, "claim"], as_index=False, sort=False)["ratio"].max()
    rows["shown"] = rows["ratio"].clip(lower=CLAIM_FLOOR)
    rows["drawn_high"] = rows["shown"].clip(lower=1.0)  # the bound itself is always on the scale
    rows["passed"] = (rows["ratio"] <= 1).astype(object).where(rows["ratio"].notna(), None)
    place = {claim: number for number, claim in enumerate([*before["claim"].drop_duplicates(), AFTER])}
    return (
        rows.assign(place=rows["claim"].map(place))
        .sort_values(["place", "backend"], kind="stable")
        .drop(columns="place")
    )


def _ratios(claims: str) -> dict[str, float | None]:
    """Return the ratio of each claim, as a row keeps them; none if it keeps none that can be read."""
    try:
        ratios = json.loads(claims or "{}")
    except (ValueError, RecursionError):
        return {}
    known = ratios.items() if isinstance(ratios, dict) else ()
    return {claim: ratio for claim, ratio in known if ratio is None or isinstance(ratio, int | float)}


def without_claims(frame: pd.DataFrame) -> list[str]:
    """Return the runs that kept only the worst claim of each proof."""
    proven = frame[frame["conformance_ratio"].notna()]
    kept = (proven["conformance_claims"] != "").groupby(proven["run"], sort=False).any()
    return [str(run) for run in kept.index[~kept]]


def set_aside(frame: pd.DataFrame) -> pd.DataFrame:
    """Return by cell how many rounds were set aside, and what the machine did meanwhile."""
    good = timed(frame, arm="")
    rows = good.groupby(CELL, as_index=False).agg(
        rounds=("rounds", "sum"),
        set_aside=("set_aside", "sum"),
        involuntary_switches=("involuntary_switches", "sum"),
        steal_s=("steal_s", "sum"),
        cpu_per_wall=("cpu_per_wall", "median"),
        load_average=("load_average", "median"),
    )
    rows["share"] = rows["set_aside"] / (rows["set_aside"] + rows["rounds"]).clip(lower=1)
    return rows


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each backend that could not be ranked somewhere: status, reason, where, and how many cells."""
    bad = frame[frame["status"] != "ok"]
    where = bad["network"] + " " + bad["dtype"]
    rows = (
        bad.assign(where=where)
        .groupby(list(FAILURE), as_index=False)
        .agg(where=("where", lambda texts: ", ".join(dict.fromkeys(texts))), cells=("where", "size"))
    )
    return rows


def receipts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the fairness receipt: a row a run, field and value with the backends that had it.

    ``unlike`` marks a field that should agree between the backends of one run and does not.
    """
    import pandas as pd

    fields = {"threads": "threads asked for"} | {
        name: name.removeprefix("receipt_").replace("_", " ") for name in frame if name.startswith("receipt_")
    }
    rows: list[dict[str, Any]] = []
    for run, rows_of_run in timed(frame).groupby("run", sort=False):
        seen = rows_of_run[[*fields, "backend"]].drop_duplicates()
        for name, label in fields.items():
            values = seen[[name, "backend"]].dropna().astype({name: str}).drop_duplicates()
            values = values[values[name].str.len() > 0]
            for value, holders in values.groupby(name, sort=False)["backend"]:
                differs = values[name].nunique() > 1 and name in SAME_CONDITIONS
                names = ", ".join(sorted(set(holders)))
                rows.append({"run": run, "field": label, "value": value, "backends": names, "unlike": differs})
    return pd.DataFrame(rows, columns=["run", "field", "value", "backends", "unlike"])


def unlike(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the conditions in which the runs differ for one backend, with what each run observed."""
    import pandas as pd

    rows: list[dict[str, str]] = []
    good = timed(frame)
    several = frame["run"].nunique() > 1
    for name in (name for name in SAME_EXPERIMENT if several and name in good):
        for backend, rows_of_backend in good.groupby("backend", sort=False):
            observed = rows_of_backend.groupby("run", sort=False)[name].agg(
                lambda values: ", ".join(sorted(set(map(str, values))))
            )
            if observed.nunique() > 1:
                field = name.removeprefix("receipt_").replace("_", " ")
                rows += [
                    {"field": field, "backend": backend, "run": run, "value": value} for run, value in observed.items()
                ]
    return pd.DataFrame(rows, columns=["field", "backend", "run", "value"])
