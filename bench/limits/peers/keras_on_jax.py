"""Keras on JAX.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"  # where the peer says that it computes, also where JAX sees a GPU

from backends.base import Capabilities
from bench.limits.peers.keras_peer import KerasPeer
from bench.limits.peers.peer import ACTIVATIONS, LOSSES


class KerasOnJax(KerasPeer):
    """Keras on JAX."""

    name = "keras-jax"
    # In float64 its losses are off by 5e-8: something inside it goes through float32.
    capabilities = Capabilities(
        dtypes=("float32",),
        compiles=True,
        activations=ACTIVATIONS,
        losses=LOSSES,
        optimizers=("descent", "momentum"),
        minibatches=True,
    )
