"""The network in PyTorch as its documentation would write it: `nn.Sequential`, `nn.MSELoss`, autograd, `optim`.

Tests: `tests/backends/idioms/test_idioms.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import nn

from backends.base import (
    Adam,
    Array,
    Backend,
    BackendUnavailable,
    Capabilities,
    Layer,
    Momentum,
    Network,
    Optimizer,
    Params,
    State,
)
from backends.host import layers_of

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
LOSSES: dict[str, type[nn.Module]] = {"mse": nn.MSELoss, "cross-entropy": nn.CrossEntropyLoss}


def _sgd(tensors: list[torch.Tensor], rule: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.SGD(tensors, lr=1e-3)


def _keep_gradients(optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
    """Keep each tensor's gradient as its velocity."""
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            optimizer.state[tensor]["momentum_buffer"] = tensor.grad.clone()


def _sgd_with_momentum(tensors: list[torch.Tensor], rule: Momentum) -> torch.optim.Optimizer:
    sgd = torch.optim.SGD(tensors, lr=1e-3, momentum=rule.momentum)
    if not rule.momentum:  # torch then keeps no velocity, which is the gradient
        sgd.register_step_post_hook(_keep_gradients)
    return sgd


def _adam(tensors: list[torch.Tensor], rule: Adam) -> torch.optim.Optimizer:
    betas = (rule.beta1, rule.beta2)
    if rule.weight_decay:
        return torch.optim.AdamW(tensors, betas=betas, eps=rule.epsilon, weight_decay=rule.weight_decay)
    return torch.optim.Adam(tensors, betas=betas, eps=rule.epsilon)


OPTIMIZERS: dict[str, tuple[Any, dict[str, str]]] = {
    "descent": (_sgd, {}),
    "momentum": (_sgd_with_momentum, {"velocity": "momentum_buffer"}),
    "adam": (_adam, {"m": "exp_avg", "v": "exp_avg_sq"}),
}
"""What makes an optimizer of torch's, and its names for the moments."""


class Batch(NamedTuple):
    """Inputs ``[n, i]`` and targets ``[n, o]``."""

    x: torch.Tensor
    y: torch.Tensor


class Training(NamedTuple):
    """A model and its optimizer: the params of this backend."""

    model: nn.Sequential
    optimizer: torch.optim.Optimizer

    @property
    def layers(self) -> list[nn.Linear]:
        """The dense layers, in order."""
        return [module for module in self.model if isinstance(module, nn.Linear)]

    @property
    def tensors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights and biases of each layer."""
        return [(layer.weight, layer.bias) for layer in self.layers]

    def rate(self, learning_rate: float) -> None:
        """Set the optimizer's learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


class TorchIdiom(Backend):
    """torch.nn with torch.optim, eager."""

    name = "torch-idiom"
    capabilities = Capabilities(
        devices=("cpu", "cuda"),
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
        threads=True,
    )

    def __init__(
        self,
        network: Network,
        dtype: str = "float32",
        device: str = "cpu",
        optimizer: Optimizer | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(network, dtype, device, optimizer, threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailable(
                f"backend {self.name!r} has no device 'cuda' here: torch {torch.__version__} sees no GPU; "
                "install a CUDA build of torch on a machine with a GPU, or ask for device 'cpu'"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self._loss_fn = LOSSES[network.loss]()
        self._optimizer, self._moments = OPTIMIZERS[self.optimizer.name]

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        updates, moments = self.host_state(state)
        dtype = getattr(torch, self.dtype)
        modules: list[nn.Module] = []
        for w, b in self.host_params(params):
            layer = nn.Linear(w.shape[1], w.shape[0], device=self.device, dtype=dtype)
            layer.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
            modules += [layer, ACTIVATIONS[self.network.activation]()]
        model = nn.Sequential(*modules[:-1])
        training = Training(model, self._optimizer(list(model.parameters()), self.optimizer))
        for k, pair in enumerate(training.tensors if moments else ()):
            for which, tensor in enumerate(pair):
                kept = {self._moments[name]: torch.from_numpy(moment[k][which]) for name, moment in moments.items()}
                kept = {name: values.to(self.device) for name, values in kept.items()}
                if self.optimizer.counts_updates:
                    kept["step"] = torch.tensor(float(updates))
                training.optimizer.state[tensor] = kept
        return training

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*(torch.tensor(array, device=self.device) for array in self.host_batch(inputs, targets)))

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, len(batch.x))
        return [Batch(x, y) for x, y in zip(torch.split(batch.x, rows), torch.split(batch.y, rows), strict=True)]

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = torch.from_numpy(self.checked_order(order, len(batch.x))).to(self.device)
        return Batch(batch.x[rows], batch.y[rows])

    def forward(self, params: Training, batch: Batch) -> list[torch.Tensor]:
        tape, h = [], batch.x
        for module in params.model:
            h = module(h)
            if not isinstance(module, nn.Linear) or module is params.model[-1]:
                tape.append(h)
        return tape

    def backward(self, params: Training, batch: Batch, tape: list[torch.Tensor]) -> tuple[torch.Tensor, Any]:
        loss = self._loss_fn(tape[-1], batch.y)
        tensors = [tensor for layer in params.tensors for tensor in layer]
        gradients = torch.autograd.grad(loss, tensors, retain_graph=True)
        return loss.detach(), tuple(zip(gradients[::2], gradients[1::2], strict=True))

    def from_message(self, message: Array) -> tuple[Any, Any]:
        layers = layers_of(message, self.network)
        return message[-1], tuple(tuple(torch.tensor(array, device=self.device) for array in pair) for pair in layers)

    def update(self, params: Training, gradients: Any, learning_rate: float) -> Training:
        for layer, (dw, db) in zip(params.layers, gradients, strict=True):
            layer.weight.grad, layer.bias.grad = dw, db
        params.rate(self.checked_rate(learning_rate))
        params.optimizer.step()
        return params

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, torch.Tensor]:
        params.rate(self.checked_rate(learning_rate))
        params.optimizer.zero_grad()
        loss = self._loss_fn(params.model(batch.x), batch.y)
        loss.backward()
        params.optimizer.step()
        return params, loss.detach()

    def outputs(self, tape: list[torch.Tensor]) -> tuple[Array, ...]:
        return tuple(h.detach().cpu().numpy().copy() for h in tape)

    def fetch(self, params: Any) -> Params:
        layers = params.tensors if isinstance(params, Training) else params
        return tuple(Layer(w.detach().cpu().numpy().copy(), b.detach().cpu().numpy().copy()) for w, b in layers)

    def fetch_state(self, params: Training) -> State:
        state = params.optimizer.state
        moments = {
            name: self.fetch([[state[tensor][key] for tensor in layer] for layer in params.tensors])
            for name, key in self._moments.items()
        }
        updates = int(state[params.layers[0].weight]["step"]) if self.optimizer.counts_updates else 0
        return State(updates, moments)

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def describe(self) -> dict[str, str | int]:
        return {
            **super().describe(),
            "framework": f"torch {torch.__version__}",
            "threads": torch.get_num_threads(),
        }
