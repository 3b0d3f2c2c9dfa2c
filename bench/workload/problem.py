"""Network x batch x dtype: a problem to time, generated from a seed.

Inputs are uniform in [-1, 1]. Targets are a smooth function of them (``sin`` of random projections) or the class whose
projection is largest. So there is something to learn, and numbers stay in the ordinary range however many steps are
timed. Only the first rows of a large batch are drawn, which is slow, and then repeated; the time of a step does not
depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backends import Adam, Layer, Momentum, Network, Optimizer, Params
from backends.base import LOSSES, Array
from bench.workload.workload import Workload

DRAWN_VALUES = 1 << 20
"""Of the inputs, at most; further rows repeat."""

ADAM_RATE = 1e-4


@dataclass(frozen=True)
class Problem:
    """What one cell works on.

    Attributes:
        network: the layer sizes.
        inputs: host array ``[n, inputs]``.
        targets: host array ``[n, outputs]``.
        params: host weights and biases to start from.
        learning_rate: small enough that training does not diverge.
    """

    network: Network
    inputs: Array
    targets: Array
    params: Params
    learning_rate: float

    @property
    def batch(self) -> int:
        """Rows of inputs and targets."""
        return len(self.inputs)

    @property
    def dtype(self) -> str:
        """Name of the dtype of all its arrays."""
        return str(self.inputs.dtype)


def make(workload: Workload | Network, batch: int, dtype: str = "float32", seed: int = 0) -> Problem:
    """Return the problem of a workload, a number of rows and a dtype; equal arguments give equal problems.

    Both dtypes hold the same numbers, rounded.
    """
    of = Workload.of(workload)
    network = of.network
    random = np.random.default_rng([seed, batch, *network.sizes])
    params = initial_params(network, dtype, random)
    directions = random.standard_normal((network.inputs, network.outputs)) * (2 / np.sqrt(network.inputs))
    inputs = np.empty((batch, network.inputs), dtype)
    targets = np.empty((batch, network.outputs), dtype)
    drawn = min(max(1, DRAWN_VALUES // network.inputs), batch)
    x = random.uniform(-1, 1, (drawn, network.inputs))
    y = np.sin(x @ directions)
    if LOSSES[network.loss].targets == "probabilities":
        y = (y.argmax(axis=1)[:, None] == np.arange(network.outputs)).astype(float)
    for start in range(0, batch, drawn):
        inputs[start : start + drawn] = x[: batch - start]
        targets[start : start + drawn] = y[: batch - start]
    return Problem(network, inputs, targets, params, stable_learning_rate(network, of.optimizer))


def initial_params(network: Network, dtype: str, random: np.random.Generator) -> Params:
    """Return weights of variance ``1 / in``, which keeps every layer's values near 1, and small biases."""
    return tuple(
        Layer(
            (random.standard_normal((o, i)) / np.sqrt(i)).astype(dtype),
            (0.1 * random.standard_normal(o)).astype(dtype),
        )
        for o, i in network.layer_shapes
    )


def stable_learning_rate(network: Network, optimizer: Optimizer | None = None) -> float:
    """Return a learning rate an eighth of what the curvature at `initial_params` allows.

    With weights of variance ``1 / in`` the gradient of an output by a layer's z has length about 1, and ``|h|^2 <= in``
    for what enters it; so the Hessian of the mean squared error has a trace of at most about ``2 sum(in + 1)`` over the
    layers, and descent is stable below 2 over that. A step of momentum is ``1 / (1 - momentum)`` times as long; one of
    Adam is about as long as its rate in each parameter, so that a small rate keeps them where they are.
    """
    if isinstance(optimizer, Adam):
        return ADAM_RATE
    rate = 0.125 / sum(i + 1 for _, i in network.layer_shapes)
    return rate * (1 - optimizer.momentum) if isinstance(optimizer, Momentum) else rate
