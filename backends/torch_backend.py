"""The network in PyTorch, without autograd: feature-major, in place, on CPU or CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params


class Batch(NamedTuple):
    """Inputs ``[i, n]`` and targets ``[o, n]``, feature-major."""

    x: torch.Tensor
    y: torch.Tensor


class TorchBackend(Backend):
    """PyTorch on CPU or CUDA."""

    name = "torch"
    capabilities = Capabilities(devices=("cpu", "cuda"))

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        if device == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailable(
                f"backend 'torch' has no device 'cuda' here: torch {torch.__version__} sees no GPU; "
                "install a CUDA build of torch on a machine with a GPU, or ask for device 'cpu'"
            )

    def place_params(self, params: Sequence[Layer]) -> Params:
        return tuple(Layer(*(torch.from_numpy(a).to(self.device) for a in layer)) for layer in self.host_params(params))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        return Batch(*(torch.from_numpy(a.T.copy()).to(self.device) for a in (x, y)))

    @torch.no_grad()
    def forward(self, params: Params, batch: Batch) -> list[torch.Tensor]:
        tape: list[torch.Tensor] = []
        for k, (w, b) in enumerate(params, start=1):
            z = torch.addmm(b[:, None], w, tape[-1] if tape else batch.x)
            tape.append(z if k == len(params) else z.tanh_())
        return tape

    @torch.no_grad()
    def backward(self, params: Params, batch: Batch, tape: list[torch.Tensor]) -> tuple[torch.Tensor, Params]:
        g = tape[-1] - batch.y
        loss = (g * g).mean()
        g *= 2 / g.numel()
        gradients = []
        for k in range(len(params) - 1, -1, -1):
            h = tape[k - 1] if k else batch.x
            gradients.append(Layer(g @ h.T, g.sum(dim=1)))
            if k:
                g = (params[k].weights.T @ g).mul_(1 - h * h)
        return loss, tuple(reversed(gradients))

    @torch.no_grad()
    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w.sub_(dw, alpha=learning_rate)
            b.sub_(db, alpha=learning_rate)
        return params

    def outputs(self, tape: list[torch.Tensor]) -> tuple[Array, ...]:
        return tuple(h.T.cpu().numpy().copy(order="C") for h in tape)

    def fetch(self, params: Params) -> Params:
        return tuple(Layer(w.cpu().numpy().copy(), b.cpu().numpy().copy()) for w, b in params)

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
