"""The network in PyTorch as its documentation would write it: `nn.Sequential`, `nn.MSELoss`, autograd, `optim.SGD`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import nn

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params, State


class Batch(NamedTuple):
    """Inputs ``[n, i]`` and targets ``[n, o]``."""

    x: torch.Tensor
    y: torch.Tensor


class Training(NamedTuple):
    """A model and its optimizer: the params of this backend."""

    model: nn.Sequential
    optimizer: torch.optim.SGD

    @property
    def layers(self) -> list[nn.Linear]:
        """The dense layers, in order."""
        return [module for module in self.model if isinstance(module, nn.Linear)]

    def rate(self, learning_rate: float) -> None:
        """Set the optimizer's learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


class TorchIdiom(Backend):
    """torch.nn with SGD, eager."""

    name = "torch-idiom"
    capabilities = Capabilities(devices=("cpu", "cuda"))

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        if device == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailable(
                f"backend {self.name!r} has no device 'cuda' here: torch {torch.__version__} sees no GPU; "
                "install a CUDA build of torch on a machine with a GPU, or ask for device 'cpu'"
            )
        self._loss_fn = nn.MSELoss()

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        self.host_state(state)
        dtype = getattr(torch, self.dtype)
        modules: list[nn.Module] = []
        for w, b in self.host_params(params):
            layer = nn.Linear(w.shape[1], w.shape[0], device=self.device, dtype=dtype)
            layer.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
            modules += [layer, nn.Tanh()]
        model = nn.Sequential(*modules[:-1])
        return Training(model, torch.optim.SGD(model.parameters(), lr=1e-3))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*(torch.tensor(array, device=self.device) for array in self.host_batch(inputs, targets)))

    def forward(self, params: Training, batch: Batch) -> list[torch.Tensor]:
        tape, h = [], batch.x
        for module in params.model:
            h = module(h)
            if not isinstance(module, nn.Linear) or module is params.model[-1]:
                tape.append(h)
        return tape

    def backward(self, params: Training, batch: Batch, tape: list[torch.Tensor]) -> tuple[torch.Tensor, Any]:
        loss = self._loss_fn(tape[-1], batch.y)
        tensors = [tensor for layer in params.layers for tensor in (layer.weight, layer.bias)]
        found = torch.autograd.grad(loss, tensors, retain_graph=True)
        return loss.detach(), tuple(zip(found[::2], found[1::2], strict=True))

    def update(self, params: Training, gradients: Any, learning_rate: float) -> Training:
        for layer, (dw, db) in zip(params.layers, gradients, strict=True):
            layer.weight.grad, layer.bias.grad = dw, db
        params.rate(learning_rate)
        params.optimizer.step()
        return params

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, torch.Tensor]:
        params.rate(learning_rate)
        params.optimizer.zero_grad()
        loss = self._loss_fn(params.model(batch.x), batch.y)
        loss.backward()
        params.optimizer.step()
        return params, loss.detach()

    def outputs(self, tape: list[torch.Tensor]) -> tuple[Array, ...]:
        return tuple(h.detach().cpu().numpy().copy() for h in tape)

    def fetch(self, params: Any) -> Params:
        layers = [(one.weight, one.bias) for one in params.layers] if isinstance(params, Training) else params
        return tuple(Layer(w.detach().cpu().numpy().copy(), b.detach().cpu().numpy().copy()) for w, b in layers)

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def describe(self) -> dict[str, str | int]:
        return {
            **super().describe(),
            "framework": f"torch {torch.__version__}",
            "threads": torch.get_num_threads(),
        }
