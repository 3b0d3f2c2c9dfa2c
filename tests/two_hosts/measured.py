"""``python -m tests.two_hosts.measured ENGINE FILE SPECS``, on both hosts: what steps take on one of them and on both.

Rank 0 measures one host while the other waits, then both measure two hosts, case by case; it writes a record for each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from backends.ranks import Alone, join
from bench.ranks.child import SUM, TRAIN, measured

TIMEOUT_S = 60.0


def main(engine: str, file: Path, specs: list[dict[str, Any]]) -> None:
    """Measure every case; see `tests.two_hosts.forecasts`."""
    with join(engine, TIMEOUT_S) as ranks:
        os.environ["OMP_NUM_THREADS"] = "1"
        for spec in specs:
            begun_s = time.perf_counter()
            one = measured(Alone(), spec) if ranks.rank == 0 else {}
            ranks.agree("case", spec)
            two = measured(ranks, spec)
            if ranks.rank == 0:
                record = {name: spec[name] for name in ("backend", "network", "rows")} | {
                    "one_s": low(one[TRAIN]),
                    "two_s": low(two[TRAIN]),
                    "sum_s": low(two[SUM]),
                    "spent_s": time.perf_counter() - begun_s,
                }
                with file.open("a") as out:
                    out.write(json.dumps(record) + "\n")


def low(seconds: list[float]) -> float:
    """Return the lower quartile: one host and two are timed one after the other, and a slow spell hits one of them."""
    return statistics.quantiles(seconds, n=4)[0]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
