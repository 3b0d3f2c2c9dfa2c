"""Types of the flags that commands share: text in, value out, and an error that says what was expected."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from backends import Network

T = TypeVar("T")

SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "m": 60.0, "h": 3600.0}


def network(text: str) -> Network:
    """Read ``3-2-1``."""
    from backends import Network

    try:
        return Network.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """Read a whole number of 1 or more; ``1_048_576`` is one."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return value


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not re.fullmatch(r"[0-9]+(_[0-9]+)*", text.strip()):
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Read a duration: ``90``, ``90s``, ``3min``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", text.strip())
    value = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90, 90s or 3min, got {text!r}")
    return value


def name(text: str) -> str:
    """Read one name."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, got nothing")
    return text.strip()


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a type that reads one of some names."""

    def read(text: str) -> str:
        if text.strip() not in choices:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(choices)}, got {text.strip()!r}")
        return text.strip()

    return read


def several(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return a type that reads values joined by commas, each once, in the order given."""

    def read_all(text: str) -> tuple[T, ...]:
        values = tuple(dict.fromkeys(read(part) for part in text.split(",") if part.strip()))
        if not values:
            raise argparse.ArgumentTypeError(f"expected values joined by commas, got {text!r}")
        return values

    return read_all


def alias(parser: argparse._ActionsContainer, flag: str, dest: str, read: Callable[[str], Any]) -> None:
    """Accept the old name of a flag; ``--help`` does not show it."""
    parser.add_argument(flag, dest=dest, type=read, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def fraction(text: str) -> float:
    """Read a share of one: ``5%`` or ``0.05``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 5% or 0.05, got {text!r}")
    return value
