"""Sentences wrapped at 80 columns between words; a command or a path that people would copy is never broken."""

from __future__ import annotations

import re
import shutil
import textwrap

WIDTH = 80
COMMAND = re.compile(r"(?:python -m bench|backprop-bench|pip install)(?: [^\s;]*[^\s;,:)])+")
UNBROKEN_SPACE = "\N{NO-BREAK SPACE}"


def wrap(text: str, lead: str = "") -> str:
    """Return ``lead`` and ``text``, whose further lines are indented by as much as the lead is long."""
    width, indent = min(WIDTH, shutil.get_terminal_size().columns), " " * len(lead)
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        kept = COMMAND.sub(lambda found: found[0].replace(" ", UNBROKEN_SPACE), line)
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
