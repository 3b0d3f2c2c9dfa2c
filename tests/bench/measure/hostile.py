"""Backends that end, stop or leave the process that judges them, each in its own way."""

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from backends.conformance.plain import Plain


class Right(Plain):
    """Does nothing wrong."""


class Segfault(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        ctypes.string_at(0)


class ExitsWithZero(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        os._exit(0)


class RaisesSystemExit(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        raise SystemExit(0)


class RaisesKeyboardInterrupt(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        raise KeyboardInterrupt


class Odd(BaseException):
    pass


class RaisesBaseException(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        raise Odd("as asked")


class RaisingInit(Plain):
    def __init__(self, *arguments: Any) -> None:
        raise RuntimeError("no room\x1b[31m in the \udc80 house")


class Hangs(Plain):
    def forward(self, params: Any, batch: Any) -> Any:
        if noted := os.environ.get("HOSTILE_PID_FILE"):
            Path(noted).write_text(str(os.getpid()))
        time.sleep(600)


LONG = "L" * 300
globals()[LONG] = type(LONG, (Right,), {})
