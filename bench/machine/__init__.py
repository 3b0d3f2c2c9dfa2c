"""The machine: what it is, what this process may use of it, how fast it is now, and what must match to compare.

Facts of the machine and its software; what one process observed of itself is in `bench.measure.receipt`.
"""

from __future__ import annotations

from bench.machine.checkout import commit
from bench.machine.conditions import SAME_CONDITIONS, SAME_EXPERIMENT, UNLESS_SAID
from bench.machine.identity import accelerators, fingerprint, machine_id
from bench.machine.processors import cpus_for, default_threads, physical_cores, start_on, thread_counts

__all__ = [
    "SAME_CONDITIONS",
    "SAME_EXPERIMENT",
    "UNLESS_SAID",
    "accelerators",
    "commit",
    "cpus_for",
    "default_threads",
    "fingerprint",
    "machine_id",
    "physical_cores",
    "start_on",
    "thread_counts",
]
