"""Made-up runs with a known truth: the tidy frame of `bench.results.load`, drawn from a plain model of time and noise.

`frame` gives rows as a campaign of four backends would, with an A/A arm and a backend that failed; `true_s` gives the
time that the rows scatter about. Nothing here measures anything.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NETWORKS = ("3-2-1", "32-64-1", "64-64-64-1")
BATCHES = (1, 16, 256, 4_096, 65_536, 1_048_576)
PHASES = ("place", "forward", "backward", "update", "step", "train")
SHARE_OF_STEP = {"place": 0.2, "forward": 0.4, "backward": 0.6, "update": 0.05, "step": 1.0, "train": 1.0}
FAILED = "broken"


@dataclass(frozen=True)
class Speed:
    """What a backend's time is made of: ``call_s + n * (tanh_s * tanh elements + flop_s * flops + byte_s * bytes)``.

    ``train_call_s`` replaces ``call_s`` inside `train`, where the framework runs the loop.
    """

    call_s: float
    train_call_s: float
    tanh_s: float
    flop_s: float
    byte_s: float
    import_s: float
    compile_s: float


SPEEDS: Mapping[str, Speed] = {
    "numpy": Speed(20e-6, 14e-6, 1.2e-9, 2.0e-11, 2.0e-10, 0.08, 0.0),
    "numba": Speed(1e-6, 0.06e-6, 0.4e-9, 1.2e-11, 0.6e-10, 0.45, 1.5),
    "jax": Speed(15e-6, 0.06e-6, 0.9e-9, 0.9e-11, 1.2e-10, 0.8, 0.25),
    "torch": Speed(50e-6, 28e-6, 1.0e-9, 0.7e-11, 2.5e-10, 1.9, 0.0),
}


@dataclass(frozen=True)
class Noise:
    """Scatter of a figure: log standard deviation between processes and between rounds, and rounds hit by the machine.

    A hit round takes ``1 + exponential(hit)`` times as long; ``drift`` is the log change over the whole campaign.
    """

    process: float = 0.015
    round: float = 0.02
    hit_share: float = 0.03
    hit: float = 0.5
    drift: float = 0.01


def work(network: str) -> tuple[int, int, int]:
    """Return tanh elements, operations and bytes of inputs and targets (float32) of one row of a step."""
    sizes = [int(size) for size in network.split("-")]
    products = sum(i * o for i, o in itertools.pairwise(sizes))
    return sum(sizes[1:-1]), 6 * products, 4 * (sizes[0] + sizes[-1])


def true_s(backend: str, network: str, batch: int, phase: str = "step", dtype: str = "float32") -> float:
    """Return the seconds of one call (of one step, for train) about which a backend's rows scatter."""
    speed = SPEEDS[backend]
    tanh, flop, size = work(network)
    wide = 2.0 if dtype == "float64" else 1.0
    throughput = wide * batch * (tanh * speed.tanh_s + flop * speed.flop_s + size * speed.byte_s)
    overhead = speed.train_call_s if phase == "train" else speed.call_s
    return SHARE_OF_STEP[phase] * (overhead + throughput)


def draw_rounds(truth_s: float, rounds: int, process: float, noise: Noise, rng: np.random.Generator) -> list[float]:
    """Return ``rounds`` seconds of one process whose log offset is ``process``."""
    scatter = np.exp(process + noise.round * rng.standard_normal(rounds))
    hit = rng.random(rounds) < noise.hit_share
    scatter[hit] *= 1.0 + rng.exponential(noise.hit, hit.sum())
    return [float(second) for second in truth_s * scatter]


def frame(
    backends: Sequence[str] = tuple(SPEEDS),
    networks: Sequence[str] = NETWORKS,
    batches: Sequence[int] = BATCHES,
    phases: Sequence[str] = PHASES,
    dtypes: Sequence[str] = ("float32",),
    processes: int = 4,
    rounds: int = 30,
    noise: Noise | None = None,
    slower: Mapping[tuple[str, str, int], float] | None = None,
    twin: str | None = "numba",
    failed: str | None = FAILED,
    run: str = "made-up",
    seed: int = 0,
) -> pd.DataFrame:
    """Return one tidy row a cell and process.

    Args:
        noise: scatter; the default resembles a shared two-core machine.
        slower: factor on the true time of every phase, by (backend, network, batch).
        twin: the backend that runs twice, the second time as arm ``"A/A"``; ``None`` for no such arm.
        failed: name of a backend that fails conformance; ``None`` for none.
        seed: of all that is drawn.
    """
    noise, slower = noise or Noise(), slower or {}
    rng = np.random.default_rng(seed)
    arms = [(name, "") for name in backends] + ([(twin, "A/A")] if twin in backends else [])
    rows: list[dict[str, Any]] = []
    for process in range(processes):
        for position in rng.permutation(len(arms)):
            backend, arm = arms[position]
            order = process * len(arms) + position
            offset = noise.process * rng.standard_normal() + noise.drift * order / (processes * len(arms))
            for network in networks:
                for batch in batches:
                    for dtype in dtypes:
                        local = offset + 0.5 * noise.process * rng.standard_normal()
                        for phase in phases:
                            truth = true_s(backend, network, batch, phase, dtype)
                            truth *= slower.get((backend, network, batch), 1.0)
                            seconds = draw_rounds(truth, rounds, local, noise, rng)
                            rows.append(
                                _row(run, process, int(order), backend, arm, network, batch, dtype, phase, seconds)
                            )
        if failed is not None:
            order = processes * len(arms) + process
            rows.extend(
                _failed_row(run, process, order, failed, network, batches[0], dtypes[0]) for network in networks
            )
    return pd.DataFrame(rows)


def store(made: pd.DataFrame, root: Path) -> Path:
    """Write rows of one run as `bench.results` keeps them under ``root``; return the run's folder."""
    run, machine, created = (str(made[name].iloc[0]) for name in ("run", "machine", "created"))
    path = root / machine / run
    path.mkdir(parents=True)
    manifest = {"schema": 2, "run": run, "machine": machine, "created": created, "complete": True}
    (path / "run.json").write_text(json.dumps(manifest))
    rows = made.drop(columns=["run", "machine", "created"]).to_dict("records")
    with (path / "rows.jsonl").open("w") as file:
        for row in rows:
            known = {key: value for key, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
            file.write(json.dumps({"record": "cell", "attempt": 0, **known}) + "\n")
    return path


def _row(
    run: str, process: int, order: int, backend: str, arm: str, network: str, batch: int, dtype: str, phase: str,
    seconds: list[float],
) -> dict[str, Any]:  # fmt: skip
    speed = SPEEDS[backend]
    tanh, flop, size = work(network)
    median = float(np.median(seconds))
    compile_s = speed.compile_s if phase in ("step", "train") else 0.3 * speed.compile_s
    cold = process == 0
    compile_s = compile_s if cold else 0.15 * compile_s
    width = 8 if dtype == "float64" else 4
    return _receipt(run, process) | {
        "order": order,
        "backend": backend,
        "arm": arm,
        "network": network,
        "batch": batch,
        "dtype": dtype,
        "phase": phase,
        "steps": max(1, min(10_000, int(0.02 / median))) if phase == "train" else 1,
        "status": "ok",
        "reason": "",
        "median_s": median,
        "lower_quartile_s": float(np.quantile(seconds, 0.25)),
        "minimum_s": float(min(seconds)),
        "turn_s": seconds,
        "rounds": len(seconds),
        "iterations": max(1, int(1e-4 / median)),
        "set_aside": 1 if max(seconds) > 2 * median else 0,
        "round_s": seconds,
        "first_call_s": compile_s + median,
        "compile_s": compile_s,
        "cache": "cold" if cold else "warm",
        "import_s": speed.import_s,
        "place_s": 2e-6 + batch * size * 1e-10,
        "peak_bytes": int(80e6 + batch * (size + 4 * tanh)),
        "flop": float(batch * flop),
        "bytes_moved": float(batch * size * width // 4),
        "conformance_ratio": 0.3,
        "conformance_claim": "layer",
        "final_ratio": 0.4,
    }


def _failed_row(
    run: str, process: int, order: int, backend: str, network: str, batch: int, dtype: str
) -> dict[str, Any]:
    return _receipt(run, process) | {
        "order": order,
        "backend": backend,
        "arm": "",
        "network": network,
        "batch": batch,
        "dtype": dtype,
        "phase": "step",
        "steps": 1,
        "status": "nonconformant",
        "reason": "gradient of the weights: error 1.9e+07 times the bound",
        "median_s": math.nan,
        "lower_quartile_s": math.nan,
        "minimum_s": math.nan,
        "turn_s": [],
        "rounds": 0,
        "iterations": 0,
        "set_aside": 0,
        "round_s": [],
        "conformance_ratio": 1.9e7,
        "conformance_claim": "gradient",
        "final_ratio": math.nan,
    }


def _receipt(run: str, process: int) -> dict[str, Any]:
    """Return what every row of a run carries: where, when and under which conditions."""
    return {
        "run": run,
        "machine": "made-up-machine",
        "created": pd.Timestamp("2025-01-02T03:04:05Z"),
        "process": process,
        "device": "cpu",
        "threads": 2,
        "cpu_per_wall": 1.9,
        "involuntary_switches": 3,
        "steal_s": 0.0,
        "load_average": 0.7,
        "receipt_python": "3.11.9",
        "receipt_numpy": "2.4.6",
        "receipt_threads_observed": 2,
        "receipt_products": "ieee",
        "receipt_blas": "openblas 0.3.30",
        "receipt_threading_layer": "omp",
        "receipt_commit": "0123456",
        "receipt_dirty": False,
        "receipt_cpu_model": "Made-up CPU",
        "receipt_cpu_features": "avx512f avx2",
    }


def over_time(backend: str = "numba", at: int = 3, factor: float = 1.5, count: int = 6) -> pd.DataFrame:
    """Return the rows of some runs, a day apart; from run ``at`` on a backend takes ``factor`` times as long."""
    frames = []
    for number in range(count):
        rows = frame(networks=("3-2-1",), batches=(256,), phases=("step",), run=f"run-{number}", seed=number)
        slow = (rows["backend"] == backend) & (number >= at)
        for name in ("median_s", "lower_quartile_s", "minimum_s"):
            rows.loc[slow, name] *= factor
        for name in ("round_s", "turn_s"):
            rows[name] = [
                [factor * s for s in seconds] if is_slow else seconds
                for seconds, is_slow in zip(rows[name], slow, strict=True)
            ]
        created = rows["created"] + np.timedelta64(number, "D")
        frames.append(rows.assign(created=created, receipt_commit=f"commit{number}", conformance_claims=""))
    return pd.concat(frames, ignore_index=True)
