"""Backends are found by name, by entry point or by class, and say what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

import backends
from backends import BackendUnavailable, Network, registry
from bench.cli import main

NETWORK = Network((3, 2, 1))


def test_load_unknown_name_suggests_the_nearest():
    """A misspelt name is answered with the name that was meant and the list of all."""
    with pytest.raises(ValueError, match=r"no backend 'nunpy'; did you mean 'numpy'\?.*package.module:Class"):
        backends.load("nunpy", NETWORK)


def test_load_missing_framework_names_the_command(monkeypatch):
    """A framework that is not installed raises the reason and the command that installs it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else real(name))
    with pytest.raises(BackendUnavailable) as caught:
        backends.load("jax", NETWORK)
    assert str(caught.value) == "backend 'jax' is unavailable: No module named 'jax'; pip install -e '.[jax]'"
    assert "jax" not in backends.available()


@pytest.mark.parametrize("name", backends.available("best"))
def test_load_missing_device_names_it(name):
    """Every device that a backend declares is either there or refused with its name; others are wrong usage."""
    kind = backends.find(name)
    for device in backends.DEVICES:
        if device not in kind.capabilities.devices:
            with pytest.raises(ValueError, match=f"has no device '{device}'; it offers"):
                backends.load(name, NETWORK, device=device)
            continue
        try:
            message = ""
            backends.load(name, NETWORK, device=device)
        except BackendUnavailable as error:
            message = str(error)
        assert message == "" or f"no device {device!r}" in message


@pytest.mark.parametrize("dtype", [np.float64, np.dtype("float64"), float])
def test_load_takes_a_dtype_as_numpy_does(dtype):
    """A dtype may be given as numpy's own type, and a backend sees its name."""
    assert backends.load("numpy", NETWORK, dtype).dtype == "float64"


def test_load_accepts_a_class_by_its_path():
    """``package.module:Class`` reaches a class that no registry knows."""
    assert backends.load("backends.numpy_backend:NumpyBackend", NETWORK).name == "numpy"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("no_such_package.module:Thing", BackendUnavailable, "No module named"),
        ("backends.base:Missing", ValueError, "has no 'Missing'"),
        ("backends.base:Network", TypeError, "must be a subclass of backends.Backend"),
    ],
)
def test_load_refuses_paths_that_lead_nowhere(name, error, text):
    """A path to nothing, to a missing name or to something else is refused with what was found."""
    with pytest.raises(error, match=text):
        backends.load(name, NETWORK)


def test_entry_point_is_listed_and_loaded(monkeypatch):
    """A backend that another distribution registers works by its name, and never hides a built-in one."""
    group = registry.ENTRY_POINT_GROUP
    points = [
        importlib.metadata.EntryPoint("mine", "backends.numpy_backend:NumpyBackend", group),
        importlib.metadata.EntryPoint("numpy", "backends.base:Network", group),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert "mine" in backends.available()
    assert backends.load("mine", NETWORK).name == "numpy"
    assert backends.find("numpy").__name__ == "NumpyBackend"


def test_import_brings_no_framework():
    """Importing the package and listing what is available loads no framework but numpy, in a fresh process."""
    code = (
        "import sys, backends; backends.available(); "
        "print([m for m in ('jax', 'torch', 'numba', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_backends_command_lists_all(capsys):
    """The command lists every backend, as a table and as JSON, with its dtypes and devices."""
    assert main(["backends", "--json", "--all"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {entry.name for entry in backends.catalogue()}
    assert rows["numpy"]["available"]
    assert rows["numpy"]["dtypes"] == ["float32", "float64"]
    assert main(["backends"]) == 0
    shown = capsys.readouterr().out
    assert "numpy" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_numpy_needs_numpy_alone():
    """In a process that can import neither threadpoolctl nor scipy, numpy trains on a batch of several blocks."""
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('threadpoolctl', 'scipy')))\n"  # None: importing them fails
        "import numpy as np, backends\n"
        "backend = backends.load('numpy', backends.Network((3, 2, 1)), threads=2)\n"
        "n = 1 << 18\n"  # a power of two, for exact sums
        "batch = backend.place_batch(np.ones((n, 3)), np.ones((n, 1)))\n"
        "layers = [backends.Layer(np.zeros(shape), np.zeros(shape[0])) for shape in ((2, 3), (1, 2))]\n"
        "params, losses = backend.train(backend.place_params(layers), batch, 0.25, 2)\n"
        "print(n > 2 * backend.block_rows, *losses)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True 1.0 0.25"


@pytest.mark.parametrize(
    ("source", "said"),
    [("1 / 0", "ZeroDivisionError"), ("raise SystemExit(0)", "SystemExit: 0"), ("def x(", "SyntaxE")],
)
def test_a_module_that_fails_when_imported_is_unavailable(tmp_path, monkeypatch, source, said):
    """Whatever a backend's module raises is the reason, named, and never ends the program."""
    (tmp_path / "failing_backend.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(backends.BackendUnavailable, match=f"importing 'failing_backend' raised {said}"):
        backends.find("failing_backend:Any")


def test_a_path_is_no_module():
    """Before anything is imported, what is no name of a module is refused with what was expected."""
    with pytest.raises(ValueError, match=r"'../../x' is no module; expected package.module:Class"):
        backends.find("../../x:Y")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"name": None}, TypeError, "the name of a backend must be a str .* got None"),
        ({"network": "3-2-1"}, TypeError, "network must be a Network .* got '3-2-1'"),
        ({"network": (3, 2, 1)}, TypeError, "network must be a Network .* got .3, 2, 1."),
        ({"optimizer": "adam"}, TypeError, "optimizer must be an Optimizer .* got 'adam'"),
        ({"threads": 1.5}, TypeError, "threads must be a whole number, got 1.5"),
        ({"threads": 10**6}, ValueError, "threads must be 1,024 or fewer, got 1,000,000"),
    ],
)
def test_load_names_an_argument_of_another_kind(arguments, error, text):
    """What is no name, network, optimiser or number of threads is named, before a framework sees it."""
    with pytest.raises(error, match=text):
        backends.load(**{"name": "numpy", "network": Network((3, 2, 1)), **arguments})
