"""Styles whose derivatives a framework takes: autograd of torch and of JAX."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from backends.base import Array, Layer, Params
from backends.conformance.plain import Batch
from tests.backends.conformance.styles.style import Style


class TorchAutograd(Style):
    """The loss as torch writes it; backward is autograd's."""

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("torch") else "no module named 'torch'"

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        import torch

        leaves = [torch.from_numpy(array.copy()).requires_grad_() for layer in params for array in layer]
        h, y = (torch.from_numpy(array) for array in batch)
        for k in range(0, len(leaves), 2):
            z = torch.nn.functional.linear(h, leaves[k], leaves[k + 1])
            h = z if k == len(leaves) - 2 else torch.tanh(z)
        loss = torch.nn.functional.mse_loss(h, y)
        flat = [g.numpy() for g in torch.autograd.grad(loss, leaves)]
        return loss.item(), tuple(Layer(*flat[k : k + 2]) for k in range(0, len(flat), 2))


class JaxGrad(Style):
    """The loss as JAX writes it; backward is `jax.value_and_grad`, not compiled."""

    share = 0.04  # every shape compiles each of its operations

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("jax") else "no module named 'jax'"

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        import jax

        with jax.enable_x64(self.dtype == "float64"):
            loss, gradients = jax.value_and_grad(_loss)(tuple(map(tuple, params)), *batch)
            return float(loss), tuple(Layer(np.array(w), np.array(b)) for w, b in gradients)


def _loss(params: Any, x: Any, y: Any) -> Any:
    import jax.numpy as jnp

    h = jnp.asarray(x)
    for k, (w, b) in enumerate(params, start=1):
        z = h @ w.T + b
        h = z if k == len(params) else jnp.tanh(z)
    return jnp.mean((h - y) ** 2)


STYLES = (TorchAutograd, JaxGrad)
