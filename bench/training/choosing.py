"""Which backend trains: the one asked for, the one that `recommend` names, or the first that works.

Tests: `tests/bench/training/test_training.py`.
"""

from __future__ import annotations

import backends
import bench
from backends import Backend, BackendUnavailable, Network, Optimizer
from bench.basics.errors import UsageError
from bench.training.over_ranks import as_whole_machine

PREFERRED = {"cpu": ("numpy", "torch", "numba", "jax"), "cuda": ("torch", "jax")}
"""By device, the order in which backends are tried if nothing was measured: those first that start at once, since
compiling takes seconds, which the few thousand steps of an ordinary table do not win back."""


def load_backend(
    name: str,
    network: Network,
    dtype: str,
    device: str,
    optimizer: Optimizer | None = None,
    minibatches: bool = False,
) -> Backend:
    """Return the backend asked for by name.

    Raises:
        BackendUnavailable: it is not on this machine.
        UsageError: there is none of that name, or it lacks something asked for.
    """
    try:
        return _able(name, network, dtype, device, optimizer, minibatches)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--backend: {error}") from error


def _able(
    name: str, network: Network, dtype: str, device: str, optimizer: Optimizer | None, minibatches: bool
) -> Backend:
    """Return a backend, or raise `ValueError` if it lacks something."""
    backend = backends.load(name, network, dtype, device, optimizer)
    backend.capabilities.require(name, network, minibatches=minibatches)
    return backend


def choose_backend(
    network: Network,
    batch: int,
    steps: int,
    dtype: str,
    device: str,
    optimizer: Optimizer | None = None,
    rows_per_step: int | None = None,
) -> tuple[Backend, str]:
    """Return the backend to train on if none was named, and the reason: a measurement if there is one.

    Raises:
        BackendUnavailable: none can do it; says why for each.
    """
    minibatches = rows_per_step is not None
    try:
        with as_whole_machine():
            advice = bench.recommend(
                network, batch, steps, dtype, device, optimizer=optimizer, rows_per_step=rows_per_step
            )
        if ":" in advice.backend:  # the name of a stored run may lead to any package
            raise BackendUnavailable(f"{advice.backend} is the fastest measured; to train with it, name it: --backend")
        threads = advice.threads if len(advice.searched_threads) > 1 else None
        backend = backends.load(advice.backend, network, dtype, device, optimizer, threads=threads)
        backend.capabilities.require(advice.backend, network, minibatches=minibatches)
    except (BackendUnavailable, ValueError) as error:
        backend = first_available(network, dtype, device, optimizer, minibatches)
        return backend, "nothing was measured here" if isinstance(error, UsageError) else str(error)
    return backend, f"recommended: {advice.outcome}, {advice.basis}"


def first_available(
    network: Network, dtype: str, device: str, optimizer: Optimizer | None = None, minibatches: bool = False
) -> Backend:
    """Return the first backend of a fixed order that works here and has all that is asked for.

    Raises:
        BackendUnavailable: none does; says why for each.
    """
    reasons = []
    installed = backends.available()
    for name in sorted(installed, key=[*PREFERRED[device], *installed].index):
        try:
            return _able(name, network, dtype, device, optimizer, minibatches)
        except (BackendUnavailable, ValueError) as error:
            reasons.append(str(error))
    raise BackendUnavailable(f"no backend has network {network} in {dtype} on {device}: {'; '.join(reasons)}")
