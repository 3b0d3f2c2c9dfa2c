"""The run that a command shows if none is named, and the line that says so.

The rule is that of `bench.results.latest`. Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.basics.names import COMPARISON
from bench.cli import messages

if TYPE_CHECKING:
    from bench.results import Run


def named_or_latest(texts: Sequence[str], root: Path | None, command: str) -> list[Run]:
    """Return the runs that were named; without names the latest comparison, with a note that says which it is.

    Args:
        texts: as `bench.results.resolve` takes them.
        root: folder of all runs.
        command: that shows them.
    """
    from bench import results

    if texts:
        return [results.resolve(text, root) for text in texts]
    run = results.latest(root)
    others = [other.id for other in reversed(results.runs(root)) if other.id != run.id]
    such = f", such as {others[0]}" if others else ""
    messages.note(f"run {run.id}, {_what(run)}; another with: python -m bench {command} RUN{such}")
    return [run]


def _what(run: Run) -> str:
    """Return why a run is the one."""
    from bench.machine import machine_id

    where = "this machine" if run.machine == machine_id() else f"another machine, {run.machine}"
    if run.purpose == COMPARISON:
        return f"the latest comparison of {where}"
    return f"the latest of {where} (made by {run.purpose}; there is no comparison)"
