"""Stored rows in the formats that dashboards read: pytest-benchmark's JSON and the Bencher Metric Format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.basics.formats import json_ready
from bench.results.rows import timed

if TYPE_CHECKING:
    import pandas as pd

CELL = ["backend", "network", "batch", "dtype", "device", "threads", "phase"]


def pytest_benchmark(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of one run as pytest-benchmark's JSON, a benchmark for each cell and backend.

    Its rounds are the kept rounds of all processes, in seconds of a call; of a step for ``train``.
    """
    rows = timed(frame, arm="")
    first = rows.iloc[0]
    commit = str(first.get("receipt_commit", ""))
    return {
        "machine_info": {"node": first["machine"], "cpu": {"brand_raw": str(first.get("receipt_cpu_model", ""))}},
        "commit_info": {"id": commit, "dirty": bool(first.get("receipt_dirty", False))},
        "benchmarks": [
            {
                "group": f"{cell['network']} n={cell['batch']} {cell['dtype']} {cell['device']} {cell['phase']}",
                "name": name,
                "fullname": name,
                "params": {key: json_ready(value) for key, value in cell.items()},
                "param": None,
                "extra_info": {},
                "options": {"disable_gc": True, "timer": "perf_counter", "warmup": False},
                "stats": _stats(seconds),
            }
            for name, cell, seconds in _cells(rows)
        ],
        "datetime": first["created"].isoformat(),
        "version": "5.1.0",
    }


def bencher(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of one run in the Bencher Metric Format: latency in nanoseconds, the quartiles as bounds."""
    return {
        name: {
            "latency": {
                "value": 1e9 * float(np.median(seconds)),
                "lower_value": 1e9 * float(np.quantile(seconds, 0.25)),
                "upper_value": 1e9 * float(np.quantile(seconds, 0.75)),
            }
        }
        for name, _, seconds in _cells(timed(frame, arm=""))
    }


def _cells(rows: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any], np.ndarray]]:
    """Yield name, cell and kept rounds of every cell and backend."""
    for key, group in rows.groupby(CELL, sort=False):
        cell = dict(zip(CELL, key, strict=True))
        seconds = np.concatenate([np.asarray(rounds, float) for rounds in group["round_s"]])
        seconds = seconds[np.isfinite(seconds)]
        if len(seconds) == 0:
            seconds = group["median_s"].to_numpy(float)
        name = f"{cell['backend']}::{cell['network']}-n{cell['batch']}-{cell['dtype']}-{cell['device']}-{cell['phase']}"
        yield f"{name}-t{cell['threads']}", cell, seconds


def _stats(seconds: np.ndarray) -> dict[str, Any]:
    """Return pytest-benchmark's figures of some rounds."""
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    spread, deviation, mean = high - low, float(seconds.std(ddof=1)) if len(seconds) > 1 else 0.0, float(seconds.mean())
    inside = seconds[(seconds >= low - 1.5 * spread) & (seconds <= high + 1.5 * spread)]
    outliers = int((abs(seconds - mean) > deviation).sum()), len(seconds) - len(inside)
    return {
        "min": float(seconds.min()),
        "max": float(seconds.max()),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(seconds),
        "median": float(middle),
        "iqr": float(spread),
        "q1": float(low),
        "q3": float(high),
        "iqr_outliers": outliers[1],
        "stddev_outliers": outliers[0],
        "outliers": f"{outliers[0]};{outliers[1]}",
        "ld15iqr": float(inside.min()),
        "hd15iqr": float(inside.max()),
        "ops": 1 / mean,
        "total": float(seconds.sum()),
        "iterations": 1,
    }
