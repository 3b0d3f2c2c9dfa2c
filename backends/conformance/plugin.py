"""pytest's side of the kit: one test a claim, dtype and backend, for anyone's backend.

``pytest --pyargs backends.conformance --conformance-backend pkg.mod:Class``, and ``--conformance-dtype``,
``--conformance-device``, ``--conformance-seed``; without their prefix the first three work too, unless another plugin
or a conftest has options of those names. Where the distribution is not installed, so that pytest cannot find this
plugin, add ``-p backends.conformance.plugin``.

What a test found travels in the properties of its report, so that it reaches JUnit files and, under pytest-xdist, the
process that prints.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Generator, Iterator
from functools import cache

import pytest

from backends.base import DTYPES
from backends.conformance.report import Claim
from backends.conformance.subject import Subject
from backends.registry import available, find

PACKAGE = "backends.conformance"
RATIO, CASE, WARNING, AGAIN = "conformance_ratio", "conformance_case", "conformance_warning", "conformance_again"
OPTIONS = (
    ("backend", "NAME", "a backend by name or package.module:Class; repeat it for more (default: all here)"),
    ("dtype", "DTYPE", "float32 or float64; repeat it for both (default: all that the backend has)"),
    ("device", "DEVICE", "cpu or cuda (default: cpu)"),
)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Add the options if an argument names the kit, after the conftests, which may have options of the same names."""
    yield
    asked = [argument.replace("/", ".") for argument in args if argument != __name__]  # not ``-p`` alone
    if any(PACKAGE in argument for argument in asked):
        add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Show the worst ratio of each claim before pytest's short summary, and after it how to judge failures again."""
    judged = list(_judged(terminalreporter))
    if judged:
        terminalreporter.section("worst error / proven bound")
    for name, told in judged:
        warning = f"; warning: {told[WARNING]} of the quality tier" if told.get(WARNING) else ""
        terminalreporter.write_line(f"{float(str(told[RATIO])):9.3g}  {name}  {told[CASE]}{warning}")
    yield
    for _, told in judged:
        if AGAIN in told:
            terminalreporter.write_line(f"again: {told[AGAIN]}")


def add_options(parser: pytest.Parser) -> None:
    """Add the options, unless they are there already, and their short names as far as these are free.

    A conftest may call this.
    """
    taken = _names(parser)
    if "--conformance-backend" in taken:
        return
    group = parser.getgroup("conformance", "conformance of backends")
    for name, metavar, what in OPTIONS:
        for flag in (f"--conformance-{name}", f"--{name}"):
            if flag not in taken:
                action = "store" if name == "device" else "append"
                group.addoption(
                    flag, dest=f"conformance_{name}", metavar=metavar, action=action, default=None, help=what
                )
    group.addoption("--conformance-seed", type=int, metavar="S", default=None, help="of the drawn shapes")


def subjects(config: pytest.Config) -> list[Subject]:
    """Return what is to be judged: each backend in each dtype.

    Raises:
        pytest.UsageError: an unknown backend, or one that lacks the dtype or the device.
    """
    here = str(config.invocation_params.dir)
    if here not in sys.path:  # as `python -m` has it, but last: a file here hides no module
        sys.path.append(here)
    device = config.getoption("conformance_device", None) or "cpu"
    seed = config.getoption("conformance_seed", None)
    chosen = []
    for name in config.getoption("conformance_backend", None) or available():
        try:
            kind = find(name)
        except (ValueError, TypeError, RuntimeError) as error:
            raise pytest.UsageError(str(error)) from None
        asked = config.getoption("conformance_dtype", None)
        dtypes = asked or [dtype for dtype in DTYPES if dtype in kind.capabilities.dtypes]
        if unknown := [dtype for dtype in dtypes if dtype not in kind.capabilities.dtypes]:
            offered = ", ".join(kind.capabilities.dtypes)
            raise pytest.UsageError(f"backend {name!r} has no dtype {unknown[0]!r}; it offers {offered}")
        if device not in kind.capabilities.devices:
            offered = ", ".join(kind.capabilities.devices)
            raise pytest.UsageError(f"backend {name!r} has no device {device!r}; it offers {offered}")
        chosen += [subject_of(name, dtype, device, seed) for dtype in dtypes]
    return chosen


@cache
def subject_of(name: str, dtype: str, device: str, seed: int | None) -> Subject:
    """Return the one subject of a session, so that its instances are made once."""
    return Subject(name, dtype, device) if seed is None else Subject(name, dtype, device, seed)


def properties(subject: Subject, claim: Claim, by_name: bool) -> list[tuple[str, object]]:
    """Return what a report tells of a claim; ``by_name`` if its case can be judged alone."""
    told: list[tuple[str, object]] = [(RATIO, claim.ratio), (CASE, claim.case)]
    if claim.warning:
        told.append((WARNING, claim.warning))
    if claim.status == "fail":
        device = "" if subject.device == "cpu" else f" --device {subject.device}"
        alone = by_name and "/n=" in claim.case and " " not in claim.case
        what = f"--case {claim.case}" if alone else f"--claim {shlex.quote(claim.name)} --seed {subject.seed}"
        command = f"python -m bench check --backend {shlex.quote(subject.name)} --dtype {subject.dtype}{device} {what}"
        told.append((AGAIN, command))
    return told


def _judged(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each test of the kit by the part of its name in brackets, and what its report tells."""
    for reports in reporter.stats.values():
        for report in reports:
            told = dict(getattr(report, "user_properties", ()))
            if RATIO in told and getattr(report, "when", "") == "call":
                yield report.nodeid.partition("[")[2].rstrip("]"), told


def _names(parser: pytest.Parser) -> set[str]:
    """Return the options that there are."""
    groups = [*parser._groups, parser._anonymous]  # there is no public way to ask
    return {name for group in groups for option in group.options for name in option.names()}
