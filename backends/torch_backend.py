"""The network in PyTorch without autograd: feature-major, in place, on CPU or CUDA.

The bias is a column of the weights, ``[o, i + 1]``, and each layer's input carries a row of ones, so that a product
computes ``w x + b`` and its gradient the row sums with it. Every call writes into memory that is kept from step to
step, through views that are made once. On an x86 CPU that is not Intel's, large products in float32 go to oneDNN, a
product and its activation in one call. A large batch of a narrow network runs in blocks on a pool of threads, since
torch releases the interpreter lock inside its calls. What else was tried is in `docs/tuning.md`.

Tests: `tests/backends/test_torch_backend.py`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Optimizer, Params, State
from backends.processor import is_intel
from backends.torch_batch import Batch, Batches, Block, memory, whole
from backends.torch_kernels import ACTIVATIONS, LOSSES, OPTIMIZERS, Activation, Terms
from backends.torch_precision import full_precision
from backends.torch_workspace import Outputs, Received, Scratch, Trained, Vector, Workspace
from backends.tuned import NEVER, tuned

# A product and an activation by oneDNN, which torch.compile calls as well; builds without oneDNN have none.
onednn_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

MKL_AT_HOME = torch.backends.mkl.is_available() and is_intel()
"""On Intel's processors MKL, the BLAS of torch's usual builds, has kernels of their own. There it and torch's own tanh
take 0.57 to 0.89 of the time of oneDNN in every network tried; on others oneDNN wins as soon as its call is repaid.
"""
ONEDNN_TANH = tuned("torch-onednn-tanh", NEVER if MKL_AT_HOME else 1 << 16)
ONEDNN_PRODUCT = tuned("torch-onednn-product", NEVER if MKL_AT_HOME else 1 << 23)
"""From this many tanh or sigmoids, or multiplications of two numbers, oneDNN repays the 20 us that its call costs."""

CAPTURED_STEPS = 256
"""This many steps on a GPU repay the milliseconds that it takes to record one of them."""


class TorchBackend(Backend):
    """PyTorch on CPU or CUDA."""

    name = "torch"
    block_rows: int
    captured_steps: int
    capabilities = Capabilities(
        devices=("cpu", "cuda"),
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
        threads=True,
        shares=True,
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
        self._kind: dict[str, Any] = {"dtype": getattr(torch, dtype), "device": device}
        self._real = np.dtype(dtype).type
        if threads is not None:
            torch.set_num_threads(threads)
        self._batches = Batches(network, dtype, device)
        self.block_rows = self._batches.block_rows
        self._multiply = _multiply_onednn if has_onednn(dtype, device) else _multiply
        self._activation = ACTIVATIONS[network.activation]
        self._times_slope = self._activation.times_slope
        self._loss = LOSSES[network.loss]
        self._advance = OPTIMIZERS[self.optimizer.name]
        self._workspace = Workspace(network, self._kind)
        widest = max(network.sizes[1:-1], default=1), max(o * (i + 1) for o, i in network.layer_shapes)
        self._onednn_rows = min(ONEDNN_TANH // widest[0], ONEDNN_PRODUCT // widest[1])
        if device == "cuda":
            self.captured_steps = CAPTURED_STEPS

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        placed = self._workspace.placed_vector(self.host_params(params))
        count = torch.full((), updates, dtype=torch.float32, device=self.device)  # as the fused optimisers want it
        return Trained(*placed, [self._workspace.placed_vector(moment).flat for moment in moments.values()], count)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Batch:
        return self._batches.place(*self.host_batch(inputs, targets, of), of)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, batch.n)
        x, y = whole(batch)
        return [self._batches.cut(x[k : k + rows], y[:, k : k + rows]) for k in range(0, batch.n, rows)]

    def host_memory(self, batch: Batch) -> list[Array] | None:
        return memory(batch) if self.device == "cpu" else None

    def cut(self, batch: Batch, start: int, stop: int, of: int | None = None) -> Batch:
        x, y = whole(batch)
        return self._batches.cut(x[start:stop], y[:, start:stop], of)

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = torch.from_numpy(self.checked_order(order, batch.n)).to(self.device)
        x, y = whole(batch)
        return self._batches.cut(x.index_select(0, rows), y.index_select(1, rows), batch.of)

    @full_precision
    def forward(self, params: Trained, batch: Batch) -> list[Outputs]:
        def run(blocks: range) -> list[Outputs]:
            tape = [self._workspace.outputs(batch.blocks[k].x.shape[1]) for k in blocks]
            for k, outputs in zip(blocks, tape, strict=True):
                self._forward(params, batch.blocks[k], outputs)
            return tape

        try:
            return [outputs for tape in self._batches.map(run, batch) for outputs in tape]
        except AttributeError as error:
            raise self.not_placed(params, batch) from error

    def backward(self, params: Trained, batch: Batch, tape: list[Outputs]) -> tuple[Tensor, Vector]:
        loss, gradients = self._gradients(params, batch, tape)
        return loss, self._workspace.vector(gradients.flat.clone())

    def message(self, params: Trained, batch: Batch) -> Array:
        loss, gradients = self._gradients(params, batch, None)
        message: Array = torch.cat((gradients.flat, loss.view(1))).cpu().numpy()
        return message

    def from_message(self, message: Array) -> tuple[Tensor, Received]:
        placed = torch.from_numpy(message).to(self.device)
        return placed[-1], Received(placed[:-1], self._workspace.vector)

    def update(self, params: Trained, gradients: Vector | Received, learning_rate: float) -> Trained:
        rate = self._rounded(learning_rate)
        self._advance(params.flat, gradients.flat, params.moments, params.updates, rate, self.optimizer)
        return params

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, Tensor]:
        try:
            loss, gradients = self._gradients(params, batch, None)
        except AttributeError as error:
            raise self.not_placed(params, batch) from error
        rate = self._rounded(learning_rate)
        self._advance(params.flat, gradients.flat, params.moments, params.updates, rate, self.optimizer)
        return params, loss

    def train(
        self, params: Trained, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Trained, Array]:
        steps = self.checked_steps(steps)
        losses = torch.empty(steps, **self._kind)
        parts = [batch] if rows_per_step is None else self.split(batch, rows_per_step)
        if self.device == "cuda" and len(parts) == 1 and steps >= self.captured_steps:
            self._replay(params, batch, learning_rate, losses)
        elif self.device == "cuda":
            for k in range(steps):
                losses[k] = self.step(params, parts[k % len(parts)], learning_rate)[1]
        else:  # a tenth of a small step is torch's own bookkeeping for autograd, and another to write into a tensor
            host = losses.numpy()
            with torch.inference_mode():
                for k in range(steps):
                    host[k] = self.step(params, parts[k % len(parts)], learning_rate)[1].item()
        return self.trained(params, losses.cpu().numpy(), learning_rate)

    def _rounded(self, learning_rate: float) -> float:
        """Return the rate rounded to the dtype: torch refuses what lies beyond it, which is infinite there."""
        return float(self._real(self.checked_rate(learning_rate)))

    def _replay(self, params: Trained, batch: Batch, learning_rate: float, losses: Tensor) -> None:
        """Train by a CUDA graph of one step: launching its kernels from Python takes longer than a small one runs.

        The first step runs as it is, since libraries must not start up in a recording; it and the recording use a
        separate stream, since the default one cannot be recorded. The graph outlives its last replay: its memory
        goes back with it.
        """
        at = torch.zeros(1, dtype=torch.int64, device=self.device)

        def step_once() -> None:
            losses.index_copy_(0, at, self.step(params, batch, learning_rate)[1].view(1))
            at.add_(1)

        stream = _recording_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step_once()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            step_once()
        for _ in range(len(losses) - 1):
            graph.replay()
        torch.cuda.current_stream().synchronize()

    def outputs(self, tape: list[Outputs]) -> tuple[Array, ...]:
        layers = zip(*(block.h for block in tape), strict=True)
        return tuple(torch.cat([h.T for h in layer]).cpu().numpy() for layer in layers)

    def fetch(self, params: Trained | Vector | Received) -> Params:
        host = [view.cpu().numpy() for view in params.layers]
        return tuple(Layer(view[:, :-1].copy(), view[:, -1].copy()) for view in host)

    def fetch_state(self, params: Trained) -> State:
        moments = zip(self.optimizer.moments, params.moments, strict=True)
        return State(int(params.updates), {name: self.fetch(self._workspace.vector(flat)) for name, flat in moments})

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def describe(self) -> dict[str, str | int]:
        facts: dict[str, str | int] = {
            "framework": f"torch {torch.__version__}",
            "products": self.capabilities.products,
            "threads": torch.get_num_threads(),
        }
        if self.device == "cuda":
            facts["device_name"] = torch.cuda.get_device_name()
        return facts

    @full_precision
    def _gradients(self, params: Trained, batch: Batch, tape: list[Outputs] | None) -> tuple[Tensor, Vector]:
        """Return the loss and its gradients, which the next call overwrites; without a tape it runs forward too."""

        def run(blocks: range) -> tuple[Tensor, Vector]:
            total = self._workspace.total(blocks.start)
            loss: Any = None
            for k in blocks:
                block = batch.blocks[k]
                scratch = self._workspace.scratch(block.x.shape[1])
                outputs = scratch.outputs if tape is None else tape[k]
                if tape is None:
                    self._forward(params, block, outputs)
                if k == blocks.start:
                    loss = self._backward(params, block, outputs, batch.terms, scratch, total)
                else:
                    loss += self._backward(params, block, outputs, batch.terms, scratch, scratch.gradients)
                    total.flat.add_(scratch.gradients.flat)
            return loss, total

        parts = self._batches.map(run, batch)
        loss, total = parts[0]
        for more, gradients in parts[1:]:
            loss += more
            total.flat.add_(gradients.flat)
        return loss.mul_(batch.terms.inverse), total

    def _forward(self, params: Trained, block: Block, outputs: Outputs) -> None:
        """Write every layer's output of one block."""
        below = block.x
        multiply = self._multiply_for(block)
        last = len(params.layers) - 1
        for k, w in enumerate(params.layers):
            multiply(w, below, outputs.h[k], self._activation if k < last else None)
            below = outputs.with_ones[k]

    def _backward(
        self, params: Trained, block: Block, outputs: Outputs, terms: Terms, scratch: Scratch, gradients: Vector
    ) -> Tensor:
        """Write the gradients of one block; return its sum of the terms of the loss."""
        g, multiply = scratch.g[-1], self._multiply_for(block)
        loss = self._loss(outputs.h[-1], block.y, terms, g, scratch.flat_error)
        for k in range(len(gradients.layers) - 1, -1, -1):
            below, transposed_gradients = (
                outputs.transposed[k - 1] if k else block.x_transposed,
                scratch.transposed_gradients[k],
            )
            if transposed_gradients is None:
                multiply(g, below, gradients.layers[k])
            else:
                gradients.layers[k].copy_(torch.mm(below.T, g.T, out=transposed_gradients).T)
            if k:
                if not scratch.late_weights:
                    g = multiply(params.transposed[k], g, scratch.g[k - 1])
                self._times_slope(g, outputs.h[k - 1], scratch.g[k - 1])
                g = scratch.g[k - 1]
        if scratch.late_weights:
            gradients.layers[0].mul_(params.transposed[1])
        return loss

    def _multiply_for(self, block: Block) -> Callable[..., Tensor]:
        """Return the product for a block: for so few rows that oneDNN would get none, without asking each time."""
        return self._multiply if block.y.shape[1] >= self._onednn_rows else _multiply


@lru_cache
def _recording_stream() -> torch.cuda.Stream:
    """Return the stream of all recordings: the BLAS keeps memory for each stream."""
    return torch.cuda.Stream()


def has_onednn(dtype: str, device: str) -> bool:
    """Return whether products of that dtype can go to oneDNN here; its tanh was proven on x86-64 alone."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    there = onednn_linear is not None and torch.backends.mkldnn.is_available()
    return x86 and there and (dtype, device) == ("float32", "cpu")


def _multiply(a: Tensor, b: Tensor, out: Tensor, activation: Activation | None = None) -> Tensor:
    """Write ``a b``, or the activation of it, to ``out``, by the BLAS and torch's own activation."""
    torch.mm(a, b, out=out)
    if activation:
        activation.activate(out)
    return out


def _multiply_onednn(a: Tensor, b: Tensor, out: Tensor, activation: Activation | None = None) -> Tensor:
    """Do the same by one call of oneDNN if there is enough to do."""
    if (out.numel() < ONEDNN_TANH) if activation and activation.costly else (a.numel() * b.shape[1] < ONEDNN_PRODUCT):
        return _multiply(a, b, out, activation)
    return out.copy_(onednn_linear(a, b.T, None, activation.onednn if activation else "none", [], ""))
