"""The line between a process that measures and its parent: records up, turns down. Standard library alone."""

from __future__ import annotations

import json
import socket
from typing import Any, TextIO


class Channel:
    """The line to the parent process, which lets one process work at a time."""

    def __init__(self, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as ours:
            self._file: TextIO = ours.makefile("w", encoding="utf-8")
            self._turns: TextIO = ours.makefile("r", encoding="utf-8")

    def send(self, event: str, **fields: Any) -> None:
        """Send one record, at once."""
        self._file.write(json.dumps({"event": event, **fields}) + "\n")
        self._file.flush()

    def wait(self, cell: int, stage: int, turn: int = 0) -> None:
        """Wait for this process's turn; it goes to the one that is least far by cell, stage of it and turns had."""
        self.send("waits", cell=cell, stage=stage, turn=turn)
        if not self._turns.readline():
            raise SystemExit("the campaign is gone")
