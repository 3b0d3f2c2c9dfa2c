"""pytest's side of the kit: one test a claim, dtype and backend, for anyone's backend.

``pytest --pyargs backends.conformance --backend pkg.mod:Class``, and ``--dtype``, ``--device``. Where the distribution
is not installed, so that pytest cannot find this plugin, add ``-p backends.conformance.plugin``.
"""

from __future__ import annotations

from functools import cache

import pytest

from backends.base import DTYPES
from backends.conformance.report import Claim
from backends.conformance.subject import Subject
from backends.registry import available, find

PACKAGE = "backends.conformance"
JUDGED = pytest.StashKey[dict[str, Claim]]()


def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Add the options only where this package is asked for: they have common names, and other suites their own."""
    asked = [argument.replace("/", ".") for argument in args if argument != __name__]  # not ``-p`` alone
    if any(PACKAGE in argument for argument in asked):
        add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what was judged, for the summary."""
    config.stash[JUDGED] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the worst ratio of each claim, and what deserves a warning."""
    judged = terminalreporter.config.stash.get(JUDGED, {})
    if not judged:
        return
    terminalreporter.section("worst error / proven bound")
    for name, claim in judged.items():
        warning = f"; warning: {claim.warning} of the quality tier" if claim.warning else ""
        terminalreporter.write_line(f"{claim.ratio:9.3g}  {name}  {claim.case}{warning}")


def add_options(parser: pytest.Parser) -> None:
    """Add ``--backend``, ``--dtype`` and ``--device``, unless they are there already; a conftest may call this."""
    group = parser.getgroup("conformance", "conformance of backends")
    if any("--backend" in option.names() for option in group.options):
        return
    for name, metavar, what in (
        ("--backend", "NAME", "a backend by name or package.module:Class; repeat it for more (default: all here)"),
        ("--dtype", "DTYPE", "float32 or float64; repeat it for both (default: all that the backend has)"),
    ):
        group.addoption(name, metavar=metavar, action="append", default=None, help=what)
    group.addoption("--device", default="cpu", help="cpu or cuda (default: cpu)")


def subjects(config: pytest.Config) -> list[Subject]:
    """Return what is to be judged: each backend in each dtype.

    Raises:
        pytest.UsageError: an unknown backend, or one that lacks the dtype or the device.
    """
    device = config.getoption("--device", "cpu")
    found = []
    for name in config.getoption("--backend", None) or available():
        try:
            kind = find(name)
        except (ValueError, TypeError, RuntimeError) as error:
            raise pytest.UsageError(str(error)) from None
        dtypes = config.getoption("--dtype", None) or [dtype for dtype in DTYPES if dtype in kind.capabilities.dtypes]
        if unknown := [dtype for dtype in dtypes if dtype not in kind.capabilities.dtypes]:
            offered = ", ".join(kind.capabilities.dtypes)
            raise pytest.UsageError(f"backend {name!r} has no dtype {unknown[0]!r}; it offers {offered}")
        if device not in kind.capabilities.devices:
            offered = ", ".join(kind.capabilities.devices)
            raise pytest.UsageError(f"backend {name!r} has no device {device!r}; it offers {offered}")
        found += [subject_of(name, dtype, device) for dtype in dtypes]
    return found


@cache
def subject_of(name: str, dtype: str, device: str) -> Subject:
    """Return the one subject of a session, so that its instances are made once."""
    return Subject(name, dtype, device)
