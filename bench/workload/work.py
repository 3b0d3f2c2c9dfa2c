"""How much work one call of a phase is: floating-point operations, tanh evaluations, least bytes. Formulas, no clock.

For ``n`` rows and layers of shape ``[o, i]``, of which the first has no gradient to hand back and the last no
activation, in the notation of `backends.base`, ``N = n * outputs`` entries of the loss:

=========  ===================================================  ==============================================
phase      products (FLOP)                                      the rest (FLOP, without tanh)
=========  ===================================================  ==============================================
forward    ``2 n i o`` a layer                                  ``n o`` a layer: add the biases; the activation
backward   ``2 n i o`` a layer: dW; and again ``2 n i o``       loss and error: ``4 N``, of cross-entropy ``8 N``;
           a layer but the first: ``g W``                       ``n o`` a layer: db; the slope of each hidden value
update                                                          of the optimiser: ``2`` a parameter of descent
step       all of the above                                     all of the above
=========  ===================================================  ==============================================

With mini-batches, ``n`` is the rows of one for every phase but ``place``. Least bytes count every array that goes in or
comes out of a phase once, and none that an implementation could keep to itself: a fused step needs X, Y, the parameters
and what the optimiser keeps, but no layer's outputs, which blocks of rows can hold in cache.

Tests: `tests/bench/workload/test_work.py`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from backends import Network
from bench.workload.workload import Workload

Phase = Literal["place", "forward", "backward", "update", "step", "train"]
PHASES: tuple[Phase, ...] = ("place", "forward", "backward", "update", "step", "train")

ACTIVATION_FLOP = {"tanh": (0, 3), "relu": (1, 1), "sigmoid": (0, 3), "identity": (0, 0)}
"""Of a hidden value, forward beyond its tanh, and backward: slope from ``h``, and times that."""

EVALUATED = ("tanh", "sigmoid")
"""The activations that cost a tanh: the sigmoid is ``(1 + tanh(z / 2)) / 2``, or an exponential and a division."""

LOSS_FLOP = {"mse": 4, "cross-entropy": 8}
"""Of an entry: difference, square, sum, factor; less the maximum, exponential, two sums, ratio, difference, product."""

UPDATE_FLOP = {"descent": 2, "momentum": 4, "adam": 13}
"""Of a parameter. Adam: ``m`` 3, ``v`` 4, then root, factor, epsilon, division, rate and difference."""


def flop(workload: Workload | Network, rows: int, phase: str = "step") -> int:
    """Return the floating-point operations of one call of ``phase`` on ``rows`` rows; of one step for ``train``.

    tanh is counted apart, by `tanh_count`. A multiplication with an addition counts as two.
    """
    return product_flop(workload, rows, phase) + _elementwise_flop(workload, rows, _checked(phase))


def product_flop(workload: Workload | Network, rows: int, phase: str = "step") -> int:
    """Return the part of `flop` that is matrix products."""
    of = Workload.of(workload)
    n, shapes = of.step_rows(rows), of.network.layer_shapes
    forward = sum(2 * n * i * o for o, i in shapes)
    backward = forward + sum(2 * n * i * o for o, i in shapes[1:])
    return {"place": 0, "forward": forward, "backward": backward, "update": 0}.get(_checked(phase), forward + backward)


def tanh_count(workload: Workload | Network, rows: int, phase: str = "step") -> int:
    """Return how many tanh, or sigmoids, one call of ``phase`` evaluates: one a row and hidden unit if it goes forward.

    The exponentials of a softmax count as operations of the loss.
    """
    of = Workload.of(workload)
    if _checked(phase) not in ("forward", "step", "train") or of.network.activation not in EVALUATED:
        return 0
    return of.step_rows(rows) * sum(of.network.sizes[1:-1])


def update_flop(workload: Workload | Network) -> int:
    """Return the operations of one update."""
    of = Workload.of(workload)
    return UPDATE_FLOP.get(of.optimizer.name, 2) * of.network.parameter_count


def least_bytes(workload: Workload | Network, rows: int, dtype: str = "float32", phase: str = "step") -> int:
    """Return the least bytes that one call of ``phase`` reads and writes; of one step for ``train``."""
    return sum(bytes_read_written(workload, rows, dtype, phase))


def bytes_read_written(
    workload: Workload | Network, rows: int, dtype: str = "float32", phase: str = "step"
) -> tuple[int, int]:
    """Return `least_bytes` apart, as bytes read and bytes written."""
    of = Workload.of(workload)
    network, n = of.network, of.step_rows(rows)
    x, y = n * network.inputs, n * network.outputs
    tape, params = n * sum(network.sizes[1:]), network.parameter_count
    kept = params * (1 + len(of.optimizer.moments))
    first = network.sizes[1] * (network.inputs + 1)
    placed = rows * (network.inputs + network.outputs)
    read, written = {
        "place": (placed, placed),
        "forward": (x + params, tape),
        # Nothing of the first layer's parameters, nor any layer's biases, is needed to go backward.
        "backward": (x + y + tape + params - first - sum(network.sizes[2:]), params),
        "update": (params + kept, kept),
    }.get(_checked(phase), (x + y + kept, kept))
    itemsize = np.dtype(dtype).itemsize
    return read * itemsize, written * itemsize


def batch_bytes(network: Network, rows: int, dtype: str = "float32") -> int:
    """Return the bytes of X and Y."""
    return rows * (network.inputs + network.outputs) * np.dtype(dtype).itemsize


def _elementwise_flop(workload: Workload | Network, rows: int, phase: Phase) -> int:
    of = Workload.of(workload)
    network, n = of.network, of.step_rows(rows)
    hidden, units = sum(network.sizes[1:-1]), sum(network.sizes[1:])
    output, slope = ACTIVATION_FLOP.get(network.activation, (1, 3))
    forward = n * (units + output * hidden)
    backward = n * (LOSS_FLOP.get(network.loss, 4) * network.outputs + units + slope * hidden)
    update = update_flop(of)
    known = {"place": 0, "forward": forward, "backward": backward, "update": update}
    return known.get(phase, forward + backward + update)


def _checked(phase: str) -> Phase:
    for known in PHASES:
        if phase == known:
            return known
    raise ValueError(f"no phase {phase!r}; one of {', '.join(PHASES)}")
