"""The network in PyTorch for `torch.compile` again, narrow ones feature by feature, which it fuses into few loops.

A matrix product stays a call of a library between two passes over memory. Written as multiplications and additions of
whole columns it becomes part of the loop that computes the activation, and so do the sums over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, reduce

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.base import Network
from backends.idioms import torch_compile
from backends.idioms.torch_compile import Gradients, Tensors, TorchCompile
from backends.idioms.torch_idiom import Batch

MOST_PRODUCTS = 64
"""Weights of a network up to which it is written out: the code that is compiled grows with them."""

# tanh(x) = x P(x^2) / Q(x^2) in float32, minimax in the relative error, as in `numba_tanh`: a fifth of the time of
# torch's own. From the limit on it is 1.
_LIMIT = 8.100899
_P = (0.99999997945, 0.13381025834, 3.4955883807e-3, 2.0609086878e-5, 1.3354667883e-8)
_Q = (1.0, 0.46714341425, 2.5876983114e-2, 3.2856352547e-4, 7.7765609324e-7)


def _tanh(x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        return torch.tanh(x)
    x = torch.clamp(x, -_LIMIT, _LIMIT)
    square = x * x
    return x * _polynomial(_P, square) / _polynomial(_Q, square)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    *lower, last = coefficients
    p = torch.full_like(x, last)
    for c in reversed(lower):
        p = p * x + c
    return p


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "tanh": (_tanh, lambda g, h: g * (1 - h * h)),
    "relu": (torch.relu, lambda g, h: torch.where(h > 0, g, 0)),
    "sigmoid": (torch.sigmoid, lambda g, h: g * (h * (1 - h))),
    "identity": (lambda z: z, lambda g, h: g),
}
"""The activation, and ``g`` times its slope from the output ``h``."""


def _squared_error(p: list[Tensor], y: list[Tensor], terms: int) -> tuple[Tensor, list[Tensor]]:
    errors = [a - b for a, b in zip(p, y, strict=True)]
    return _sum([(e * e).sum() for e in errors]) / terms, [e * (2 / terms) for e in errors]


def _cross_entropy(p: list[Tensor], y: list[Tensor], terms: int) -> tuple[Tensor, list[Tensor]]:
    largest = reduce(torch.maximum, p)
    shifted = [a - largest for a in p]
    exponentials = [torch.exp(a) for a in shifted]
    total = _sum(exponentials)
    logarithm = torch.log(total)
    losses = [(b * (logarithm - a)).sum() for a, b in zip(shifted, y, strict=True)]
    return _sum(losses) / terms, [(e / total - b) / terms for e, b in zip(exponentials, y, strict=True)]


LOSSES: dict[str, Callable[[list[Tensor], list[Tensor], int], tuple[Tensor, list[Tensor]]]] = {
    "mse": _squared_error,
    "cross-entropy": _cross_entropy,
}
"""The loss and its derivative by each column of what was predicted."""


def is_narrow(network: Network) -> bool:
    """Return whether a network is written out."""
    return sum(o * i for o, i in network.layer_shapes) <= MOST_PRODUCTS


@lru_cache(maxsize=64)
def find_gradients(network: Network) -> Gradients:
    """Return what finds the gradients of a network: feature by feature, or of a wide one by autograd."""
    return partial(gradients_and_loss, network) if is_narrow(network) else torch_compile.gradients_and_loss(network)


def gradients_and_loss(network: Network, params: Tensors, x: Tensor, y: Tensor) -> tuple[Tensors, Tensor]:
    """Return the gradients ``[o, i]`` and ``[o]`` of each layer, and the loss, of ``x [n, i]`` and ``y [n, o]``."""
    activation, times_slope = ACTIVATIONS[network.activation]
    tape = [list(x.unbind(1))]
    for k, (w, b) in enumerate(params, start=1):
        z = [_sum([w[u, j] * h for j, h in enumerate(tape[-1])]) + b[u] for u in range(len(b))]
        tape.append(z if k == len(params) else [activation(column) for column in z])
    loss, g = LOSSES[network.loss](tape[-1], list(y.unbind(1)), network.loss_terms(len(x)))
    gradients: list[tuple[Tensor, Tensor]] = []
    for k in range(len(params) - 1, -1, -1):
        w, below = params[k][0], tape[k]
        dw = torch.stack([torch.stack([(column * h).sum() for h in below]) for column in g])
        gradients.insert(0, (dw, torch.stack([column.sum() for column in g])))
        if k:
            g = [times_slope(_sum([w[u, j] * column for u, column in enumerate(g)]), h) for j, h in enumerate(below)]
    return tuple(gradients), loss


def _sum(terms: list[Tensor]) -> Tensor:
    return reduce(torch.add, terms)


class TorchFused(TorchCompile):
    """torch.compile of a step that it can fuse."""

    name = "torch-fused"

    def finder(self) -> Callable[[Network], Gradients]:
        return find_gradients

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = super().place_batch(inputs, targets)
        # The same shape in feature-major memory: each feature of a narrow network is read as one column.
        return Batch(x.T.contiguous().T, y.T.contiguous().T) if is_narrow(self.network) else Batch(x, y)
