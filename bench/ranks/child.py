"""``python -m bench.ranks.child SPEC FILE``: prove one backend on some ranks, time its steps and the sum they take.

Every rank runs it; rank 0 adds one record to the file.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.basics.names import ALL_REDUCE

SUM, TRAIN = ALL_REDUCE, "train"


def main(spec: dict[str, Any], file: Path) -> None:
    """Measure what a spec says; see `bench.ranks.launches`."""
    from backends.ranks import Alone, cores, join

    if spec["cpus"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec["cpus"])  # joining shares them out
    if not spec["engine"]:
        cores.use_threads(spec["threads"])
    with join(spec["engine"], spec["timeout_s"]) if spec["engine"] else Alone() as ranks:
        records = probed(ranks, spec) if "lengths" in spec else [measured(ranks, spec)]
        if ranks.rank == 0:
            with file.open("a") as out:
                out.writelines(json.dumps(record) + "\n" for record in records)


def measured(ranks: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """Return what one step takes, what its sum takes, and what was proven before."""
    import numpy as np

    from backends import Network, find
    from backends.shares import Shares
    from bench.measure import receipt
    from bench.ranks.blocks import time_calls
    from bench.workload.problem import make

    network = Network.parse(spec["network"])
    begun_s = time.perf_counter()
    inner = find(spec["backend"])(network, spec["dtype"], spec["device"])
    backend = inner if ranks.size == 1 else Shares(inner, ranks)
    import_s = time.perf_counter() - begun_s
    ratio, claim, rows = proven(ranks, inner)
    mine = spec["rows"] // ranks.size + (ranks.rank < spec["rows"] % ranks.size)
    problem = make(network, max(mine, 1), spec["dtype"], seed=ranks.rank)
    begun_s = time.perf_counter()
    batch = backend.place_batch(problem.inputs[:mine], problem.targets[:mine])
    backend.synchronize()
    place_s = time.perf_counter() - begun_s
    start = make(network, 1, spec["dtype"]).params  # the same on every rank
    params = backend.place_params(start)

    def steps(count: int) -> None:
        nonlocal params
        params, _ = backend.train(params, batch, problem.learning_rate, count)

    begun_s = time.perf_counter()
    steps(1)
    first_s = time.perf_counter() - begun_s
    step_s, count = time_calls(ranks, steps, spec["timed_s"])
    sum_s, sums = [0.0], 1
    if ranks.size > 1:
        vector = np.zeros(network.parameter_count + 1, spec["dtype"])
        sum_s, sums = time_calls(ranks, partial(_sums, ranks, vector), spec["timed_s"] / 4)
    return {
        TRAIN: step_s, "steps": count, SUM: sum_s, "sums": sums, "first_call_s": first_s, "import_s": import_s,
        "place_s": place_s, "ratio": ratio, "claim": claim, "proven_rows": rows, "hosts": ranks.hosts,
        "threads": ranks.threads or spec["threads"], "peak_bytes": receipt.peak_bytes(),
        "load_average": receipt.load_average(),
    }  # fmt: skip


def proven(ranks: Any, inner: Any) -> tuple[float, str, int]:
    """Return the worst error / bound of one step on these ranks, the claim, and on how many rows."""
    import numpy as np

    from backends.conformance.cases import Case
    from backends.conformance.ranks import Dealt, deals
    from backends.conformance.stages import judge_step

    rows = max(ranks.size, min(257, (1 << 20) // inner.network.parameter_count))
    backend = inner
    if ranks.size > 1:
        backend = Dealt(inner, ranks)
        backend.deal = deals(rows, ranks.size)[0]
    with np.errstate(all="ignore"):
        tally = judge_step(backend, Case(inner.network, rows, "normal").problem(inner.dtype))
    mine = max(finding.badness for finding in tally.findings)
    return max(float(text) for text in ranks.gather(repr(mine))), "step", rows


def probed(ranks: Any, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a sum of each length takes."""
    import numpy as np

    from bench.ranks.blocks import time_calls

    records = []
    for length in spec["lengths"]:
        sums = partial(_sums, ranks, np.zeros(length, "float32"))
        sum_s, _ = time_calls(ranks, sums, spec["timed_s"], block_s=0.02)
        records.append({"length": length, SUM: sum_s, "hosts": ranks.hosts})
    return records


def _sums(ranks: Any, vector: Any, count: int) -> None:
    for _ in range(count):
        ranks.sum(vector)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
