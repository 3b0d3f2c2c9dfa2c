"""Training in chunks, each inside the framework, on a backend asked for or chosen. No files and no text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import backends
import bench
from backends import Backend, BackendUnavailable, Network, Params, TrainingDiverged
from backends.base import Array
from bench.errors import UsageError
from bench.problem import initial_params
from bench.training.standardise import Floats

HIDDEN_UNITS = 32
DEFAULT_STEPS = 3000
CHUNK_S = 0.3
FIRST_CHUNK = 8

# Where nothing was measured, those first that start at once: compiling for a new network takes seconds, which the
# few thousand steps of an ordinary table do not win back. A measurement knows better, and `recommend` has it.
PREFERRED = {"cpu": ("numpy", "torch", "numba", "jax"), "cuda": ("torch", "jax")}

Notice = Callable[[int, float], bool]
"""Told the steps done and the latest loss after each chunk; returns whether to go on."""


@dataclass(frozen=True)
class Training:
    """What training gave.

    Attributes:
        params: host copy of the last parameters.
        losses: the loss before each step that was done, in standardised units.
        complete: whether all steps asked for were done.
        seconds: how long it took, compilation included.
    """

    params: Params
    losses: Array
    complete: bool
    seconds: float


def start_params(network: Network, seed: int) -> Params:
    """Return the float64 parameters that training starts from; equal seeds give equal ones for every backend."""
    return initial_params(network, "float64", np.random.default_rng([seed, *network.sizes]))


def default_learning_rate(network: Network) -> float:
    """Return a rate that learns well and did not diverge on nine kinds of synthetic table.

    The curvature of the loss at the start has a trace of about ``2 sum(in + 1)`` over the layers for standardised
    inputs, so descent is stable below 1 over that sum, and in practice well beyond. On linear, smooth, heavy-tailed,
    binary, collinear, wide and several-target tables of 200 to 1,000 rows, hidden layers of 32, 64 and 32-32: twice it
    never diverged and learns nearly as fast as the fastest; four times it sometimes overshoots; a fixed 0.1 diverged.
    """
    return float(f"{min(0.1, 2 / sum(i + 1 for _, i in network.layer_shapes)):.2g}")


def load_backend(name: str, network: Network, dtype: str, device: str) -> Backend:
    """Return the backend asked for by name.

    Raises:
        BackendUnavailable: it is not on this machine.
        UsageError: there is none of that name, or it lacks the dtype or device.
    """
    try:
        return backends.load(name, network, dtype, device)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--backend: {error}") from error


def choose_backend(network: Network, batch: int, steps: int, dtype: str, device: str) -> tuple[Backend, str]:
    """Return the backend to train on when none was asked for, and why that one: measured where there is a measurement.

    Raises:
        BackendUnavailable: none can do it; says why for each.
    """
    try:
        advice = bench.recommend(network, batch, steps, dtype, device)
        if ":" in advice.backend:  # the name of a stored run may lead to any package
            raise BackendUnavailable(f"{advice.backend} is the fastest measured; to train with it, name it: --backend")
        threads = advice.threads if len(advice.searched_threads) > 1 else None
        backend = backends.load(advice.backend, network, dtype, device, threads=threads)
    except (BackendUnavailable, ValueError) as error:
        backend = first_available(network, dtype, device)
        return backend, "nothing was measured here" if isinstance(error, UsageError) else str(error)
    return backend, f"recommended: {advice.outcome}, {advice.basis}"


def first_available(network: Network, dtype: str, device: str) -> Backend:
    """Return the first backend of a fixed order that works here.

    Raises:
        BackendUnavailable: none does; says why for each.
    """
    reasons = []
    installed = backends.available()
    for name in sorted(installed, key=[*PREFERRED[device], *installed].index):
        try:
            return backends.load(name, network, dtype, device)
        except (BackendUnavailable, ValueError) as error:
            reasons.append(str(error))
    raise BackendUnavailable(f"no backend has network {network} in {dtype} on {device}: {'; '.join(reasons)}")


def train(
    backend: Backend, params: Params, x: Floats, y: Floats, learning_rate: float, steps: int, notice: Notice
) -> Training:
    """Train in chunks of about `CHUNK_S`, each inside the framework, with a word to ``notice`` after each.

    Raises:
        TrainingDiverged: counted from the first step of all, with every loss; losses not reached are NaN.
    """
    begun_s = time.monotonic()
    placed, batch = backend.place_params(params), backend.place_batch(x, y)
    losses = np.full(steps, np.nan, backend.dtype)
    done, chunk, compiled, go_on = 0, FIRST_CHUNK, 0, True
    while done < steps and go_on:
        count = min(chunk, steps - done)
        chunk_begun_s = time.monotonic()
        try:
            with np.errstate(all="ignore"):  # overflow is reported as divergence
                placed, new = backend.train(placed, batch, learning_rate, count)
        except TrainingDiverged as error:
            losses[done : done + count] = error.losses
            raise TrainingDiverged(done + error.step, losses, error.params, learning_rate) from None
        losses[done : done + count] = new
        done += count
        if chunk == compiled:  # a length's first run may compile, and says nothing of the next
            chunk = _next_chunk(chunk, time.monotonic() - chunk_begun_s)
        else:
            compiled = chunk
        go_on = notice(done, float(new[-1]))
    return Training(backend.fetch(placed), losses[:done], done == steps, time.monotonic() - begun_s)


def _next_chunk(chunk: int, seconds: float) -> int:
    """Return a power of two: longer while chunks are short, so that a compiler meets few different lengths."""
    if seconds < CHUNK_S / 8:
        return chunk * 8
    if seconds < CHUNK_S / 2:
        return chunk * 2
    return max(1, chunk // 2) if seconds > 2 * CHUNK_S else chunk
