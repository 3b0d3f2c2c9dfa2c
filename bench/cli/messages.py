"""Sentences for people, wrapped at 80 columns between words; a command or a path that they would copy is never broken.

Errors, warnings and notes go to stderr. Tables and colours are `bench.report.terminal`'s.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
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


def error(text: object) -> None:
    """Say what went wrong, and what to do."""
    note(str(text), "error: ")


def warn(text: object) -> None:
    """Say what to bear in mind; the work goes on."""
    note(str(text), "warning: ")


def note(text: str, lead: str = "") -> None:
    """Say something that is not what was asked for."""
    print(wrap(text, lead), file=sys.stderr)


class Warnings(logging.Formatter):
    """Log records as warnings like any other: that a stored file could not be read, say."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, wrapped."""
        return wrap(record.getMessage(), f"{record.levelname.lower()}: ")
