"""A small made-up report for the tests: two runs under unlike conditions, idioms, a failure, a hostile name.

The first run has every claim of its proofs, the second only the worst, as older runs do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench import results
from bench.limits.ceilings import Ceiling, Ceilings
from bench.results.journal import Journal
from tests.bench import synthetic

HOSTILE = "<img src=x onerror=alert(1)>"
FIRST, SECOND = "run-one", "run-two"
NETWORKS, BATCHES = ("3-2-1", "32-64-1"), (1, 256, 65_536)


def frame(runs: tuple[str, ...] = (FIRST, SECOND), hostile: bool = True) -> pd.DataFrame:
    """Return the rows of some runs; the second was measured on another machine, in float32 alone."""
    found = []
    for number, run in enumerate(runs):
        dtypes = ("float32", "float64") if number == 0 else ("float32",)
        made = synthetic.frame(
            networks=NETWORKS, batches=BATCHES, phases=("forward", "step", "train"), dtypes=dtypes, rounds=8, run=run,
            seed=number,
        )  # fmt: skip
        if number:
            made = made.assign(machine="other-machine", receipt_cpu_model="Another CPU")
        else:
            made = pd.concat([made, _idioms(made)], ignore_index=True)
        found.append(made)
    whole = pd.concat(found, ignore_index=True)
    whole.attrs = {}
    whole.loc[whole["network"] == NETWORKS[1], "conformance_ratio"] *= 1.5
    whole["conformance_claims"] = [_claims(row) if row.run == FIRST else "" for row in whole.itertuples()]
    return whole.assign(backend=whole["backend"].replace({"jax": HOSTILE})) if hostile else whole


def _claims(row: Any) -> str:
    """Return the claims of a proof: the worst as the row has it, one that is better, one that judged nothing."""
    return json.dumps(
        {"outputs": row.conformance_ratio / 4, row.conformance_claim: row.conformance_ratio, "train": None}
    )


def _idioms(made: pd.DataFrame) -> pd.DataFrame:
    """Return numpy and torch at twice the time, as their idioms."""
    own = made[made["backend"].isin(["numpy", "torch"]) & (made["arm"] == "")].copy()
    own["backend"] += "-idiom"
    own["order"] += made["order"].max() + 1  # processes of their own
    for name in ("median_s", "lower_quartile_s", "minimum_s"):
        own[name] *= 2
    for name in ("round_s", "turn_s"):
        own[name] = [[2 * one for one in seconds] for seconds in own[name]]
    return own


def ceilings(machine: str = "made-up-machine") -> Ceilings:
    """Return round ceilings of one machine."""
    rates = {"read": 2e10, "copy": 2e10, "product": 2e11, "tanh": 2e9}
    measured = tuple(
        Ceiling(kind, dtype, 2, "", 1 << 20, rate, "")  # type: ignore[arg-type]
        for kind, rate in rates.items()
        for dtype in (("",) if kind in ("read", "copy") else ("float32", "float64"))
    )
    return Ceilings(machine, "2025-01-02T03:04:05Z", {}, measured)


def stored(root: Path, rows: pd.DataFrame) -> list[Path]:
    """Write rows as runs below ``root``, as a campaign would; return their folders."""
    paths = []
    for (run, machine), own in rows.groupby(["run", "machine"], sort=False):
        path = root / str(machine) / str(run)
        path.mkdir(parents=True)
        manifest = {"schema": results.SCHEMA, "run": run, "machine": machine, "created": "2025-01-02T03:04:05+00:00"}
        (path / results.MANIFEST).write_text(json.dumps({**manifest, "command": ["python", "-m", "bench", "run"]}))
        with Journal(path / results.ROWS) as journal:
            for record in _records(own):
                journal.append(record)
        paths.append(path)
    return paths


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    records = json.loads(rows.drop(columns=["run", "machine", "created"]).to_json(orient="records"))
    return [{"record": "cell", "attempt": 0, **record} for record in records]
