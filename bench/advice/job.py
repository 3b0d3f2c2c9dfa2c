"""What a person asks about: a network, rows, steps, and what it may run on."""

from __future__ import annotations

import contextlib
import numbers
from dataclasses import dataclass, field
from typing import Any, Literal

from backends import Descent, Network, Optimizer
from bench.advice.time_model import Shape
from bench.basics.names import CACHES, DEVICES, DTYPES
from bench.workload import Workload

Work = Literal["train", "forward"]
WORK: tuple[Work, ...] = ("train", "forward")


MOST = 10**18
"""Rows or steps: what takes longer than the universe is old needs no advice."""


@dataclass(frozen=True)
class Job:
    """A job; the phases that its time comes from are `phases`.

    Attributes:
        network: layer sizes, activation and loss.
        rows: of the batch.
        steps: of gradient descent; passes forward for ``phase="forward"``.
        threads: that it may use; ``None`` lets each backend have the number that it is fastest with.
        device: ``"cpu"`` or ``"cuda"``; ``None`` weighs every device that was measured.
        dtype: ``"float32"`` or ``"float64"``.
        cache: whether the compile cache is ``"warm"`` (the job ran before) or ``"cold"``.
        phase: ``"train"``, or ``"forward"`` for inference: a pass forward with fresh inputs each time.
        fresh: whether each step of training has a new batch, which is placed first.
        optimizer: that it trains with.
        rows_per_step: rows of a mini-batch; ``None`` if each step takes all.

    Raises:
        ValueError: rows, steps or any other that cannot be.
    """

    network: Network
    rows: int
    steps: int = 1000
    threads: int | None = None
    device: str | None = None
    dtype: str = "float32"
    cache: str = "warm"
    phase: Work = "train"
    fresh: bool = False
    optimizer: Optimizer = field(default_factory=Descent)
    rows_per_step: int | None = None

    def __post_init__(self) -> None:
        for name, said in (("rows", "batch"), ("steps", "steps"), ("threads", "threads"), ("rows_per_step",) * 2):
            if (value := getattr(self, name)) is not None or name in ("rows", "steps"):
                object.__setattr__(self, name, _whole(said, value))
        for name, words in (("dtype", DTYPES), ("device", (None, *DEVICES)), ("cache", CACHES)):
            if (value := getattr(self, name)) not in words:
                raise ValueError(f"{name} must be {' or '.join(filter(None, words))}, got {value!r}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be 1 or more, got {self.threads}")
        if self.rows < 1 or self.steps < 0:
            raise ValueError(f"batch must be 1 or more and steps 0 or more, got batch {self.rows}, steps {self.steps}")
        if self.phase not in WORK:
            raise ValueError(f"phase must be train or forward, got {self.phase!r}")
        if self.rows_per_step is not None:
            if not 1 <= self.rows_per_step <= self.rows:
                raise ValueError(
                    f"rows_per_step must be from 1 to the {self.rows} rows of the batch, got {self.rows_per_step}"
                )
            if self.places:
                raise ValueError(
                    "rows_per_step takes mini-batches from one placed batch, while fresh and forward place each batch; "
                    f"leave rows_per_step out and ask for a batch of {self.rows_per_step} rows"
                )

    @property
    def workload(self) -> Workload:
        """The network and how it is trained; a pass forward has no use for an optimiser."""
        return Workload(self.network, Descent() if self.places else self.optimizer, self.rows_per_step)

    @property
    def shape(self) -> Shape:
        """The workload and the rows."""
        return Shape(str(self.workload), self.rows)

    @property
    def places(self) -> bool:
        """Whether every step begins with a new batch."""
        return self.fresh or self.phase == "forward"

    @property
    def phases(self) -> tuple[str, ...]:
        """The measured phases that its time comes from: any of them if each step uses the same batch, else both."""
        if self.phase == "forward":
            return ("place", "forward")
        return ("place", "step") if self.fresh else ("step", "train")

    def is_measured_by(self, phases: frozenset[str]) -> bool:
        """Return whether cells of these phases tell what the job takes."""
        return phases.issuperset(self.phases) if self.places else not phases.isdisjoint(self.phases)


def _whole(what: str, value: Any) -> int:
    """Return a whole number, which may be written as a float, up to `MOST`.

    Raises:
        ValueError: it is none, or beyond.
    """
    number: int | None = None
    real = isinstance(value, numbers.Real)
    with contextlib.suppress(ValueError, OverflowError):  # NaN and infinity
        number = int(value) if real else None
    if number is None or number != value:
        raise ValueError(f"{what} must be a whole number, got {value!r}")
    if number > MOST:
        raise ValueError(f"{what} may be up to 10^18, got {number if number < MOST**2 else 'more than 10^36'}")
    return number
