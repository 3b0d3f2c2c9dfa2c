"""What `torch_backend` computes in place: each activation, loss and optimiser in one table, as in `base`.

Tensors are feature-major, ``[features, rows]``. torch's own kernels for autograd give an error term times the slope of
an activation in one pass, and those of its fused optimisers a whole update.

Tests: `tests/backends/test_activations_and_losses.py`, `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.base import Adam, Momentum, Optimizer

_aten = torch.ops.aten
_tanh_backward = _aten.tanh_backward.grad_input  # to look an operator up takes longer than some take
_threshold_backward = _aten.threshold_backward.grad_input
_sigmoid_backward = _aten.sigmoid_backward.grad_input


class Terms(NamedTuple):
    """How many terms a loss has, and ``1 / terms`` and ``2 / terms``, tensors of no dimension.

    torch takes three times as long to multiply a small tensor by a number of Python's.
    """

    number: int
    inverse: Tensor
    slope: Tensor


def terms_of(number: int, kind: dict[str, Any]) -> Terms:
    """Return the terms of this number as tensors of a ``dtype`` and ``device``."""
    return Terms(number, torch.full((), 1 / number, **kind), torch.full((), 2 / number, **kind))


TANH_BY_EXPM1 = 1 << 13
"""From this many values on tanh in float64 on a CPU is computed from expm1, in 0.7 of the time of torch's own."""


class Activation(NamedTuple):
    """An activation in place, its slope, and what oneDNN calls it after a product."""

    activate: Callable[[Tensor], Any]
    times_slope: Callable[[Tensor, Tensor, Tensor], Any]
    """Writes ``g``, with as many features as ``h`` or one for all, times the slope at the outputs ``h`` to the last
    argument, which may be the memory of either.
    """
    onednn: str
    costly: bool = False
    """Whether oneDNN gains more by the activation than by the product."""


def _tanh(z: Tensor) -> Tensor:
    """Write tanh to ``z``: ``e / (e + 2)`` with ``e = exp(2 z) - 1`` is within 2.5 ulp, near zero too."""
    if z.dtype != torch.float64 or z.is_cuda or z.numel() < TANH_BY_EXPM1:
        return z.tanh_()
    e = z.mul_(2).clamp_(max=80).expm1_()  # tanh rounds to one from 40 on, and the quotient of infinities is none
    return e.div_(e + 2)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(_tanh, lambda g, h, out: _tanh_backward(g, h, grad_input=out), "tanh", costly=True),
    "relu": Activation(torch.relu_, lambda g, h, out: _threshold_backward(g, h, 0, grad_input=out), "relu"),
    "sigmoid": Activation(
        torch.sigmoid_, lambda g, h, out: _sigmoid_backward(g, h, grad_input=out), "sigmoid", costly=True
    ),
    "identity": Activation(lambda z: z, lambda g, h, out: out if out is g else out.copy_(g), "none"),
}


def _squared_error(predicted: Tensor, y: Tensor, terms: Terms, g: Tensor, flat: Tensor) -> Tensor:
    torch.sub(predicted, y, out=g)
    total = flat.dot(flat)
    g.mul_(terms.slope)
    return total


def _cross_entropy(predicted: Tensor, y: Tensor, terms: Terms, g: Tensor, flat: Tensor) -> Tensor:
    _aten._log_softmax.out(predicted, 0, False, out=g)
    total = flat.dot(y.view(-1)).neg_()
    g.exp_().sub_(y).div_(terms.number)
    return total


LOSSES: dict[str, Callable[[Tensor, Tensor, Terms, Tensor, Tensor], Tensor]] = {
    "mse": _squared_error,
    "cross-entropy": _cross_entropy,
}
"""Writes ``g``, the derivative by predicted of the loss; returns the block's sum of terms.

``g`` may be the memory of predicted; ``flat`` is a view of it.
"""


def _descend(w: Tensor, g: Tensor, moments: list[Tensor], updates: Tensor, rate: float, rule: Optimizer) -> None:
    w.sub_(g, alpha=rate)


def _descend_with_momentum(
    w: Tensor, g: Tensor, moments: list[Tensor], updates: Tensor, rate: float, rule: Momentum
) -> None:
    w.sub_(moments[0].mul_(rule.momentum).add_(g), alpha=rate)


def _adam(w: Tensor, g: Tensor, moments: list[Tensor], updates: Tensor, rate: float, rule: Adam) -> None:
    updates.add_(1)
    m, v = moments
    torch._fused_adamw_(
        [w],
        [g],
        [m],
        [v],
        [],
        [updates],
        lr=rate,
        beta1=rule.beta1,
        beta2=rule.beta2,
        weight_decay=rule.weight_decay,
        eps=rule.epsilon,
        amsgrad=False,
        maximize=False,
    )


OPTIMIZERS: dict[str, Callable[..., None]] = {
    "descent": _descend,
    "momentum": _descend_with_momentum,
    "adam": _adam,
}
"""Makes one update of all parameters ``w``, one vector, of its moments and of the number of updates, in place."""
