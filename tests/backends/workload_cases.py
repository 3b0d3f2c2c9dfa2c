"""Networks, rows and backends that tests of activations, losses, optimisers and mini-batches share."""

from __future__ import annotations

import numpy as np
import pytest

import backends
from backends import Backend, Layer, Network

CLASSES = Network((3, 4, 3), "relu", "cross-entropy")
ROWS = 23
INPUTS = np.random.default_rng(0).normal(size=(ROWS, 3))
CLASS_NUMBERS = np.random.default_rng(1).integers(0, 3, ROWS)


def drawn_params(network: Network, seed: int = 0) -> tuple[Layer, ...]:
    """Return weights and biases drawn from a normal distribution."""
    random = np.random.default_rng(seed)
    return tuple(Layer(random.normal(size=shape), random.normal(size=shape[0])) for shape in network.layer_shapes)


def loaded(name: str, network: Network = CLASSES, dtype: str = "float64", **chosen: object) -> Backend:
    """Return a backend, or skip the test if it lacks what is asked for."""
    offered = backends.find(name).capabilities
    asked = (("activations", network.activation), ("losses", network.loss))
    optimizer = chosen.get("optimizer")
    asked += (("optimizers", optimizer.name),) if optimizer else ()
    for what, wanted in asked:
        if wanted not in getattr(offered, what):
            pytest.skip(f"{name} has no {wanted}")
    return backends.load(name, network, dtype, **chosen)


NAMES = backends.available("best", "idiom")
WITH_MINIBATCHES = [name for name in NAMES if backends.find(name).capabilities.minibatches]
