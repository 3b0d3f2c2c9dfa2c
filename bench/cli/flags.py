"""Types of the flags that commands share: text in, value out, and an error that says what was expected.

Tests: `tests/bench/cli/test_flags.py`, `tests/bench/cli/test_messages.py`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from backends import Network
    from bench.results import Run
    from bench.training.form import Form

T = TypeVar("T")

SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "m": 60.0, "h": 3600.0}


def network(text: str) -> Network:
    """Read ``3-2-1``."""
    from backends import Network

    try:
        return Network.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(text: str) -> int:
    """Read a whole number of 0 or more, also as people write and this project prints it: ``1e6``, ``1,000``, ``1_000``.

    Raises:
        ValueError: it is none, or has more than 30 digits.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+|[0-9]+(_[0-9]+)*", text) and len(text) <= 40:
        return int(text.replace(",", ""))
    if re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,30})?[eE]\+?[0-9]{1,2}", text):
        value = Decimal(text)
        if value < 10**30 and value == value.to_integral_value():
            return int(value)
    raise ValueError(f"expected a whole number, got {text!r}")


def _at_least(least: int, text: str, expected: str) -> int:
    """Read a whole number of ``least`` or more."""
    try:
        value = whole(text)
    except ValueError:
        value = -1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    return _at_least(1, text, "a whole number of 1 or more")


def rows(text: str) -> int:
    """Read a number of rows."""
    return _at_least(1, text, "a number of rows such as 4096 or 1e6")


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    return _at_least(0, text, "a whole number of 0 or more")


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


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, instead of text")


def add_results(parser: argparse._ActionsContainer) -> None:
    """Add ``--results``."""
    parser.add_argument("--results", type=Path, metavar="DIR", help="folder of all runs (results)")


def leading_to(stored: Run) -> str:
    """Return the flag that leads another command to where a run is kept, '' if it looks there anyway."""
    from bench.results import results_root

    if stored.path.is_relative_to(results_root()):
        return ""
    return f" --results {shlex.quote(str(stored.path.parent.parent))}"


def add_margin(parser: argparse._ActionsContainer, meaning: str) -> None:
    """Add ``--margin``, whose default is 5 %."""
    parser.add_argument("--margin", type=fraction, default=0.05, metavar="M", help=f"{meaning} (5%%)")


def add_table_form(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a table is written, for what its file does not say by itself."""
    form = parser.add_argument_group("how the table is written (each error names the flag that reads it)")
    form.add_argument("--delimiter", metavar="C", help="between fields: ';', a tab, ' ' for runs of blanks")
    form.add_argument("--encoding", metavar="NAME", help="such as utf-16 or cp1252 (default UTF-8, or by its mark)")
    form.add_argument("--decimal", metavar="C", help="before the fraction of a number: , (default a dot)")
    form.add_argument("--thousands", metavar="C", help="between groups of three digits: . or , or ' '")
    form.add_argument("--skip-rows", type=count, default=0, metavar="N", help="lines before the header to leave out")
    form.add_argument("--comment", metavar="TEXT", help="leave out lines that begin so, such as '#'")
    form.add_argument(
        "--units-row",
        type=count,
        nargs="?",
        const=1,
        default=0,
        metavar="N",
        help="leave out N lines after the header (1)",
    )
    form.add_argument(
        "--missing", nargs="+", action="extend", default=[], metavar="TEXT", help="marks a missing value, such as '?'"
    )
    form.add_argument(
        "--strip", nargs="+", action="extend", default=[], metavar="TEXT", help="leave out around numbers, such as %%"
    )


def table_form(args: argparse.Namespace) -> Form:
    """Return what the flags of `add_table_form` say.

    Raises:
        UsageError: a flag that has no meaning.
    """
    from bench.training.form import Form

    return Form(
        delimiter="\t" if args.delimiter in ("\\t", "tab") else args.delimiter,
        encoding=args.encoding,
        decimal=args.decimal,
        thousands=args.thousands,
        comment=args.comment,
        skip_rows=args.skip_rows,
        units_row=args.units_row,
        missing=tuple(args.missing),
        strip=tuple(args.strip),
    )
