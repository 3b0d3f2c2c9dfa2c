"""Keras on TensorFlow.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from bench.limits.peers.keras_peer import KerasPeer


class KerasOnTensorFlow(KerasPeer):
    """Keras on TensorFlow."""

    name = "keras-tensorflow"
