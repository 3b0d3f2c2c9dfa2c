"""Idioms are ordinary backends: same contract, same proof, never picked by themselves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import backends
from backends import Network
from backends.conformance import check_cell
from bench.workload.problem import make

IDIOMS = [entry.name for entry in backends.catalogue("idiom")]


def loaded(name: str, network: Network, dtype: str) -> backends.Backend:
    """Return an idiom; skip where its framework is not installed."""
    entry = next(entry for entry in backends.catalogue() if entry.name == name)
    if reason := entry.missing():
        pytest.skip(f"{name}: {reason}; {entry.remedy}")
    return backends.load(name, network, dtype)


@pytest.mark.parametrize("name", IDIOMS)
@pytest.mark.parametrize(("sizes", "batch", "dtype"), [("3-2-1", 3, "float32"), ("7-5-4-3", 65, "float64")])
def test_idiom_passes_conformance(name: str, sizes: str, batch: int, dtype: str) -> None:
    """Outputs, loss, gradients, update, step and train stay within the proven bounds."""
    problem = make(Network.parse(sizes), batch, dtype)
    backend = loaded(name, problem.network, dtype)
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own, on import
def test_compiled_torch_passes_conformance_where_it_compiles() -> None:
    """The compiled step is one exact step, twice, for a second shape as well; so is the one that is written out."""
    for name, batch in (("torch-compile", 3), ("torch-compile", 5), ("torch-fused", 5)):
        problem = make(Network((3, 2, 1)), batch)
        backend = loaded(name, problem.network, "float32")
        report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
        assert report.passed, report.worst


@pytest.mark.parametrize(("sizes", "batch", "dtype"), [("3-2-1", 3, "float64"), ("33-5-4-3", 65, "float32")])
def test_jax_by_hand_passes_conformance(sizes: str, batch: int, dtype: str) -> None:
    """The gradient written by hand is right too, for both layouts of a batch, so that its times mean something."""
    problem = make(Network.parse(sizes), batch, dtype)
    backend = loaded("jax-by-hand", problem.network, dtype)
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.parametrize("name", IDIOMS)
def test_idiom_keeps_nothing_of_the_caller(name: str) -> None:
    """Writing over host params and batch after placing them changes no result."""
    problem = make(Network((3, 2, 1)), 16)
    backend = loaded(name, problem.network, "float32")
    host = [[array.copy() for array in layer] for layer in problem.params]
    inputs, targets = problem.inputs.copy(), problem.targets.copy()
    params = backend.place_params([backends.Layer(*layer) for layer in host])
    batch = backend.place_batch(inputs, targets)
    for array in (inputs, targets, *host[0], *host[1]):
        array[...] = np.nan
    _, loss = backend.step(params, batch, 1e-3)
    assert np.isfinite(float(loss))


def test_idioms_are_never_picked_by_themselves() -> None:
    """What is available by default is the tuned backends and plugins; idioms are asked for by role or name."""
    assert set(IDIOMS) == {f"{name}-idiom" for name in ("numpy", "numba", "jax", "torch")}
    assert not set(IDIOMS) & set(backends.available())
    assert "numpy-idiom" in backends.available("idiom")


def test_catalogue_of_idioms_imports_no_framework() -> None:
    """Listing idioms in a fresh process loads neither torch, JAX, optax nor numba."""
    code = "import sys, backends; backends.available('idiom'); print([m for m in sys.modules if m in "
    code += "('torch', 'jax', 'optax', 'numba')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
