"""The receipt of a process: what it observed of itself."""

from __future__ import annotations

from backends import Capabilities, tuned
from bench.measure import receipt


class Quiet:
    """A backend that says nothing of threads."""

    device = "cpu"
    capabilities = Capabilities()

    def describe(self):
        return {"products": "ieee"}


def test_the_receipt_is_flat_and_observed(monkeypatch):
    """Every field of a receipt is a number, a text or a truth value; threads are what the pools say."""
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(tuned, "as_text", lambda: "numpy-long-rows=32768")
    with threadpool_limits(1):
        observed = receipt.observe(Quiet(), "abc", True, "JAX_DISABLE_JIT=1")
    assert all(isinstance(value, str | int | float | bool) for value in observed.values())
    assert (observed["commit"], observed["dirty"], observed["threads_observed"]) == ("abc", True, 1)
    assert (observed["products"], observed["environment"]) == ("ieee", "JAX_DISABLE_JIT=1")
    assert observed["tuned"] == "numpy-long-rows=32768"


def test_peak_memory_follows_what_is_allocated():
    """The peak grows by what is touched, and does not shrink."""
    import numpy as np

    before = receipt.peak_bytes()  # of all tests that this process has run
    np.ones(before + (64 << 20), np.uint8)
    grown = receipt.peak_bytes()
    assert grown >= before + (64 << 20)
    assert receipt.peak_bytes() >= grown
