"""The scripts of the charts: Vega, Vega-Lite and vega-embed, bundled from the installed package and cached.

Bundling takes as long as the rest of a report. So it runs in a separate process at the same time, and the result is
kept in the user's cache folder. If that cannot be written, they are bundled each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from bench.basics.files import write_text
from bench.machine import system

DIGEST = "\n// sha256 "
BUNDLE = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"


class Vega:
    """Starts bundling when it is made; as a context manager it ends bundling that nobody waited for."""

    def __init__(self) -> None:
        self._text = _read()
        self._process: subprocess.Popen[str] | None = None
        if not self._text:
            command = [sys.executable, "-c", BUNDLE]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")

    def __enter__(self) -> Vega:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def result(self) -> str:
        """Return the scripts, such that nothing in them ends their element; wait for them if that is needed.

        Raises:
            RuntimeError: they could not be bundled.
        """
        if self._process and not self._text:
            text, _ = self._process.communicate()
            if self._process.returncode or not text:
                raise RuntimeError("vl_convert could not bundle the scripts that draw; see its message above")
            self._text = inert(text)
            _keep(self._text)
        return self._text


def scripts() -> str:
    """Return the scripts, from the cache if it has them."""
    with Vega() as begun:
        return begun.result()


def inert(script: str) -> str:
    """Return a script of ours such that nothing in it ends its element."""
    return script.replace("</script", "<\\/script")


def kept_at() -> Path:
    """Return where the scripts of the installed version are kept.

    Raises:
        OSError: this user has no folder for them.
    """
    return system.kept_file(f"vega-{version('vl-convert-python')}.js")


def _read() -> str:
    """Return the scripts that are kept, '' if there are none or a part of them was lost."""
    try:
        text, _, digest = kept_at().read_bytes().decode().rpartition(DIGEST)
    except (OSError, ValueError):
        return ""
    return text if digest == _digest(text) else ""


def _keep(text: str) -> None:
    """Write the scripts and their hash; a folder that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError):
        path = kept_at()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"{text}{DIGEST}{_digest(text)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
