"""The same small network on every array framework, behind one contract.

    backend = backends.load("numba", Network((3, 2, 1)), dtype="float32", device="cpu")

Importing this package imports no framework other than numpy; `load` imports the one it is asked for.
"""

from backends.base import (
    DEVICES,
    DTYPES,
    Backend,
    BackendUnavailable,
    Capabilities,
    Layer,
    Network,
    Params,
    TrainingDiverged,
)
from backends.registry import Entry, available, catalogue, find, load

__all__ = [
    "DEVICES",
    "DTYPES",
    "Backend",
    "BackendUnavailable",
    "Capabilities",
    "Entry",
    "Layer",
    "Network",
    "Params",
    "TrainingDiverged",
    "available",
    "catalogue",
    "find",
    "load",
]
