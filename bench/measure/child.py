"""``python -m bench.measure.child SPEC DESCRIPTOR``: measure one backend, whenever it is the turn of this process.

It binds itself to its processors before anything heavy is imported, times the import of the framework, and hands over
to pytest, which runs the cells of `bench.measure.core_benchmarks`. What it finds goes to its parent, one JSON record a
line; its parent alone writes files. At the top of this module nothing may import numpy, which would falsify the import
time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.measure.channel import Channel


def main(arguments: list[str]) -> int:
    """Measure what the spec file says; return the exit status."""
    spec = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    channel = Channel(int(arguments[1]))
    isolate(spec["cpus"])
    begun_s = time.perf_counter()
    try:
        start_framework(spec)
    except Exception as error:
        from bench.measure.failures import classify

        channel.send("lost", status=classify(error), reason=f"{type(error).__name__}: {error}"[:500])
        return 1
    import_s = time.perf_counter() - begun_s

    import pytest

    from bench.measure import core_benchmarks
    from bench.measure.worker import WorkerPlugin

    plugin = WorkerPlugin(spec, channel, import_s)
    options = ["-q", "--noconftest", "--rootdir", str(Path(core_benchmarks.__file__).parent), "-c", os.devnull]
    options += ["-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "--tb=short", "--no-header", "--capture=no"]
    options += ["--benchmark-storage", f"file://{Path(spec['benchmarks']).parent}"]
    options += ["--benchmark-json", spec["benchmarks"], "--benchmark-columns=median,iqr,rounds"]
    status = int(pytest.main([*options, core_benchmarks.__file__], plugins=[plugin]))
    channel.send("end", exit_status=status, spent_s=plugin.spent_s)
    return status


def isolate(cpus: list[int]) -> None:
    """Bind this process to some processors, let it end with its parent, and let the kernel take it first for memory."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, cpus)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, AttributeError):
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def start_framework(spec: dict[str, Any]) -> None:
    """Import the backend and place parameters of its largest network, which starts the framework's runtime.

    Of the largest, since a backend may load more for some networks than for others, and what it loaded later, with the
    first network that needs it, would be in no figure.
    """
    import numpy as np

    from backends import Layer, Network, load

    first = spec["cells"][0]
    networks = [Network.parse(cell["network"]) for cell in spec["cells"]]
    largest = max(networks, key=lambda network: network.parameter_count)
    backend = load(spec["backend"], largest, first["dtype"], first["device"])
    backend.place_params([Layer(np.zeros((o, i)), np.zeros(o)) for o, i in largest.layer_shapes])
    backend.synchronize()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
