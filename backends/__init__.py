"""The same small network on every array framework, with one interface.

    backend = backends.load("numba", Network((3, 2, 1)), dtype="float32", device="cpu")

Importing this package imports no framework other than numpy; `load` imports the one it is asked for.
"""

from backends.base import (
    ACTIVATIONS,
    DEVICES,
    DTYPES,
    LOSSES,
    OPTIMIZERS,
    Adam,
    Backend,
    BackendUnavailable,
    Capabilities,
    Descent,
    Layer,
    Momentum,
    Network,
    Optimizer,
    Params,
    State,
    TrainingDiverged,
    parse_optimizer,
)
from backends.ranks import RanksError, join
from backends.registry import BUILT_IN, Entry, available, catalogue, find, load
from backends.shares import Shares

__all__ = [
    "ACTIVATIONS",
    "BUILT_IN",
    "DEVICES",
    "DTYPES",
    "LOSSES",
    "OPTIMIZERS",
    "Adam",
    "Backend",
    "BackendUnavailable",
    "Capabilities",
    "Descent",
    "Entry",
    "Layer",
    "Momentum",
    "Network",
    "Optimizer",
    "Params",
    "RanksError",
    "Shares",
    "State",
    "TrainingDiverged",
    "available",
    "catalogue",
    "find",
    "join",
    "load",
    "parse_optimizer",
]
