"""The network in PyTorch with its step compiled: `torch.compile` of a loss, its gradient and the update, row-major.

The step is written on tensors, since a compiled `nn.Module` would be compiled again for each new model. The other
phases are those of the eager idiom.

Tests: `tests/backends/idioms/test_idioms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.func import grad_and_value

from backends.base import Adam, Capabilities, Momentum, Network, Optimizer
from backends.idioms.torch_idiom import Batch, TorchIdiom, Training

# Each network, batch and dtype is compiled for itself; beyond its default of 8 torch would go on uncompiled.
torch._dynamo.config.recompile_limit = 256

Tensors = tuple[tuple[Tensor, Tensor], ...]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": nn.functional.mse_loss,
    "cross-entropy": nn.functional.cross_entropy,
}


def _descend(w: Tensor, g: Tensor, moments: list[Tensor], rate: Tensor, corrections: Any, rule: Any) -> None:
    w.sub_(rate * g)


def _descend_with_momentum(
    w: Tensor, g: Tensor, moments: list[Tensor], rate: Tensor, corrections: Any, rule: Momentum
) -> None:
    (v,) = moments
    v.mul_(rule.momentum).add_(g)
    w.sub_(rate * v)


def _adam(w: Tensor, g: Tensor, moments: list[Tensor], rate: Tensor, corrections: Any, rule: Adam) -> None:
    m, v = moments
    m.mul_(rule.beta1).add_((1 - rule.beta1) * g)
    v.mul_(rule.beta2).add_((1 - rule.beta2) * g * g)
    step = (m / corrections[0]) / (torch.sqrt(v / corrections[1]) + rule.epsilon)
    w.sub_(rate * (step + rule.weight_decay * w))


OPTIMIZERS: dict[str, Callable[..., None]] = {
    "descent": _descend,
    "momentum": _descend_with_momentum,
    "adam": _adam,
}
"""Makes one update of ``w`` and its moments in place; the rate and the corrections of Adam are tensors ``[]``."""


Gradients = Callable[[Tensors, Tensor, Tensor], tuple[Tensors, Tensor]]
"""Returns gradients and loss of params, inputs and targets."""


def gradients_and_loss(network: Network) -> Gradients:
    """Return what finds the gradients of a network by autograd."""

    def loss_fn(params: Tensors, x: Tensor, y: Tensor) -> Tensor:
        h = x
        for w, b in params[:-1]:
            h = ACTIVATIONS[network.activation](nn.functional.linear(h, w, b))
        return LOSSES[network.loss](nn.functional.linear(h, *params[-1]), y)

    gradients: Gradients = grad_and_value(loss_fn)
    return gradients


@lru_cache(maxsize=64)
def train_step(network: Network, rule: Optimizer, find: Callable[[Network], Gradients]) -> Callable[..., Tensor]:
    """Return the compiled step of one network: it updates params and moments in place and returns the loss before."""
    gradients_of = find(network)

    def step(
        params: Tensors,
        moments: list[list[list[Tensor]]],
        x: Tensor,
        y: Tensor,
        rate: Tensor,
        corrections: list[Tensor],
    ) -> Tensor:
        gradients, value = gradients_of(params, x, y)
        for layer, of_layer, kept in zip(params, gradients, moments, strict=True):
            for w, g, of_tensor in zip(layer, of_layer, kept, strict=True):
                OPTIMIZERS[rule.name](w, g, of_tensor, rate, corrections, rule)
        return value

    return torch.compile(step, dynamic=False)


class TorchCompile(TorchIdiom):
    """torch.compile of the whole step."""

    name = "torch-compile"
    capabilities = Capabilities(
        devices=("cpu", "cuda"),
        deterministic=frozenset({"process"}),
        compiles=True,
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
        threads=True,
    )

    def finder(self) -> Callable[[Network], Gradients]:
        """Return what makes the function that finds a network's gradients."""
        return gradients_and_loss

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Tensor]:
        rule, state = self.optimizer, params.optimizer.state
        tensors = tuple((w.detach(), b.detach()) for w, b in params.tensors)
        moments = [
            [[state[param][key] for key in self._moments.values()] for param in layer] for layer in params.tensors
        ]
        corrections: tuple[float, ...] = ()
        if isinstance(rule, Adam):
            counts = [state[param]["step"].add_(1) for layer in params.tensors for param in layer]
            corrections = rule.corrections(int(counts[0]))
        numbers = self.checked_rate(learning_rate), *corrections
        scalars = [torch.tensor(value, dtype=batch.x.dtype).to(self.device) for value in numbers]
        step = train_step(self.network, rule, self.finder())
        return params, step(tensors, moments, batch.x, batch.y, scalars[0], scalars[1:])
