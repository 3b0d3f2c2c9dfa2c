"""Which packages are installed, without importing them, and the command that installs missing ones.

Tests: `tests/backends/test_registry.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

DISTRIBUTION = "backprop-bench"


def is_installed(module: str) -> bool:
    """Return whether a top-level module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # it is there by name alone
        return module in sys.modules and sys.modules[module] is not None


def install_command(*extras: str) -> str:
    """Return the command that installs extras of this distribution: from the checkout that runs, or from the index."""
    wanted = f"[{','.join(extras)}]"
    if (Path(__file__).resolve().parents[1] / "pyproject.toml").is_file():
        return f"pip install -e '.{wanted}'"
    return f"pip install '{DISTRIBUTION}{wanted}'"


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group; called late, since the search takes as long as importing this package."""
    from importlib.metadata import entry_points as registered

    return registered(group=group)
