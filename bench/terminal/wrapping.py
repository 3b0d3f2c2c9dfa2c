"""Sentences wrapped at 80 columns between words; a command or a path that people would copy is never broken.

Tests: `tests/bench/terminal/test_terminal.py`.
"""

from __future__ import annotations

import re
import shutil
import textwrap

from bench.basics.formats import printable

WIDTH = 80
COMMAND = re.compile(r"(?:python -m bench|backprop-bench|pip install)(?: [^\s;]*[^\s;,:)])+")
UNBROKEN_SPACE = "\N{NO-BREAK SPACE}"


def line_width() -> int:
    """Return how many columns lines may take: those of the terminal, 80 at most."""
    return max(20, min(WIDTH, shutil.get_terminal_size().columns))


def wrap(text: str, lead: str = "") -> str:
    """Return ``lead`` and ``text``, whose further lines are indented by as much as the lead is long."""
    width, indent = line_width(), " " * len(lead)
    lines: list[str] = []
    for line in text.removesuffix("\n").split("\n"):
        kept = COMMAND.sub(lambda match: match[0].replace(" ", UNBROKEN_SPACE), printable(line))
        first = indent if lines else lead
        lines += textwrap.wrap(
            kept,
            width,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]
    return "\n".join(lines).replace(UNBROKEN_SPACE, " ")
