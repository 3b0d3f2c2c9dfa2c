"""The network in PyTorch for a GPU with kernels in Triton, if it has one hidden layer of few units: one pass over X
and y for a step.

It is what the tuned backend is held against on a GPU, which calls a kernel of torch for each operation. Times of both,
interleaved::

    python -m bench limits --device cuda --backends torch,torch-triton --all

Tests: `tests/backends/idioms/test_torch_triton.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.base import Array, Descent, Network, Optimizer
from backends.idioms import triton_kernels
from backends.idioms.fused_plan import Plan, plan_of, plan_of_one, rows_of_a_thread
from backends.torch_backend import TorchBackend
from backends.torch_batch import Batch
from backends.torch_workspace import Outputs, Trained, Vector

ACTIVATIONS = ("tanh", "relu", "identity")


class TorchTriton(TorchBackend):
    """PyTorch, kernels in Triton for a narrow network; any other is as in the tuned backend."""

    name = "torch-triton"
    capabilities = replace(TorchBackend.capabilities, devices=("cuda",))

    def __init__(
        self,
        network: Network,
        dtype: str = "float32",
        device: str = "cuda",
        optimizer: Optimizer | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(network, dtype, device, optimizer, threads)
        self._itemsize = np.dtype(dtype).itemsize
        written = len(network.sizes) == 3 and network.activation in ACTIVATIONS and network.loss == "mse"
        self.is_fused = written and rows_of_a_thread(network, self._itemsize) > 0
        if self.is_fused:
            self._batches.block_rows = self.block_rows = 1 << 62  # never cut: no outputs of layers are kept
        self._rate: tuple[float, Tensor] = (float("nan"), torch.empty(0))

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, Tensor]:
        if of := self._plan_of_one(batch):
            return params, self._trained(params, batch, learning_rate, 1, of)[0]
        return super().step(params, batch, learning_rate)

    def train(
        self, params: Trained, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Trained, Array]:
        of = self._plan_of_one(batch)
        if of is None or rows_per_step not in (None, batch.n):
            return super().train(params, batch, learning_rate, steps, rows_per_step)
        losses = self._trained(params, batch, learning_rate, self.checked_steps(steps), of)
        return self.trained(params, losses.cpu().numpy(), learning_rate)

    def _plan_of_one(self, batch: Batch) -> Plan | None:
        """Return how one program makes steps on a batch; ``None`` if that is not its way."""
        if not self.is_fused or not isinstance(self.optimizer, Descent) or batch.of != batch.n:
            return None
        return plan_of_one(self.network, self._itemsize, batch.n)

    def _trained(self, params: Trained, batch: Batch, learning_rate: float, steps: int, of: Plan) -> Tensor:
        """Train in one kernel; return the losses."""
        losses = torch.empty(steps, **self._kind)
        (block,) = batch.blocks
        arrays = (params.flat, block.x, block.y, batch.terms.inverse, self._placed_rate(learning_rate), losses)
        triton_kernels.train_kernel[(1,)](*arrays, batch.n, steps, *self._constants(of), num_warps=of.warps)
        return losses

    def _gradients(self, params: Trained, batch: Batch, tape: list[Outputs] | None) -> tuple[Tensor, Vector]:
        if tape is not None or not self.is_fused or batch.n == 0:
            return super()._gradients(params, batch, tape)  # type: ignore[no-any-return] # of a decorator
        of = plan_of(self.network, self._itemsize, batch.n)
        count = self.network.parameter_count
        sums = torch.empty((of.programs, count + 1), **self._kind)
        (block,) = batch.blocks
        triton_kernels.gradients_kernel[(of.programs,)](
            params.flat, block.x, block.y, batch.terms.inverse, sums, batch.n, *self._constants(of), num_warps=of.warps
        )
        total = sums.sum(0)
        return total[-1].mul(batch.terms.inverse), self._workspace.vector(total[:-1])

    def _constants(self, of: Plan) -> tuple[Any, ...]:
        """Return what a kernel is compiled for."""
        return (*self.network.sizes, self.network.activation, of.rows, of.blocks)

    def _placed_rate(self, learning_rate: float) -> Tensor:
        """Return the learning rate on the device, kept from step to step."""
        if self._rate[0] != learning_rate:
            self._rate = self.checked_rate(learning_rate), torch.full((), self._rounded(learning_rate), **self._kind)
        return self._rate[1]
