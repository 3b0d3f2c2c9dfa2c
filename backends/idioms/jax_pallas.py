"""The network in JAX for a GPU with kernels in Pallas, if it has few parameters: one pass over X and y for a step.

It is what the tuned backend is held against on a GPU, which leaves the kernels to XLA. Times of both, interleaved::

    python -m bench limits --device cuda --backends jax,jax-pallas --all

Tests: `tests/backends/idioms/test_jax_pallas.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from backends import jax_narrow
from backends.idioms import pallas_kernels
from backends.idioms.fused_plan import rows_of_a_thread
from backends.jax_backend import JaxBackend
from backends.jax_kernels import Kernels


class JaxPallas(JaxBackend):
    """JAX, kernels in Pallas for a narrow network; a wide one is as in the tuned backend."""

    name = "jax-pallas"
    capabilities = replace(JaxBackend.capabilities, devices=("cuda",))
    interpreted: ClassVar[bool] = False
    """Whether Pallas interprets the kernels, which runs them on a CPU."""

    def takes_narrow(self) -> bool:
        """Return whether a thread has registers for the network."""
        return rows_of_a_thread(self.network, np.dtype(self.dtype).itemsize) > 0

    def form_of(self, rows: int) -> type:
        """Return the narrow form for every batch of a network that takes it."""
        return jax_narrow.Batch if self._narrow else super().form_of(rows)

    def compiled(self) -> dict[type, Kernels]:
        """Return the kernels of each form."""
        of_forms = super().compiled()
        if not self._narrow:
            return of_forms
        fused = pallas_kernels.kernels(self.network, self.optimizer, self.block_rows, self.interpreted)
        return of_forms | {jax_narrow.Batch: fused}
