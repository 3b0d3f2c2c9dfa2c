"""What a backend offers: dtypes, devices, workloads, determinism.

Tests: `tests/backends/test_contract.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.network import Network
from backends.optimizers import Optimizer

DTYPES = ("float32", "float64")


DEVICES = ("cpu", "cuda")

MOST_THREADS = 1024
"""More are refused: frameworks start as many as they are told, and the machine would have none left to start."""


Scope = Literal["process", "processes", "threads"]


@dataclass(frozen=True)
class Capabilities:
    """What a backend offers. Callers and tests look here, not at its name. The defaults hold for any backend.

    Attributes:
        dtypes: names out of `DTYPES`.
        devices: names out of `DEVICES` that the framework can drive; one may still be missing on this machine.
        deterministic: under which changes equal input gives equal bits: repeated calls in one ``"process"``, other
            ``"processes"`` with the same number of threads, other numbers of ``"threads"``. Empty: no promise.
        products: the precision of matrix products: ``"ieee"`` (that of the dtype), ``"tf32"`` or ``"bf16"``.
        compiles: whether the first call of each shape compiles.
        activations: names out of `ACTIVATIONS`.
        losses: names out of `LOSSES`.
        optimizers: names out of `OPTIMIZERS`.
        minibatches: whether it has ``rows_per_step`` in `train`, `split` and `reorder`.
        threads: whether the number of threads can be chosen when a backend is loaded.
        shares: whether `place_batch` takes ``of``; `backends.Shares` does without.
    """

    dtypes: tuple[str, ...] = DTYPES
    devices: tuple[str, ...] = ("cpu",)
    deterministic: frozenset[Scope] = frozenset({"process", "processes"})
    products: Literal["ieee", "tf32", "bf16"] = "ieee"
    compiles: bool = False
    activations: tuple[str, ...] = ("tanh",)
    losses: tuple[str, ...] = ("mse",)
    optimizers: tuple[str, ...] = ("descent",)
    minibatches: bool = False
    threads: bool = False
    shares: bool = False

    def require(
        self,
        backend: str,
        network: Network,
        dtype: str | None = None,
        device: str | None = None,
        optimizer: Optimizer | None = None,
        threads: int | None = None,
        *,
        minibatches: bool = False,
    ) -> None:
        """Raise `ValueError` for the first of these that the backend of that name lacks; it says what is offered."""
        for what, got, offered in (
            ("dtype", dtype, self.dtypes),
            ("device", device, self.devices),
            ("activation", network.activation, self.activations),
            ("loss", network.loss, self.losses),
            ("optimizer", optimizer.name if optimizer else None, self.optimizers),
        ):
            if got is not None and got not in offered:
                raise ValueError(f"backend {backend!r} has no {what} {got!r}; it offers {', '.join(offered)}")
        if minibatches and not self.minibatches:
            raise ValueError(f"backend {backend!r} has no mini-batches; it offers whole batches: omit rows_per_step")
        if threads is not None:
            if not self.threads:
                raise ValueError(f"backend {backend!r} cannot choose its number of threads: omit threads={threads}")
            if not hasattr(threads, "__index__"):
                raise TypeError(f"threads must be a whole number, got {threads!r}")
            if threads < 1:
                raise ValueError(f"threads must be 1 or more, got {threads}")
            if threads > MOST_THREADS:
                raise ValueError(f"threads must be {MOST_THREADS:,} or fewer, got {threads:,}")
