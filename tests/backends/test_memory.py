"""What a large batch costs in memory, on each backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 1 << 21
"""What a first large step touches besides, of libraries and stacks, is a few megabytes: little next to this batch."""
MEASURE = f"""
import re, sys
import numpy as np
import backends
from backends import Layer, Network

def resident(field):
    return 1024 * int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

backend = backends.load(sys.argv[1], Network((3, 9, 1)))

def work(rows):
    inputs, targets = np.ones((rows, 3), np.float32), np.ones((rows, 1), np.float32)
    batch = backend.place_batch(inputs, targets)
    params = backend.place_params([Layer(np.zeros(shape), np.zeros(shape[0])) for shape in ((9, 3), (1, 9))])
    for _ in range(2):
        params, loss = backend.step(params, batch, 1e-3)
    backend.synchronize()

work({ROWS // 16})
before = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
work({ROWS})
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux, to forget the peak so far")
def test_a_large_batch_needs_at_most_three_times_its_bytes_beyond_the_arrays_given(backend_name: str) -> None:
    """Peak of placing and two steps, what compiling takes aside: the placed batch and all scratch of a step."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", MEASURE, backend_name]
    measured = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    batch_bytes = ROWS * (3 + 1) * 4
    assert batch_bytes <= int(measured.stdout) <= (1 + 3) * batch_bytes
