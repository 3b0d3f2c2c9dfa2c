"""scikit-learn's `MLPRegressor` and `MLPClassifier`, one `partial_fit` a step.

Its squared loss is half the squared error, and its gradient the mean over rows: a rate of ``2 / outputs`` times ours,
and twice its loss, make it the same work. Not Adam: it adds epsilon before it corrects the second moment, so that its
steps are others than torch's and optax's. It learns classes by their numbers, and two of them by one output, which is
another network than ours.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from backends import BackendUnavailable, Layer, Momentum, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import ACTIVATIONS, LOSSES, Batch, Peer

FUNCTIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "logistic", "identity": "identity"}


class SklearnPeer(Peer):
    """scikit-learn."""

    name = "scikit-learn"
    capabilities = Capabilities(
        activations=ACTIVATIONS, losses=LOSSES, optimizers=("descent", "momentum"), minibatches=True
    )

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._classes = self.network.loss == "cross-entropy"
        if self._classes and self.network.outputs == 2:
            raise BackendUnavailable("scikit-learn learns two classes by one output, not by two")

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        rule = self.optimizer
        momentum = rule.momentum if isinstance(rule, Momentum) else 0.0
        model = (MLPClassifier if self._classes else MLPRegressor)(
            hidden_layer_sizes=self.network.sizes[1:-1],
            activation=FUNCTIONS[self.network.activation],
            solver="sgd",
            alpha=0.0,
            momentum=momentum,
            nesterovs_momentum=False,
            learning_rate="constant",
            learning_rate_init=1e-3,
            shuffle=False,
        )
        x = np.zeros((1, self.network.inputs), self.dtype)
        self._fit(model, x, self.place_arrays(x, np.eye(1, self.network.outputs, dtype=self.dtype))[1])
        for velocity in model._optimizer.velocities:  # of the step that made the arrays
            velocity[...] = 0
        host = self.host_params(params)
        model.coefs_[:] = [np.ascontiguousarray(w.T) for w, _ in host]
        model.intercepts_[:] = [b for _, b in host]
        return model

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        if self._classes:
            return x.copy(), y.argmax(axis=1)
        return x.copy(), y.copy() if self.network.outputs > 1 else y[:, 0].copy()

    def host_targets(self, y: Any) -> Array:
        return np.array(y) if self._classes else np.array(y).reshape(len(y), -1)

    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, float]:
        params.batch_size = len(batch.x)
        scale = 1.0 if self._classes else 2 / self.network.outputs
        params.learning_rate_init = params._optimizer.learning_rate = learning_rate * scale
        params._optimizer.learning_rate_init = params.learning_rate_init
        self._fit(params, batch.x, batch.y)
        return params, params.loss_ if self._classes else 2 * params.loss_

    def fetch_layers(self, params: Any) -> Params:
        return tuple(Layer(w.T.copy(), b.copy()) for w, b in zip(params.coefs_, params.intercepts_, strict=True))

    def fetch_moments(self, params: Any) -> tuple[int, list[Params]]:
        scale = 1.0 if self._classes else 2 / self.network.outputs
        per_rate = -scale / params.learning_rate_init  # it adds rate times gradient, negative
        arrays = [per_rate * velocity for velocity in params._optimizer.velocities]
        layers = len(self.network.layer_shapes)
        return 0, [tuple(Layer(w.T.copy(), b) for w, b in zip(arrays[:layers], arrays[layers:], strict=True))]

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"scikit-learn {sklearn.__version__}"}

    def _fit(self, model: Any, x: Array, y: Array) -> None:
        """Make a step; a classifier is told of all its classes the first time."""
        if self._classes and not hasattr(model, "classes_"):
            model.partial_fit(x, y, classes=np.arange(self.network.outputs))
        else:
            model.partial_fit(x, y)
