"""What is trained and how: a network, its optimiser and its mini-batches, and the text that names all of it.

The text begins as a network's own and adds what is not the default: ``3-2-1``, ``3-2-1/relu``,
``784-128-10/relu/cross-entropy/adam/beta1=0.8/rows_per_step=128``. A stored row has it in its column ``network``, so
that two workloads are never taken for one.

Tests: `tests/bench/workload/test_workload.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from backends import OPTIMIZERS, Capabilities, Descent, Network, Optimizer, parse_optimizer

ROWS_PER_STEP = "rows_per_step"


@dataclass(frozen=True)
class Workload:
    """A network with its activation and loss, and how it is trained.

    Attributes:
        network: layer sizes, activation and loss.
        optimizer: what follows from the gradients.
        rows_per_step: rows of a mini-batch; ``None`` if each step takes all rows.

    Raises:
        ValueError: ``rows_per_step`` below one.
    """

    network: Network
    optimizer: Optimizer = field(default_factory=Descent)
    rows_per_step: int | None = None

    def __post_init__(self) -> None:
        if self.rows_per_step is not None and self.rows_per_step < 1:
            raise ValueError(f"{ROWS_PER_STEP} must be 1 or more, got {self.rows_per_step}")

    @classmethod
    def parse(cls, text: str) -> Workload:
        """Read what ``str`` writes, in any order behind the sizes.

        Raises:
            ValueError: a word that is neither an activation, a loss, an optimiser nor a number with a name; or two of a
                kind.
        """
        return _parsed(text.strip())

    @classmethod
    def of(cls, what: Workload | Network) -> Workload:
        """Return a workload as it is, and a network as one that is trained by gradient descent on all rows."""
        return what if isinstance(what, Workload) else cls(what)

    def __str__(self) -> str:
        words = [str(self.network)]
        optimizer, _, parameters = str(self.optimizer).partition(":")
        words += [optimizer] if self.optimizer != Descent() else []
        words += parameters.split(",") if parameters else []
        words += [f"{ROWS_PER_STEP}={self.rows_per_step}"] if self.rows_per_step else []
        return "/".join(words)

    @property
    def kind(self) -> Workload:
        """The workload with sizes of 1 or 2 and mini-batches of one row; times of equal kinds may be blended."""
        least = 1 if self.network.loss == "mse" else 2
        network = replace(self.network, sizes=(1, 1, least))
        return replace(self, network=network, rows_per_step=1 if self.rows_per_step else None)

    @property
    def is_usual(self) -> bool:
        """Whether it is the default: tanh, mean squared error, gradient descent on all rows."""
        return self == Workload(Network(self.network.sizes))

    def step_rows(self, rows: int) -> int:
        """Return the rows that a step takes, of a placed batch of ``rows``."""
        return min(self.rows_per_step or rows, rows)

    def columns(self) -> dict[str, Any]:
        """Return the workload as columns of a stored row; ``rows_per_step`` is 0 if each step takes all rows."""
        return {
            "network": str(self),
            "activation": self.network.activation,
            "loss": self.network.loss,
            "optimizer": str(self.optimizer),
            ROWS_PER_STEP: self.rows_per_step or 0,
        }

    def lacking(self, offered: Capabilities) -> str:
        """Return what a backend with these capabilities does not have of it, '' if it has all."""
        for what, asked, known in (
            ("activation", self.network.activation, offered.activations),
            ("loss", self.network.loss, offered.losses),
            ("optimizer", self.optimizer.name, offered.optimizers),
        ):
            if asked not in known:
                return f"has no {what} {asked!r}, only {', '.join(known)}"
        return "has no mini-batches" if self.rows_per_step and not offered.minibatches else ""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Workload:
    sizes, *words = text.split("/")
    parameters = [word for word in words if "=" in word]
    optimizers = [word for word in words if word in OPTIMIZERS]
    network = Network.parse("/".join([sizes, *(word for word in words if word not in (*parameters, *optimizers))]))
    if len(optimizers) > 1:
        raise ValueError(f"a network is trained by one optimizer, got {' and '.join(optimizers)} in {text!r}")
    rows = [word for word in parameters if word.startswith(f"{ROWS_PER_STEP}=")]
    of_optimizer = [word for word in parameters if word not in rows]
    if of_optimizer and not optimizers:
        known = ", ".join(OPTIMIZERS)
        raise ValueError(f"{of_optimizer[0]!r} in {text!r} belongs to no optimizer; name one of {known}")
    optimizer = parse_optimizer(":".join([*optimizers, ",".join(of_optimizer)]).strip(":") or "descent")
    if len(rows) > 1:
        raise ValueError(f"{ROWS_PER_STEP} is given twice in {text!r}")
    count = None
    if rows:
        value = rows[0].partition("=")[2]
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"{ROWS_PER_STEP} must be a whole number of 1 or more, got {value!r}")
        count = int(value)
    return Workload(network, optimizer, count)
