"""What the tests share: backends and dtypes to run a claim on, and how hypothesis draws."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest

import backends
from backends import tuned
from bench.machine import speed
from bench.measure.judging_environment import framework_variables
from tests import disturbed

# What this machine was tuned to would make the tests of one machine others than those of the next.
os.environ[tuned.VARIABLE] = tuned.OFF

# Tests start dozens of runs, many in processes of their own: the machine's speed is measured for the first alone.
os.environ[speed.VARIABLE] = speed.KEPT

# A first call compiles and the machine may be busy: a slow example is no failure. CI draws the same examples each time.
unhurried = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("local", **unhurried)
hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True, **unhurried)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell that starts a command in the background lets it ignore Ctrl-C, and its children with it: tests send them one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer the conformance kit from a plain checkout too, where no entry point names its plugin."""
    if not pluginmanager.is_blocked("backends.conformance.plugin"):
        from backends.conformance import plugin

        if not pluginmanager.is_registered(plugin):
            pluginmanager.register(plugin, "backends.conformance.kit")
        plugin.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Let threads wait asleep where several processes share the cores. Tests that assert a time run in one, without it.

    Set in the process that starts the others: OpenBLAS reads it once, while numpy is imported.
    """
    if config.getoption("numprocesses", None):
        os.environ.update(framework_variables() | os.environ)


@pytest.fixture
def defaults() -> Iterator[None]:
    """A test that asks for numpy's constants with defaults of its own leaves those of the code."""
    importlib.import_module("backends.threads")  # it asks for them
    before = dict(tuned.DEFAULTS)
    yield
    tuned.DEFAULTS.update(before)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Judge what asserts a time again while others compute: such a test may be called twice on the same fixtures."""
    if pyfuncitem.get_closest_marker("timing") is None:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    disturbed.judge(partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder that holds ``pyproject.toml``."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(params=[entry.name for entry in backends.catalogue("best")])
def backend_name(request: pytest.FixtureRequest) -> str:
    """Each built-in backend in turn; one whose framework is not installed is skipped, with the reason."""
    entry = next(entry for entry in backends.catalogue() if entry.name == request.param)
    if reason := entry.missing():
        pytest.skip(f"backend {entry.name!r}: {reason}; {entry.remedy}")
    return entry.name


@pytest.fixture(params=backends.DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    """Each dtype in turn."""
    return str(request.param)
