"""The network in PyTorch without autograd: feature-major, in place, on CPU or CUDA.

The bias is a column of the weights, ``[o, i + 1]``, and each layer's input carries a row of ones, so that a product
computes ``w x + b`` and its gradient the row sums with it. Every call writes into memory that is kept from step to
step, through views that are made once; torch's own kernel gives the derivative of tanh in one pass.

Measured for a step in float32 on two cores, microseconds, all one run:

===================================================  ==========  ===========  ============  ===============
design                                               3-2-1, n=3  3-2-1, 2^14  3-2-1, 2^20   32-64-1, 2^16
===================================================  ==========  ===========  ============  ===============
this one                                             23          86           4,500         7,700
cached blocks, a pool of Python threads              23          132          6,700         12,400
cached blocks, one after the other                   23          97           6,100         11,700
torch.nn and torch.optim.SGD                         204         637          26,200        11,700
===================================================  ==========  ===========  ============  ===============

Those runs did not cut a batch of 2^20 rows at all. On two cores of an EPYC with 32 MiB of last cache, blocks of 8, 16,
32, 64 and 512 MiB took 5,640, 5,970, 6,890, 6,930 and 7,090 us at 3-2-1, n = 2^20, and 11,900, 12,200, 14,700, 14,700
and 14,900 us at 32-64-1, n = 2^16 (fastest calls, interleaved).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params
from backends.layout import copy_feature_major

BLOCK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 29}
"""Memory of a step: a batch that needs more is cut into blocks. On a CPU they then stay in its last cache."""

_times_tanh_derivative = torch.ops.aten.tanh_backward.grad_input  # g * (1 - h^2) in one pass


class Block(NamedTuple):
    """Inputs ``x [i + 1, rows]``, the last row ones, the same transposed, and targets ``y [o, rows]``."""

    x: Tensor
    x_transposed: Tensor
    y: Tensor


class Batch(NamedTuple):
    """Blocks of ``n`` rows in all, and ``1 / (n * outputs)`` as a tensor."""

    blocks: list[Block]
    n: int
    one_entry: Tensor


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector.

    ``layers`` are its views ``[o, i + 1]``, biases last; ``transposed`` their weights alone as ``[i, o]``. A view costs
    as much as a small product, so they are made once.
    """

    flat: Tensor
    layers: list[Tensor]
    transposed: list[Tensor]


class Outputs(NamedTuple):
    """Every layer's output ``h [size, rows]`` of one block.

    ``with_ones [size + 1, rows]`` is the same memory and a last row of ones (predicted has none), ``transposed`` that.
    """

    h: list[Tensor]
    with_ones: list[Tensor]
    transposed: list[Tensor]


class Scratch(NamedTuple):
    """Room for one block: outputs, error terms ``[size, rows]`` of every layer, and the gradients."""

    outputs: Outputs
    g: list[Tensor]
    error: Tensor
    gradients: Vector


def _full_precision(method: Any) -> Any:
    """Run a method whose products must not be TF32 or bfloat16, whatever the process-wide switch says meanwhile."""

    @wraps(method)
    def run(*arguments: Any) -> Any:
        before = torch.get_float32_matmul_precision()
        if before == "highest":
            return method(*arguments)
        torch.set_float32_matmul_precision("highest")
        try:
            return method(*arguments)
        finally:
            torch.set_float32_matmul_precision(before)

    return run


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
        self._kind: dict[str, Any] = {"dtype": getattr(torch, dtype), "device": device}
        row_bytes = (sum(network.sizes) + 2 * sum(network.sizes[1:])) * np.dtype(dtype).itemsize
        self.block_rows = max(1, BLOCK_BYTES[device] // row_bytes)
        self._kept: dict[int, Scratch] = {}

    def place_params(self, params: Sequence[Layer]) -> Vector:
        vector = self._empty_vector()
        for view, (w, b) in zip(vector.layers, self.host_params(params), strict=True):
            view[:, :-1] = torch.from_numpy(w)
            view[:, -1] = torch.from_numpy(b)
        return vector

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        starts = range(0, len(x), self.block_rows)
        blocks = [self._place_block(x[k : k + self.block_rows], y[k : k + self.block_rows]) for k in starts]
        return Batch(blocks, len(x), torch.full((), 1 / y.size, **self._kind))

    @_full_precision
    def forward(self, params: Vector, batch: Batch) -> list[Outputs]:
        tape = [self._empty_outputs(block.x.shape[1]) for block in batch.blocks]
        for block, outputs in zip(batch.blocks, tape, strict=True):
            _forward(params, block, outputs)
        return tape

    def backward(self, params: Vector, batch: Batch, tape: list[Outputs]) -> tuple[Tensor, Vector]:
        loss, gradients = self._gradients(params, batch, tape)
        return loss, self._vector(gradients.flat.clone())

    def update(self, params: Vector, gradients: Vector, learning_rate: float) -> Vector:
        params.flat.sub_(gradients.flat, alpha=learning_rate)
        return params

    def step(self, params: Vector, batch: Batch, learning_rate: float) -> tuple[Vector, Tensor]:
        loss, gradients = self._gradients(params, batch, None)
        params.flat.sub_(gradients.flat, alpha=learning_rate)
        return params, loss

    def train(self, params: Vector, batch: Batch, learning_rate: float, steps: int) -> tuple[Vector, Array]:
        losses = torch.empty(self.checked_steps(steps), **self._kind)
        for loss in losses.unbind():
            params, before = self.step(params, batch, learning_rate)
            loss.copy_(before)
        return self.trained(params, losses.cpu().numpy(), learning_rate)

    def outputs(self, tape: list[Outputs]) -> tuple[Array, ...]:
        layers = zip(*(block.h for block in tape), strict=True)
        return tuple(np.concatenate([h.cpu().numpy().T for h in layer]) for layer in layers)

    def fetch(self, params: Vector) -> Params:
        host = [view.cpu().numpy() for view in params.layers]
        return tuple(Layer(view[:, :-1].copy(), view[:, -1].copy()) for view in host)

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

    @_full_precision
    def _gradients(self, params: Vector, batch: Batch, tape: list[Outputs] | None) -> tuple[Tensor, Vector]:
        """Return the loss and its gradients, which the next call overwrites; without a tape it runs forward too."""
        scale = 2 / (batch.n * self.network.outputs)

        total = self._scratch(batch.blocks[0].x.shape[1]).gradients
        squares: Any = None
        for k, block in enumerate(batch.blocks):
            room = self._scratch(block.x.shape[1])
            outputs = room.outputs if tape is None else tape[k]
            if tape is None:
                _forward(params, block, outputs)
            more = _backward(params, block, outputs, scale, room, total.layers, first=k == 0)
            squares = more if k == 0 else squares.add_(more)
        return squares.mul_(batch.one_entry), total

    def _place_block(self, x: Array, y: Array) -> Block:
        placed, targets = np.empty((x.shape[1] + 1, len(x)), x.dtype), np.empty((y.shape[1], len(y)), y.dtype)
        copy_feature_major(x, placed[:-1])
        copy_feature_major(y, targets)
        placed[-1] = 1
        on_device = torch.from_numpy(placed).to(self.device)
        return Block(on_device, on_device.T, torch.from_numpy(targets).to(self.device))

    def _vector(self, flat: Tensor) -> Vector:
        shapes = [(o, i + 1) for o, i in self.network.layer_shapes]
        parts = flat.split([o * i for o, i in shapes])
        layers = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return Vector(flat, layers, [view[:, :-1].T for view in layers])

    def _empty_vector(self) -> Vector:
        return self._vector(torch.empty(self.network.parameter_count, **self._kind))

    def _empty_outputs(self, rows: int) -> Outputs:
        hidden = [torch.empty(size + 1, rows, **self._kind) for size in self.network.sizes[1:-1]]
        for h in hidden:
            h[-1] = 1
        predicted = torch.empty(self.network.outputs, rows, **self._kind)
        return Outputs([*(h[:-1] for h in hidden), predicted], [*hidden, predicted], [h.T for h in hidden])

    def _scratch(self, rows: int) -> Scratch:
        """Return the room for a block of that many rows, kept between steps."""
        if rows not in self._kept:
            g = [torch.empty(size, rows, **self._kind) for size in self.network.sizes[1:]]
            self._kept[rows] = Scratch(self._empty_outputs(rows), g, g[-1].view(-1), self._empty_vector())
        return self._kept[rows]


def _forward(params: Vector, block: Block, outputs: Outputs) -> None:
    """Write every layer's output of one block."""
    below = block.x
    last = len(params.layers) - 1
    for k, w in enumerate(params.layers):
        h = outputs.h[k]
        torch.mm(w, below, out=h)
        if k < last:
            h.tanh_()
            below = outputs.with_ones[k]


def _backward(
    params: Vector, block: Block, outputs: Outputs, scale: float, room: Scratch, gradients: list[Tensor], first: bool
) -> Tensor:
    """Write the gradients of a run's first block, add those of a later one; return the block's sum of squares."""
    g = torch.sub(outputs.h[-1], block.y, out=room.g[-1])
    squares = room.error.dot(room.error)
    g.mul_(scale)
    for k in range(len(gradients) - 1, -1, -1):
        below = outputs.transposed[k - 1] if k else block.x_transposed
        if first:
            torch.mm(g, below, out=gradients[k])
        else:
            gradients[k].addmm_(g, below)
        if k:
            g = torch.mm(params.transposed[k], g, out=room.g[k - 1])
            _times_tanh_derivative(g, outputs.h[k - 1], grad_input=g)
    return squares
