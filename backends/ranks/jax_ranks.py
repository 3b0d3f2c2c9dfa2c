"""Ranks joined by JAX's distributed runtime: sums by ``psum`` inside jit, texts by its key-value store.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from backends.errors import RanksError
from backends.ranks.addresses import name_resolves_to
from backends.ranks.engine import Engine
from backends.ranks.launch import Launch
from backends.ranks.meeting import meeting

HEARTBEAT_S = 10


class JaxRanks(Engine):
    """The processes of ``jax.distributed``, with one device each; a runtime that the program has started is used."""

    engine = "jax"

    def __init__(self, launch: Launch, timeout_s: float) -> None:
        self._made = not jax.distributed.is_initialized()
        if self._made:
            _initialize(launch, timeout_s)
        super().__init__(jax.process_index(), jax.process_count(), timeout_s)
        firsts = [next(d for d in jax.devices() if d.process_index == rank) for rank in range(self.size)]
        self._mesh = Mesh(np.array(firsts), ("ranks",))
        self._whole = NamedSharding(self._mesh, PartitionSpec("ranks"))
        self._texts = 0

    def sum(self, vector: Any) -> Any:
        """Return the sum over all ranks: in the memory of a numpy vector, or of a JAX array a new one."""
        own = isinstance(vector, jax.Array)
        with self.lost("a sum"), jax.enable_x64(vector.dtype.itemsize == 8):
            mine = vector if own else jax.device_put(vector, jax.local_devices()[0])
            whole = jax.make_array_from_single_device_arrays((self.size * len(vector),), self._whole, [mine])
            total = _summing(self._mesh)(whole).addressable_data(0)
            if own:
                return total
            vector[...] = total
        return vector

    def gather(self, text: str) -> list[str]:
        """Return every rank's text, by rank."""
        self._texts += 1
        client = _client()
        with self.lost("an agreement"):
            client.key_value_set(f"backprop-bench/{self._texts}/{self.rank}", text)
            limit_ms = int(2000 * self.timeout_s) + 1000  # the watch ends a wait sooner, with a better sentence
            keys = [f"backprop-bench/{self._texts}/{rank}" for rank in range(self.size)]
            return [str(client.blocking_key_value_get(key, limit_ms)) for key in keys]

    def leave(self) -> None:
        """Shut the runtime down if it was started here."""
        if self._made:
            jax.distributed.shutdown()


def _initialize(launch: Launch, timeout_s: float) -> None:
    resolved = name_resolves_to()
    if resolved is None or (resolved.startswith("127.") and launch.local_size not in (None, launch.size)):
        raise RanksError(
            f"JAX's ranks find each other by this host's name, which resolves to {resolved or 'nothing'}: name its "
            "address on the network in /etc/hosts, or ask for engine 'mpi' or 'torch'"
        )
    address, port = meeting(launch, own_port=True)
    jax.config.update("jax_enable_preemption_service", False)  # else SIGTERM does not end a rank
    try:
        jax.distributed.initialize(
            f"{address}:{port}",
            launch.size,
            launch.rank,
            local_device_ids=None if launch.local_rank is None or not _has_gpus() else [launch.local_rank],
            initialization_timeout=max(1, int(timeout_s)),
            heartbeat_timeout_seconds=max(HEARTBEAT_S, int(timeout_s)),
        )
    except (RuntimeError, ValueError) as error:
        raise RanksError(
            f"rank {launch.rank} of {launch.size} could not meet the others at {address}:{port}: "
            f"{str(error).splitlines()[0]}; join before JAX computes anything, and check that the port is free"
        ) from error


def _has_gpus() -> bool:
    """Return whether a plugin for GPUs is installed, without starting JAX's devices: that comes after joining."""
    from importlib.metadata import entry_points

    return any("cuda" in point.name for point in entry_points(group="jax_plugins"))


def _client() -> Any:
    """Return the client of the key-value store; JAX shows it under a private name alone, which Orbax uses as well."""
    from jax._src.distributed import global_state

    return global_state.client


@lru_cache
def _summing(mesh: Mesh) -> Any:
    """Return the jitted sum over ranks of a vector ``[size * length]`` whose part ``[rank]`` is each rank's."""
    each, same = PartitionSpec("ranks"), PartitionSpec()
    return jax.jit(jax.shard_map(lambda mine: lax.psum(mine, "ranks"), mesh=mesh, in_specs=each, out_specs=same))
