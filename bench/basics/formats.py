"""Numbers as short text with their unit, three significant digits at most, and foreign text made safe.

Tests: `tests/bench/terminal/test_terminal.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MISSING = "-"
TIME_UNITS = ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"))
BYTE_UNITS = tuple((1024.0**power, unit) for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))
RATE_UNITS = tuple((1000.0**power, prefix) for power, prefix in enumerate(("", "k", "M", "G", "T", "P")))


SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which no file and no table takes."""


def is_text(value: object) -> bool:
    """Return whether a value is text that a terminal, a file and a table take."""
    return isinstance(value, str) and not SURROGATE.search(value)


def printable(text: str) -> str:
    """Return text that any terminal takes: control characters and lone surrogates written as escapes, on one line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """Return text as `printable` does, with its line breaks kept."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "\n".join(printable(line) for line in text.split("\n"))


def shortened(text: str, most: int) -> str:
    """Return text cut to a number of letters; an ellipsis shows that some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def json_ready(value: Any) -> Any:
    """Return ``value`` made of what JSON can hold: ``None`` for what is not finite, tables as lists of records."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if hasattr(value, "to_dict"):
        return json_ready(value.to_dict("records"))
    return json_ready(value.tolist()) if hasattr(value, "tolist") else value


def counted(count: int, noun: str) -> str:
    """Return a count with its noun in the right number: ``1 thread``, ``2,000 threads``."""
    return f"{format_count(count)} {noun}{'s' * (count != 1)}"


def format_number(value: float | None) -> str:
    """Return ``value`` with three significant digits: ``0.00123``, ``12.3``, ``12,300``, ``1.23e-7``."""
    if _is_missing(value):
        return MISSING
    assert value is not None
    if value == 0 or math.isinf(value):
        return f"{value:g}"
    if 1e-4 <= abs(float(f"{value:.2e}")) < 1e6:
        return _three_digits(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def format_seconds(seconds: float | None) -> str:
    """Return a duration in the unit that suits it: ``1.23 us``, ``45.0 s``, ``20.6 min``."""
    # Seconds run up to ten minutes: "90.0 s" reads better than "1.50 min".
    return _scaled(seconds, TIME_UNITS, {"s": 600.0, "min": 600.0})


def interval_s(low_s: float, high_s: float) -> str:
    """Return an interval of durations, the unit once: ``1.02..1.10 us``; one process gives none."""
    if _is_missing(low_s) or _is_missing(high_s):
        return MISSING
    low, high = format_seconds(low_s), format_seconds(high_s)
    (number, unit), (_, other) = low.split(" "), high.split(" ")
    return f"{number if unit == other else low}..{high}"


def interval_beside(seconds: float, low_s: float, high_s: float) -> str:
    """Return an interval of durations in the unit in which ``seconds`` is shown beside it, without saying it again."""
    if _is_missing(low_s) or _is_missing(high_s):
        return MISSING
    shown = format_seconds(seconds).split(" ")[1]
    unit_s = next(scale for scale, unit in TIME_UNITS if unit == shown)
    return f"{format_number(low_s / unit_s)}..{format_number(high_s / unit_s)}"


def format_bytes(size: float | None) -> str:
    """Return a size in powers of 1024: ``512 B``, ``1.50 MiB``."""
    if size is not None and abs(size) < 1000:
        return f"{size:.0f} B"
    return _scaled(size, BYTE_UNITS)


def format_count(count: int | None) -> str:
    """Return a whole number, exact, with thousands separated: ``65,536``."""
    return MISSING if _is_missing(count) else f"{count:,}"


def format_ratio(ratio: float | None) -> str:
    """Return a ratio: ``1.23x``."""
    return MISSING if _is_missing(ratio) else f"{format_number(ratio)}x"


def format_percent(fraction: float | None) -> str:
    """Return a fraction of one as a percentage: ``12.3 %``."""
    return MISSING if _is_missing(fraction) else f"{format_number(100 * (fraction or 0.0))} %"


def format_rate(per_second: float | None, unit: str) -> str:
    """Return a rate with a decimal prefix: ``format_rate(1.5e9, "FLOP/s")`` is ``1.50 GFLOP/s``."""
    return _scaled(per_second, tuple((scale, prefix + unit) for scale, prefix in RATE_UNITS))


def _scaled(value: float | None, units: tuple[tuple[float, str], ...], limits: dict[str, float] | None = None) -> str:
    """Return ``value`` in the first unit in which it stays below 1000, or below that unit's own limit."""
    if _is_missing(value):
        return MISSING
    assert value is not None
    if value == 0 or math.isinf(value):
        return f"{value:g} {'s' if units is TIME_UNITS else units[0][1]}"
    for scale, unit in units:
        rounded = float(f"{value / scale:.2e}")
        if abs(rounded) < (limits or {}).get(unit, 1000.0):
            break
    if abs(rounded) < 0.01 or abs(rounded) >= 1e6:  # outside every unit
        return f"{format_number(rounded)} {unit}"
    return f"{_three_digits(rounded)} {unit}"


def _three_digits(value: float) -> str:
    """Return plain decimals, three significant digits, thousands separated."""
    rounded = float(f"{value:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
