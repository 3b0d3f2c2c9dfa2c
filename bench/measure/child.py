"""``python -m bench.measure.child DESCRIPTOR``: measure one backend, whenever it is the turn of this process.

Its parent sends it `bench.measure.instructions` over a socket. It binds itself to its processors before anything heavy
is imported, times the import of the framework, and then lets pytest run the cells of `bench.measure.core_benchmarks`.
It sends what it measures to its parent, one JSON record a line; only the parent writes files. The imports at the top of
this module must not import numpy, since that would falsify the import time.

Tests: `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure.channel import CampaignGone, Channel
from bench.measure.instructions import Instructions


def main(arguments: list[str]) -> int:
    """Measure what the parent asks for; return the exit status."""
    sys.path.append(os.getcwd())  # last, for backends that lie there: no file of it hides a module of the library
    channel = Channel(int(arguments[0]))
    try:
        instructions = Instructions.from_json(channel.receive())
        return measure(instructions, channel)
    except CampaignGone:
        return 1


def measure(instructions: Instructions, channel: Channel) -> int:
    """Start the framework and run the benchmarks; return pytest's exit status."""
    isolate(instructions.cpus)
    begun_s = time.perf_counter()
    try:
        start_framework(instructions)
    except BaseException as error:
        from bench.measure.failures import classify, told

        channel.send("lost", status=classify(error), reason=told(error))
        return 1
    import_s = time.perf_counter() - begun_s

    import pytest

    from bench.measure import core_benchmarks
    from bench.measure.worker import WorkerPlugin

    plugin = WorkerPlugin(instructions, channel, import_s)
    options = ["-q", "--noconftest", "--rootdir", str(Path(core_benchmarks.__file__).parent), "-c", os.devnull]
    options += ["-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "--tb=short", "--no-header", "--capture=no"]
    options += ["--benchmark-storage", f"file://{Path(instructions.benchmarks).parent}"]
    options += ["--benchmark-json", instructions.benchmarks, "--benchmark-columns=median,iqr,rounds"]
    status = int(pytest.main([*options, core_benchmarks.__file__], plugins=[plugin]))
    channel.send("end", exit_status=status, spent_s=plugin.spent_s)
    return status


def isolate(cpus: Sequence[int]) -> None:
    """Bind this process to some processors, let it end with its parent, and be the first killed if memory runs out."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, cpus)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, AttributeError):
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def start_framework(instructions: Instructions) -> None:
    """Import the backend and place parameters of its largest network, which starts the framework's runtime.

    The largest network is used because a backend may load more for large networks. What it loaded later would be
    missing in the import time.
    """
    import numpy as np

    from backends import Layer, Network, find, load
    from bench.workload import Workload

    first = instructions.assignments[0]
    texts = dict.fromkeys(cell.network for cell in instructions.assignments)
    networks = [Workload.parse(text).network for text in texts]
    largest = max(networks, key=lambda network: network.parameter_count)
    kind = find(instructions.backend)
    if largest.activation not in kind.capabilities.activations or largest.loss not in kind.capabilities.losses:
        largest = Network(largest.sizes)  # its rows say what the backend lacks
    backend = load(instructions.backend, largest, first.dtype, first.device)
    backend.place_params([Layer(np.zeros((o, i)), np.zeros(o)) for o, i in largest.layer_shapes])
    backend.synchronize()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
