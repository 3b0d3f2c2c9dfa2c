"""The fingerprint, and what must match before two results are compared."""

import os
import re
import threading

import pytest

from backends import Capabilities
from bench import machine
from bench.machine import SAME_CONDITIONS, differences
from bench.measure import receipt


def test_the_machine_id_is_readable_and_stays():
    """The id is made of cores, name and a hash, fit for a folder, and does not change with the hour."""
    assert re.fullmatch(r"\d+x-[a-z0-9-]+-[0-9a-f]{6}", machine.machine_id())
    first = machine.machine_id()
    machine.fingerprint.cache_clear()
    machine.machine_id.cache_clear()
    assert machine.machine_id() == first


def test_the_fingerprint_is_complete():
    """Processor, cores and memory are known here."""
    facts = machine.fingerprint()
    assert facts["cpu_model"]
    assert 1 <= facts["cores"] <= facts["logical_cpus"]
    assert facts["memory_bytes"] > 1 << 28


def test_differences_names_the_fields_that_differ():
    """Only the fields that must match count; a number read from a table equals the one from JSON."""
    a = {
        "threads": 2,
        "receipt_products": "ieee",
        "receipt_commit": "aaa",
        "receipt_python": "3.11.7",
        "x": float("nan"),
    }
    b = {"threads": 2.0, "receipt_products": "tf32", "receipt_commit": "bbb", "receipt_python": "3.12.1"}
    assert differences(a, b) == {"receipt_products": ("ieee", "tf32"), "receipt_python": ("3.11.7", "3.12.1")}
    assert differences(a, b, SAME_CONDITIONS) == {"receipt_products": ("ieee", "tf32")}
    assert differences(a, a) == {}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
def test_threads_get_a_core_each():
    """Fewer threads than cores get as many processors; more get all."""
    usable = os.sched_getaffinity(0)
    for threads in range(1, len(machine.physical_cores())):
        assert len(machine.cpus_for(threads)) == threads
    assert set(machine.cpus_for(1)) <= usable
    assert set(machine.cpus_for(10_000)) == usable


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_a_turn_begins_with_threads_apart(monkeypatch):
    """The calling thread starts on the processor asked for, the others on the rest; a bound one stays."""
    cpus, own = (0, 1, 2), threading.get_native_id()
    may_use = {own: {0, 1, 2}, 11: {0, 1, 2}, 12: {0, 1, 2}, 13: {0, 1, 2}, 14: {2}}
    bound = []

    def of_thread(thread):
        if thread not in may_use:
            raise ProcessLookupError
        return may_use[thread]

    monkeypatch.setattr(os, "listdir", lambda _: [*map(str, may_use), "15"])
    monkeypatch.setattr(os, "sched_getaffinity", of_thread)
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, where: bound.append((thread, tuple(where))))
    machine.start_on(1, cpus)
    assert bound[:4] == [(own, (1,)), (11, (0,)), (12, (2,)), (13, (0,))]
    assert bound[4:] == [(thread, cpus) for thread in (own, 11, 12, 13)]


def test_the_receipt_is_flat_and_observed():
    """Every field of a receipt is a number, a text or a truth value; threads are what the pools say."""
    from threadpoolctl import threadpool_limits

    class Quiet:
        """Says nothing of threads."""

        device = "cpu"
        capabilities = Capabilities()

        def describe(self):
            return {"products": "ieee"}

    with threadpool_limits(1):
        observed = receipt.observe(Quiet(), "abc", True)
    assert all(isinstance(value, str | int | float | bool) for value in observed.values())
    assert (observed["commit"], observed["dirty"], observed["threads_observed"]) == ("abc", True, 1)
    assert observed["products"] == "ieee"


def test_peak_memory_follows_what_is_allocated():
    """The peak grows by what is touched, and does not shrink."""
    import numpy as np

    before = receipt.peak_bytes()  # of all tests that this process has run
    np.ones(before + (64 << 20), np.uint8)
    grown = receipt.peak_bytes()
    assert grown >= before + (64 << 20)
    assert receipt.peak_bytes() >= grown
