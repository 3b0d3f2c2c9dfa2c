"""How much work one call of a phase is: floating-point operations, tanh evaluations, least bytes. Formulas, no clock.

For ``n`` rows and layers of shape ``[o, i]``, of which the first has no gradient to hand back and the last no tanh, in
the notation of `backends.base`, ``N = n * outputs`` entries of the loss:

=========  ===================================================  ==============================================
phase      products (FLOP)                                      the rest (FLOP, without tanh)
=========  ===================================================  ==============================================
forward    ``2 n i o`` a layer                                  ``n o`` a layer: add the biases
backward   ``2 n i o`` a layer: dW; and again ``2 n i o``       loss and error ``4 N``; ``n o`` a layer: db;
           a layer but the first: ``g W``                       ``3 n o`` a hidden layer: times ``1 - h^2``
update                                                          ``2`` a parameter
step       all of the above                                     all of the above
=========  ===================================================  ==============================================

Least bytes count every array that goes in or comes out of a phase once, and none that an implementation could keep to
itself: a fused step needs X, Y and the parameters, but no layer's outputs, which blocks of rows can hold in cache.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from backends import Network

Phase = Literal["place", "forward", "backward", "update", "step", "train"]
PHASES: tuple[Phase, ...] = ("place", "forward", "backward", "update", "step", "train")


def flop(network: Network, batch: int, phase: str = "step") -> int:
    """Return the floating-point operations of one call of ``phase`` on ``batch`` rows; of one step for ``train``.

    tanh is counted apart, by `tanh_count`. A multiplication with an addition counts as two.
    """
    return product_flop(network, batch, phase) + _elementwise_flop(network, batch, _checked(phase))


def product_flop(network: Network, batch: int, phase: str = "step") -> int:
    """Return the part of `flop` that is matrix products."""
    shapes = network.layer_shapes
    forward = sum(2 * batch * i * o for o, i in shapes)
    backward = forward + sum(2 * batch * i * o for o, i in shapes[1:])
    return {"place": 0, "forward": forward, "backward": backward, "update": 0}.get(_checked(phase), forward + backward)


def tanh_count(network: Network, batch: int, phase: str = "step") -> int:
    """Return how many tanh one call of ``phase`` evaluates: one for each row and hidden unit where it goes forward."""
    return batch * sum(network.sizes[1:-1]) if _checked(phase) in ("forward", "step", "train") else 0


def least_bytes(network: Network, batch: int, dtype: str = "float32", phase: str = "step") -> int:
    """Return the least bytes that one call of ``phase`` reads and writes; of one step for ``train``."""
    return sum(bytes_read_written(network, batch, dtype, phase))


def bytes_read_written(network: Network, batch: int, dtype: str = "float32", phase: str = "step") -> tuple[int, int]:
    """Return `least_bytes` apart, as bytes read and bytes written."""
    x, y = batch * network.inputs, batch * network.outputs
    tape, params = batch * sum(network.sizes[1:]), network.parameter_count
    first = network.sizes[1] * (network.inputs + 1)
    read, written = {
        "place": (x + y, x + y),
        "forward": (x + params, tape),
        # Nothing of the first layer's parameters, nor any layer's biases, is needed to go backward.
        "backward": (x + y + tape + params - first - sum(network.sizes[2:]), params),
        "update": (2 * params, params),
    }.get(_checked(phase), (x + y + params, params))
    itemsize = np.dtype(dtype).itemsize
    return read * itemsize, written * itemsize


def batch_bytes(network: Network, batch: int, dtype: str = "float32") -> int:
    """Return the bytes of X and Y."""
    return batch * (network.inputs + network.outputs) * np.dtype(dtype).itemsize


def _elementwise_flop(network: Network, batch: int, phase: Phase) -> int:
    hidden, units = sum(network.sizes[1:-1]), sum(network.sizes[1:])
    forward = batch * units
    backward = batch * (4 * network.outputs + units + 3 * hidden)
    update = 2 * network.parameter_count
    known = {"place": 0, "forward": forward, "backward": backward, "update": update}
    return known.get(phase, forward + backward + update)


def _checked(phase: str) -> Phase:
    for known in PHASES:
        if phase == known:
            return known
    raise ValueError(f"no phase {phase!r}; one of {', '.join(PHASES)}")
