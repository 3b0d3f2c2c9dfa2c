"""The connection between a process that measures and its parent: it sends records and is given turns.

Only the standard library is imported.

Tests: `tests/bench/measure/test_turns.py`.
"""

from __future__ import annotations

import json
import socket
from typing import Any, TextIO


class CampaignGone(BaseException):
    """The parent process has ended, so nobody would read what is measured."""


class Channel:
    """The connection to the parent process, which lets one process work at a time."""

    def __init__(self, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as ours:
            self._up: TextIO = ours.makefile("w", encoding="utf-8")
            self._down: TextIO = ours.makefile("r", encoding="utf-8")

    def receive(self) -> str:
        """Return the next line from the parent.

        Raises:
            CampaignGone: it has ended.
        """
        if line := self._down.readline():
            return line
        raise CampaignGone

    def send(self, event: str, **fields: Any) -> None:
        """Send one record at once; values that JSON does not know are sent as numbers or as text."""
        self._up.write(json.dumps({"event": event, **fields}, default=_plain) + "\n")
        self._up.flush()

    def wait(self, cell: int, stage: int, turn: int = 0) -> None:
        """Wait for this process's turn. The next turn goes to the process with the least cell, stage and turn number.

        Raises:
            CampaignGone: the parent has ended.
        """
        self.send("waits", cell=cell, stage=stage, turn=turn)
        self.receive()


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: numbers of numpy have ``item``."""
    try:
        return value.item()
    except (AttributeError, ValueError):
        return str(value)
