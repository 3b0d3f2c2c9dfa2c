"""The network: its layer sizes, the activation of its hidden layers and its loss. Parameters are one `Layer` each.

Tests: `tests/backends/test_contract.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from backends.functions import ACTIVATIONS, LOSSES

Array = NDArray[Any]


class Layer(NamedTuple):
    """Weights ``[out, in]`` and biases ``[out]`` of one layer, or their gradients."""

    weights: Array
    biases: Array


Params = tuple[Layer, ...]
"""One `Layer` for each layer of a network, hidden layers first."""


@dataclass(frozen=True)
class Network:
    """A dense network.

    Args:
        sizes: layer sizes ``(inputs, hidden..., outputs)``.
        activation: of the hidden layers, a name in `ACTIVATIONS`; the output layer has none.
        loss: a name in `LOSSES`.

    Raises:
        ValueError: fewer than three sizes, a size below one, an unknown activation or loss, or cross-entropy of one
            output.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    loss: str = "mse"

    def __post_init__(self) -> None:
        asked: Any = self.sizes
        try:
            given = tuple(asked)
            sizes = tuple(int(size) for size in given)
        except (TypeError, ValueError, OverflowError):
            given, sizes = (), (1,)
        if sizes != given:
            hint = "; read a text with Network.parse" if isinstance(asked, str) else ""
            raise ValueError(f"network sizes must be whole numbers such as (3, 2, 1), got {self.sizes!r}{hint}")
        if len(sizes) < 3 or min(sizes) < 1:
            raise ValueError(
                f"a network needs inputs, at least one hidden layer and outputs, each of size 1 or more, "
                f"got {'-'.join(map(str, sizes)) or 'nothing'}; for example 3-2-1"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"no activation {self.activation!r}; known: {', '.join(ACTIVATIONS)}")
        if self.loss not in LOSSES:
            raise ValueError(f"no loss {self.loss!r}; known: {', '.join(LOSSES)}")
        if self.loss == "cross-entropy" and sizes[-1] < 2:
            raise ValueError(
                "cross-entropy needs one output a class, at least 2, got 1: the softmax of one output is always 1; "
                "for two classes use 2 outputs"
            )
        object.__setattr__(self, "sizes", sizes)

    @classmethod
    def parse(cls, text: str) -> Network:
        """Read what ``str`` writes: ``"3-2-1"``, ``"3-2-1/relu"``, ``"3-2-4/relu/cross-entropy"``.

        Raises:
            TypeError: it is no text.
            ValueError: the text is not whole numbers joined by ``-``, then at most one activation and one loss.
        """
        if not isinstance(text, str):
            raise TypeError(f"a network is read from a text such as '3-2-1', got {text!r}")
        sizes, *words = text.strip().split("/")
        if not re.fullmatch(r"\d+(-\d+)*", sizes):
            raise ValueError(f"a network is written as sizes joined by '-', for example 3-2-1, got {text!r}")
        chosen: dict[str, str] = {}
        for word in words:
            kind = "activation" if word in ACTIVATIONS else "loss"
            if (word not in ACTIVATIONS and word not in LOSSES) or kind in chosen:
                raise ValueError(
                    f"after the sizes a network has at most one activation ({', '.join(ACTIVATIONS)}) and one loss "
                    f"({', '.join(LOSSES)}), for example 3-2-1/relu/mse, got {text!r}"
                )
            chosen[kind] = word
        return cls(tuple(int(size) for size in sizes.split("-")), **chosen)

    def __str__(self) -> str:
        words = ["-".join(map(str, self.sizes))]
        words += [self.activation] if self.activation != "tanh" else []
        words += [self.loss] if self.loss != "mse" else []
        return "/".join(words)

    @property
    def inputs(self) -> int:
        """Features of one row of inputs."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Values predicted for one row."""
        return self.sizes[-1]

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(out, in)`` of each layer's weights."""
        return tuple(zip(self.sizes[1:], self.sizes[:-1], strict=True))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases together."""
        return sum(o * i + o for o, i in self.layer_shapes)

    def loss_terms(self, rows: int) -> int:
        """Return the number of terms that the loss of this many rows is the mean of: ``N`` in `backends.base`."""
        return rows * self.outputs if LOSSES[self.loss].mean_over == "entries" else rows
