"""The mathematics, written once, and the names that a backend is written with.

For one batch of ``n`` rows, ``X [n, inputs]`` and ``Y [n, outputs]``, and layers ``l = 1 .. L`` with weights
``W_l [out, in]`` and biases ``b_l [out]``::

    forward     h_0 = X
                z_l = h_{l-1} W_l^T + b_l
                h_l = a(z_l)                           hidden layers: the activation
                h_L = z_L = predicted                  output layer: no activation
    loss        mean of its N terms                    N is stored with a batch, not taken from a block's shape
    backward    g_L = derivative of the loss by z_L
                dW_l = g_l^T h_{l-1}                   gradient of the weights
                db_l = sum over rows of g_l            gradient of the biases
                g_{l-1} = (g_l W_l) * a'(z_{l-1})      a' from the stored output h
    update      by the optimiser, of every W_l and b_l

    activation      a(z)                    a' from h
    tanh            tanh(z)                 1 - h^2
    relu            max(z, 0)               1 where h > 0, else 0: relu'(0) = 0
    sigmoid         1 / (1 + exp(-z))       h (1 - h)
    identity        z                       1

    loss            value                                       g_L                          N
    mse             sum((predicted - Y)^2) / N                  2 (predicted - Y) / N        n * outputs
    cross-entropy   -sum(Y log(softmax(predicted))) / N         (softmax(predicted) - Y) / N     n

    optimiser       state, zero at first    update from the gradient g, at update t = 1, 2, ..
    descent         none                    w <- w - rate g
    momentum        velocity v              v <- momentum v + g,  w <- w - rate v
    adam            m, v, count t           m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
                                            w <- w - rate (m^ / (sqrt(v^) + epsilon) + weight_decay w)
                                            with m^ = m / (1 - beta1^t),  v^ = v / (1 - beta2^t)

The softmax is taken of each row less its maximum, so that nothing overflows. ``Y`` of cross-entropy are probabilities
whose rows sum to one up to rounding. Constants are rounded to the dtype once: ``1 - beta2^t`` comes from double
precision, or as ``-expm1(t log(beta2))``, since a subtraction in float32 loses most of its digits at the first updates.

A kernel names these ``x, y, w, b, z, h, g``, its sizes ``n, i, h, o``, and follows the lines above in this order. Many
keep everything feature-major, ``[features, n]``: the same lines transposed.

The tables hold the same in plain numpy: `backends.functions` has activations and losses, `backends.optimizers` the
optimisers. `backends.backend` has the contract.

Tests: `tests/backends/test_contract.py`.
"""

from backends.backend import Backend
from backends.capabilities import DEVICES, DTYPES, Capabilities, Scope
from backends.errors import BackendUnavailable, TrainingDiverged
from backends.functions import ACTIVATIONS, LOSSES, Activation, Loss
from backends.network import Array, Layer, Network, Params
from backends.optimizers import OPTIMIZERS, Adam, Descent, Momentum, Optimizer, State, parse_optimizer

__all__ = [
    "ACTIVATIONS",
    "DEVICES",
    "DTYPES",
    "LOSSES",
    "OPTIMIZERS",
    "Activation",
    "Adam",
    "Array",
    "Backend",
    "BackendUnavailable",
    "Capabilities",
    "Descent",
    "Layer",
    "Loss",
    "Momentum",
    "Network",
    "Optimizer",
    "Params",
    "Scope",
    "State",
    "TrainingDiverged",
    "parse_optimizer",
]
