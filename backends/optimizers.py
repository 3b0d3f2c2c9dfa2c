"""The optimisers: how parameters follow from gradients. One entry each, with its mathematics once.

An optimiser may keep moments, arrays in the form of the params, and the number of updates so far. They are the
`State`, which lives inside a backend's params. All moments start at zero.

Tests: `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NamedTuple

from backends.network import Params


class State(NamedTuple):
    """What an optimiser keeps between updates, as host arrays.

    Attributes:
        updates: number of updates so far; 0 for an optimiser that has no use for it.
        moments: by the names in `Optimizer.moments`, each in the form and dtype of the params.
    """

    updates: int
    moments: Mapping[str, Params]


@dataclass(frozen=True)
class Optimizer(ABC):
    """How ``update`` follows from the gradients. ``str`` writes it, `parse_optimizer` reads it."""

    name: ClassVar[str]
    moments: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays it keeps."""
    counts_updates: ClassVar[bool] = False

    @abstractmethod
    def advance(self, w: Any, g: Any, moments: tuple[Any, ...], t: int, rate: float) -> tuple[Any, tuple[Any, ...]]:
        """Return new parameters and moments, from the gradients ``g``; ``t`` is the number of this update, from 1.

        The mathematics, in operators that any framework's arrays have; nothing given is written to.
        """

    def __str__(self) -> str:
        changed = [
            f"{field.name}={_short(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{self.name}:{','.join(changed)}" if changed else self.name

    def _check(self, **limits: tuple[float, float]) -> None:
        """Raise `ValueError` if a field is not a number in ``[low, high)``."""
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            is_number = isinstance(value, Real)
            if not (is_number and low <= value < high):
                upper = "" if high == math.inf else f" and less than {high:g}"
                raise ValueError(f"{name} of {self.name} must be at least {low:g}{upper}, got {value!r}")


@dataclass(frozen=True)
class Descent(Optimizer):
    """Gradient descent."""

    name = "descent"

    def advance(self, w: Any, g: Any, moments: tuple[Any, ...], t: int, rate: float) -> tuple[Any, tuple[Any, ...]]:
        """Return ``w - rate g``."""
        return w - rate * g, ()


@dataclass(frozen=True)
class Momentum(Optimizer):
    """Descent along a sum of past gradients, as `torch.optim.SGD` and `optax.sgd` with ``momentum``."""

    name = "momentum"
    moments = ("velocity",)

    momentum: float = 0.9

    def __post_init__(self) -> None:
        self._check(momentum=(0, 1))

    def advance(self, w: Any, g: Any, moments: tuple[Any, ...], t: int, rate: float) -> tuple[Any, tuple[Any, ...]]:
        """Return ``w - rate v`` with the new ``v = momentum v + g``."""
        v = self.momentum * moments[0] + g
        return w - rate * v, (v,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam with bias correction; with ``weight_decay`` it is AdamW, of weights and biases alike.

    As `torch.optim.AdamW` and `optax.adamw`: ``epsilon`` is added outside the root.
    """

    name = "adam"
    moments = ("m", "v")
    counts_updates = True

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check(beta1=(0, 1), beta2=(0, 1), epsilon=(0, math.inf), weight_decay=(0, math.inf))

    def corrections(self, t: int) -> tuple[float, float]:
        """Return ``1 - beta1^t`` and ``1 - beta2^t`` without the cancellation of that form."""
        return self._correction(self.beta1, t), self._correction(self.beta2, t)

    def advance(self, w: Any, g: Any, moments: tuple[Any, ...], t: int, rate: float) -> tuple[Any, tuple[Any, ...]]:
        """Return ``w - rate (m^ / (sqrt(v^) + epsilon) + weight_decay w)``.

        With ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``, ``m^ = m / (1 - beta1^t)``,
        ``v^ = v / (1 - beta2^t)``.
        """
        m = self.beta1 * moments[0] + (1 - self.beta1) * g
        v = self.beta2 * moments[1] + (1 - self.beta2) * (g * g)
        m_correction, v_correction = self.corrections(t)
        step = (m / m_correction) / ((v / v_correction) ** 0.5 + self.epsilon)
        return w - rate * (step + self.weight_decay * w), (m, v)

    @staticmethod
    def _correction(beta: float, t: int) -> float:
        return -math.expm1(t * math.log(beta)) if beta else 1.0


def _short(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return short if float(short := f"{value:g}") == value else repr(float(value))


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (Descent, Momentum, Adam)}


def parse_optimizer(text: str) -> Optimizer:
    """Read what ``str`` writes: ``"adam"``, ``"momentum:momentum=0.8"``, ``"adam:beta1=0.8,weight_decay=0.01"``.

    Raises:
        TypeError: it is no text.
        ValueError: an unknown optimiser or parameter, or a value out of its range.
    """
    if not isinstance(text, str):
        raise TypeError(f"an optimizer is read from a text such as 'adam', got {text!r}")
    name, _, rest = text.strip().partition(":")
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")
    kind = OPTIMIZERS[name]
    known = [field.name for field in dataclasses.fields(kind)]
    values: dict[str, float] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        try:
            values[key.strip()] = float(value)
        except ValueError:
            raise ValueError(f"a parameter is written name=number, for example beta1=0.9, got {part!r}") from None
    if unknown := [key for key in values if key not in known]:
        offered = f"it has {', '.join(known)}" if known else "it has none"
        raise ValueError(f"optimizer {name!r} has no parameter {unknown[0]!r}; {offered}")
    return kind(**values)
