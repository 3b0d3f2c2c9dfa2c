"""Errors, warnings and notes for people, on stderr. Tables and colours are `bench.terminal.terminal`'s."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

from bench.terminal.wrapping import wrap

MEASURE = "python -m bench run --quick"
"""What errors advise where nothing fits that was stored."""


def error(text: object) -> None:
    """Say what went wrong, and what to do."""
    note(str(text), "error: ")


def in_folder(text: str, results: Path | None) -> str:
    """Return an error whose advice to measure names the folder of runs that the command was asked for, if any."""
    return text if results is None else text.replace(MEASURE, f"{MEASURE} --results {shlex.quote(str(results))}")


def warn(text: object) -> None:
    """Print a warning; the work goes on."""
    note(str(text), "warning: ")


def note(text: str, lead: str = "") -> None:
    """Print a note in addition to what was asked for."""
    print(wrap(text, lead), file=sys.stderr)


def warn_of_environment() -> None:
    """Say which variables of the environment slow the backends down."""
    from bench import machine
    from bench.machine.environment import slowdowns, speed_variables
    from bench.measure.process_environment import OWN_VARIABLES

    for line in slowdowns(speed_variables(ours=OWN_VARIABLES), machine.fingerprint()["cpu_features"]):
        warn(line)


def warn_of_logged() -> None:
    """Let log records that no one else handles be warnings like any other, each once, however often it is logged."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in said
        said.add(text)
        return new

    if logging.lastResort:
        logging.lastResort.setFormatter(Warnings())
        logging.lastResort.filters[:] = [is_new]


class Warnings(logging.Formatter):
    """Log records as warnings like any other: that a stored file could not be read, say."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, wrapped."""
        return wrap(record.getMessage(), f"{record.levelname.lower()}: ")
