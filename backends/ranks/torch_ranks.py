"""Ranks joined by torch.distributed: gloo for host vectors, NCCL for tensors on CUDA.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined] # documented, not in its __all__

from backends.errors import RanksError
from backends.ranks.addresses import interface_towards
from backends.ranks.engine import Engine
from backends.ranks.launch import Launch
from backends.ranks.meeting import meeting

GATHERED_BYTES = 1 << 14
"""Up to these bytes a sum on the host gathers every rank's vector and adds them up here. Gloo's all-reduce takes two
exchanges, a gathering one, and it is their number that a short sum waits for; of two ranks it moves as many bytes.
"""


class TorchRanks(Engine):
    """The default process group of torch.distributed; one that the program has made already is used as it is."""

    engine = "torch"

    def __init__(self, launch: Launch, timeout_s: float) -> None:
        self._made = not dist.is_initialized()
        if self._made:
            self._initialize(launch, timeout_s)
        # A group of the program's may have NCCL alone, which sums no host vectors.
        self._host = None if self._made else dist.new_group(backend="gloo")
        super().__init__(dist.get_rank(), dist.get_world_size(), timeout_s)

    def _initialize(self, launch: Launch, timeout_s: float) -> None:
        address, port = meeting(launch)
        if "GLOO_SOCKET_IFNAME" not in os.environ and (interface := interface_towards(address)):
            # Else gloo takes the address that the host's own name resolves to, on Debian 127.0.1.1.
            os.environ["GLOO_SOCKET_IFNAME"] = interface
        limit = timedelta(seconds=2 * timeout_s + 1)  # the watch ends a wait sooner, with a better sentence
        first = launch.rank == 0 and launch.launcher != "torchrun"  # torchrun holds the port for a store of its own
        try:
            store = TCPStore(address, port, launch.size, first, timedelta(seconds=timeout_s))
            kinds = "gloo"
            if torch.cuda.is_available() and dist.is_nccl_available():
                kinds = "cpu:gloo,cuda:nccl"
                torch.cuda.set_device((launch.local_rank or 0) % torch.cuda.device_count())
            dist.init_process_group(
                kinds,
                store=PrefixStore("backprop-bench", store),
                rank=launch.rank,
                world_size=launch.size,
                timeout=limit,
            )
        except (RuntimeError, ValueError) as error:
            raise RanksError(
                f"rank {launch.rank} of {launch.size} could not meet the others at {address}:{port}: "
                f"{str(error).splitlines()[0]}; check that all ranks are started and that the port is free"
            ) from error

    def sum(self, vector: Any) -> Any:
        """Return the sum over all ranks, in the memory of ``vector``: numpy's, or a tensor's."""
        tensor = torch.from_numpy(vector) if isinstance(vector, np.ndarray) else vector
        with self.lost("a sum"):
            if tensor.is_cuda:
                dist.all_reduce(tensor)
            elif tensor.nbytes > GATHERED_BYTES:
                dist.all_reduce(tensor, group=self._host)
            else:
                self._gathered_sum(tensor)
        return vector

    def _gathered_sum(self, tensor: torch.Tensor) -> None:
        """Replace a vector by the sum over ranks, added up in their order: the same bits on each."""
        parts = list(torch.empty((self.size, *tensor.shape), dtype=tensor.dtype).unbind())
        dist.all_gather(parts, tensor, group=self._host)
        torch.add(parts[0], parts[1], out=tensor)
        for part in parts[2:]:
            tensor += part

    def gather(self, text: str) -> list[str]:
        """Return every rank's text, by rank."""
        said: list[str] = [""] * self.size
        with self.lost("an agreement"):
            dist.all_gather_object(said, text, group=self._host)
        return said

    def leave(self) -> None:
        """Destroy the process group if it was made here."""
        if self._made:
            dist.destroy_process_group()
