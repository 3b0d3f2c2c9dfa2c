"""scikit-learn's `MLPRegressor`, one `partial_fit` a step.

Its loss is half the squared error, and its gradient the mean over rows: a rate of ``2 / outputs`` times ours, and twice
its loss, make it the same work.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPRegressor

from backends import Layer, Params
from backends.base import Array, State
from bench.limits.peers.peer import Batch, Peer


class SklearnPeer(Peer):
    """scikit-learn."""

    name = "scikit-learn"

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> MLPRegressor:
        model = MLPRegressor(
            hidden_layer_sizes=self.network.sizes[1:-1],
            activation="tanh",
            solver="sgd",
            alpha=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            learning_rate="constant",
            learning_rate_init=1e-3,
            shuffle=False,
        )
        x, y = np.zeros((1, self.network.inputs), self.dtype), np.zeros((1, self.network.outputs), self.dtype)
        model.partial_fit(x, y if self.network.outputs > 1 else y[:, 0])
        host = self.host_params(params)
        model.coefs_[:] = [np.ascontiguousarray(w.T) for w, _ in host]
        model.intercepts_[:] = [b for _, b in host]
        return model

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y if self.network.outputs > 1 else y[:, 0]

    def step(self, params: MLPRegressor, batch: Batch, learning_rate: float) -> tuple[MLPRegressor, float]:
        params.batch_size = len(batch.x)
        params.learning_rate_init = params._optimizer.learning_rate = learning_rate * 2 / self.network.outputs
        params._optimizer.learning_rate_init = params.learning_rate_init
        params.partial_fit(batch.x, batch.y)
        return params, 2 * params.loss_

    def fetch_layers(self, params: MLPRegressor) -> Params:
        return tuple(Layer(w.T.copy(), b.copy()) for w, b in zip(params.coefs_, params.intercepts_, strict=True))

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"scikit-learn {sklearn.__version__}"}
