"""The network in PyTorch with its step compiled: `torch.compile` of a loss, its gradient and the update, row-major.

The step is written on tensors, since a compiled `nn.Module` would be compiled again for each new model. The other
phases are those of the eager idiom.
"""

from __future__ import annotations

import torch
import torch._dynamo
from torch import nn
from torch.func import grad_and_value

from backends.base import Capabilities
from backends.idioms.torch_idiom import Batch, TorchIdiom, Training

# Each network, batch and dtype is compiled for itself; beyond its default of 8 torch would go on uncompiled.
torch._dynamo.config.recompile_limit = 256

Tensors = tuple[tuple[torch.Tensor, torch.Tensor], ...]


def loss_fn(params: Tensors, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error."""
    h = x
    for w, b in params[:-1]:
        h = torch.tanh(nn.functional.linear(h, w, b))
    return nn.functional.mse_loss(nn.functional.linear(h, *params[-1]), y)


@torch.compile(dynamic=False)
def train_step(params: Tensors, x: torch.Tensor, y: torch.Tensor, learning_rate: torch.Tensor) -> torch.Tensor:
    """Update the params in place; return the loss before."""
    gradients, loss = grad_and_value(loss_fn)(params, x, y)
    for (w, b), (dw, db) in zip(params, gradients, strict=True):
        w.sub_(learning_rate * dw)
        b.sub_(learning_rate * db)
    return loss  # type: ignore[no-any-return]


class TorchCompile(TorchIdiom):
    """torch.compile of the whole step."""

    name = "torch-compile"
    capabilities = Capabilities(devices=("cpu", "cuda"), deterministic=frozenset({"process"}), compiles=True)

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, torch.Tensor]:
        tensors = tuple((layer.weight.detach(), layer.bias.detach()) for layer in params.layers)
        eta = torch.tensor(learning_rate, dtype=batch.x.dtype, device=batch.x.device)
        return params, train_step(tensors, batch.x, batch.y, eta)
