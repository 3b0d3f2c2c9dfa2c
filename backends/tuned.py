"""Constants that ``python -m bench tune`` keeps for this machine, in place of what was best where they were measured.

A backend's module asks for its constants when it is imported. The values are in one small JSON file a machine, in the
user's cache folder; it is read once, and a file that cannot be used is ignored with one line that says why. The
environment variable `VARIABLE` names another file, or is ``off``.

``docs/tuning.md`` says which constants these are.

Tests: `tests/backends/test_tuned.py`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from backends import processor
from backends.caches import caches

VARIABLE, OFF = "BACKPROP_BENCH_TUNED", "off"
FORMAT = 1
NEVER = 1 << 62
"""The size from which on something is done that is never done."""
MOST_FACTOR = 16
"""A value further from its default than this is no result of a trial."""
AGAIN = "run: python -m bench tune"

OF_THE_PROCESSOR = (
    "vendor_id", "cpu family", "model", "model name", "stepping",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision",
)  # fmt: skip
"""Lines of ``/proc/cpuinfo`` that name a processor; others change from minute to minute."""

logger = logging.getLogger(__name__)


class Value(NamedTuple):
    """A constant's value for this machine.

    Attributes:
        value: that was proven faster.
        default: than this one. If the code has another default now, the value says nothing any more.
        version: of the framework that it was tried with.
    """

    value: int
    default: int
    version: str


class Stored(NamedTuple):
    """What the file holds.

    Attributes:
        values: that may be used, by the name of the constant.
        fault: why others may not, and what to do; '' if all may.
    """

    values: Mapping[str, Value] = {}
    fault: str = ""


DEFAULTS: dict[str, int] = {}
"""Every constant that was asked for in this process."""


def tuned(name: str, default: int) -> int:
    """Return the value of a constant on this machine, its default unless another was proven faster.

    Args:
        name: begins with the framework's, as ``numpy-long-rows`` does.
        default: what was best where it was measured.
    """
    DEFAULTS[name] = default
    kept = stored().values.get(name)
    return kept.value if kept and kept.default == default else default


def in_force() -> dict[str, int]:
    """Return the values that differ from the defaults, as far as backends have asked for them in this process."""
    values = {name: tuned(name, default) for name, default in DEFAULTS.items()}
    return {name: value for name, value in sorted(values.items()) if value != DEFAULTS[name]}


def as_text() -> str:
    """Return what the file says as ``NAME=value; NAME=value``: a condition of everything that is measured here."""
    return "; ".join(f"{name}={kept.value}" for name, kept in sorted(stored().values.items()))


def path() -> Path | None:
    """Return the file of this machine, which need not be there; ``None`` if tuned values are off."""
    asked = os.environ.get(VARIABLE, "")
    if asked:
        return None if asked == OFF else Path(asked)
    try:
        return user_caches() / "backprop-bench" / f"tuned-{machine()}.json"
    except OSError:
        return None


def user_caches() -> Path:
    """Return where programs of this user keep what they can make again, by the custom of the system.

    Raises:
        OSError: this user has no home folder, as a number without a name in a container.
    """
    home = os.path.expanduser("~")
    asked = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if os.path.isabs(asked) and sys.platform != "darwin":
        return Path(asked)
    if not os.path.isabs(home):
        raise FileNotFoundError(errno.ENOENT, "this user has no home folder", home)
    return Path(home) / "Library" / "Caches" if sys.platform == "darwin" else Path(home) / ".cache"


@lru_cache
def machine() -> str:
    """Return a short hash of processor, caches and number of cores: machines may share a folder."""
    facts = [platform.machine(), str(os.cpu_count()), *map(str, caches())]
    facts += [f"{name} : {value}" for name, value in processor.facts().items() if name in OF_THE_PROCESSOR]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


@lru_cache
def stored() -> Stored:
    """Return what the file of this machine holds; nothing, with one line in the log, if it cannot be used."""
    file = path()
    try:
        text = file.read_text(encoding="utf-8") if file else ""
    except FileNotFoundError:
        return Stored()
    except (OSError, ValueError) as error:
        return _reported(Stored(fault=f"{file} cannot be read ({error}); {AGAIN}"))
    return _reported(read(text, str(file))) if text else Stored()


def read(text: str, source: str) -> Stored:
    """Return the usable values of a file's text; ``source`` names it."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            return Stored(fault=f"{source} has format {document['format']!r}, expected {FORMAT}; {AGAIN}")
        if document["machine"] != machine():
            return Stored(fault=f"{source} is of another machine; {AGAIN}")
        values = {str(name): _value(name, entry) for name, entry in document["values"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return Stored(fault=f"{source} is no file of tuned values ({type(error).__name__}: {error}); {AGAIN}")
    stale = [name for name, kept in values.items() if kept.version != framework_version(name)]
    fault = f"{source} was made with another version of what computes {', '.join(stale)}; {AGAIN}" if stale else ""
    return Stored({name: kept for name, kept in values.items() if name not in stale}, fault)


def text_of(values: Mapping[str, tuple[int, int]]) -> str:
    """Return the text of a file of values, each with its default, for this machine and its frameworks."""
    entries = {name: Value(*pair, framework_version(name))._asdict() for name, pair in values.items()}
    return json.dumps({"format": FORMAT, "machine": machine(), "values": entries}, indent=1) + "\n"


def framework_version(name: str) -> str:
    """Return the version of the framework that a constant's name begins with; '' if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name.partition("-")[0])
    except PackageNotFoundError:
        return ""


def _value(name: str, entry: Any) -> Value:
    """Return an entry of the file.

    Raises:
        ValueError: numbers that no trial gives.
    """
    value, default = entry["value"], entry["default"]
    for number in (value, default):
        if type(number) is not int or number < 1:
            raise ValueError(f"{name}: expected a whole number of 1 or more, got {number!r}")
    if not default <= MOST_FACTOR * value <= MOST_FACTOR**2 * default:
        raise ValueError(f"{name}: {value} is more than {MOST_FACTOR} times off its default, {default}")
    return Value(value, default, str(entry["version"]))


def _reported(result: Stored) -> Stored:
    if result.fault:
        logger.warning("ignored: %s", result.fault)
    return result
