"""Options of `bench.measure.core_benchmarks` when it is run by hand with pytest."""

from __future__ import annotations

import pytest

from backends import DEVICES, DTYPES


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what to time."""
    group = parser.getgroup("core benchmarks")
    group.addoption("--networks", default="3-2-1,8-32-1", metavar="LIST", help="comma-separated (3-2-1,8-32-1)")
    group.addoption("--rows", default="32,1024", metavar="LIST", help="rows of a batch, comma-separated (32,1024)")
    group.addoption("--backends", default="", metavar="LIST", help="comma-separated (all that are here)")
    group.addoption("--dtype", default=DTYPES[0], choices=DTYPES, help=f"({DTYPES[0]})")
    group.addoption("--device", default=DEVICES[0], choices=DEVICES, help=f"({DEVICES[0]})")
