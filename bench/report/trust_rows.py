"""The rows of the part on trust: conformance, repeats, rounds set aside, failures, and the conditions of each run.

Tests: `tests/bench/report/test_rows.py`, `tests/bench/report/test_totals.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.machine import SAME_EXPERIMENT
from bench.report.rows import CELL
from bench.results import timed
from bench.verdicts import conditions, statistics

if TYPE_CHECKING:
    import pandas as pd

AFTER = "state after timing"
"""The claim that represents the whole proof once timing is over."""

CLAIM_FLOOR = 1e-4
"""Where an error of nothing is drawn on a logarithmic scale, as error / bound."""

FAILURE = ("run", "backend", "status", "reason")


def repeats(every: pd.DataFrame) -> pd.DataFrame:
    """Return the A/A arm: the copy's time over the first's, by cell, with the verdict of this comparison by itself."""
    first, copy = every[every["arm"] == ""], every[every["arm"] != ""]
    both = first[CELL].merge(copy[CELL])
    ratio = statistics.ratios(both.merge(first, on=CELL), both.merge(copy, on=CELL))
    rows = both.assign(ratio=ratio.ratio, low=ratio.low, high=ratio.high)
    return rows.assign(verdict=statistics.verdicts(ratio, together=False))


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
    return (
        bad.assign(where=where)
        .groupby(list(FAILURE), as_index=False)
        .agg(where=("where", lambda texts: ", ".join(dict.fromkeys(texts))), cells=("where", "size"))
    )


def receipts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the fairness receipt: a row a run, field and value with the backends that had it.

    ``unlike`` marks a field that should agree between the backends of one run, on one device and with one number of
    threads, and does not.
    """
    import pandas as pd

    fields = {"threads": "threads asked for"} | {
        name: name.removeprefix("receipt_").replace("_", " ") for name in frame if name.startswith("receipt_")
    }
    rows: list[dict[str, Any]] = []
    for run, rows_of_run in timed(frame).groupby("run", sort=False):
        seen = rows_of_run[[*fields, "backend"]].drop_duplicates()
        differing = conditions.unlike_within(rows_of_run)
        for name, label in fields.items():
            values = seen[[name, "backend"]].dropna()
            values = values.assign(**{name: values[name].map(_as_text)}).drop_duplicates()
            values = values[values[name].str.len() > 0]
            for value, holders in values.groupby(name, sort=False)["backend"]:
                names = ", ".join(sorted(set(holders)))
                differs = name in differing
                rows.append({"run": run, "field": label, "value": value, "backends": names, "unlike": differs})
    return pd.DataFrame(rows, columns=["run", "field", "value", "backends", "unlike"])


def _as_text(value: object) -> str:
    """Return what was observed; a count that pandas keeps as a float, because some rows have none, is still a count."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def unlike(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the conditions in which the runs differ for one backend, with what each run observed."""
    import pandas as pd

    rows: list[dict[str, str]] = []
    good = timed(frame)
    several = frame["run"].nunique() > 1
    for name in (name for name in SAME_EXPERIMENT if several and name in good):
        for backend, rows_of_backend in good.groupby("backend", sort=False):
            texts = conditions.said(rows_of_backend, name)
            observed = texts.groupby(rows_of_backend.loc[texts.index, "run"], sort=False).agg(
                lambda values: ", ".join(sorted(set(values)))
            )
            if observed.nunique() > 1:
                field = name.removeprefix("receipt_").replace("_", " ")
                rows += [
                    {"field": field, "backend": backend, "run": run, "value": value} for run, value in observed.items()
                ]
    return pd.DataFrame(rows, columns=["field", "backend", "run", "value"])
