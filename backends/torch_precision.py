"""Products in the full precision of float32, whatever the process has asked torch for.

Tests: `tests/backends/test_torch_backend.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch


def full_precision(method: Any) -> Any:
    """Run a method whose products must not be TF32 or bfloat16, whatever the process-wide switches say."""

    @wraps(method)
    def run(*arguments: Any) -> Any:
        try:
            before = torch.get_float32_matmul_precision()
        except RuntimeError:  # switches of single libraries were set, which this one refuses to sum up
            with _all_switches_at_ieee():
                return method(*arguments)
        if before == "highest":
            return method(*arguments)
        torch.set_float32_matmul_precision("highest")
        try:
            return method(*arguments)
        finally:
            torch.set_float32_matmul_precision(before)

    return run


@contextmanager
def _all_switches_at_ieee() -> Iterator[None]:
    """Set the switch of each library's products to full precision, and put them back; torch has these from 2.9."""
    switches = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.fp32_precision = was
