"""A batch that would not fit is refused with the need and the free memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import backends
from backends import Layer, Network
from bench.basics.errors import UsageError
from bench.machine import system
from bench.workload import memory
from bench.workload.memory import check_memory, free_bytes, need_bytes


@pytest.mark.parametrize("arms", [1, 5])
def test_a_batch_that_does_not_fit_is_refused_with_the_need_and_what_fits(arms: int) -> None:
    """The message names the batch, its need, the free memory and the largest batch that fits, which then passes."""
    network, free = Network((3, 2, 1)), 3 << 30
    where = " in 5 processes at once" if arms == 5 else ""
    says = rf"134,217,728 rows of network 3-2-1 in float32 needs [0-9.]+ GiB{where}, and 2.70 GiB are free on cpu"
    with pytest.raises(UsageError, match=says) as refusal:
        check_memory(network, 1 << 27, arms=arms, free=free)
    fits = int(str(refusal.value).split("at most ")[1].split(" rows")[0].replace(",", ""))
    check_memory(network, fits, arms=arms, free=free)
    with pytest.raises(UsageError):
        check_memory(network, fits + 1, arms=arms, free=free)


def test_as_many_processes_as_fit_are_offered() -> None:
    """A batch that fewer backends could hold is refused with their number, which then passes."""
    network, batch, free = Network((3, 2, 1)), 1 << 22, 3 << 30
    with pytest.raises(UsageError, match=r"or \d of the processes \(fewer backends\) fit") as refusal:
        check_memory(network, batch, arms=5, free=free)
    arms = int(str(refusal.value).split(" of the processes")[0][-1])
    check_memory(network, batch, arms=arms, free=free)
    with pytest.raises(UsageError):
        check_memory(network, batch, arms=arms + 1, free=free)


def test_a_network_that_does_not_fit_is_refused_without_advice_on_rows() -> None:
    """Where the parameters alone do not fit, no number of rows is offered."""
    with pytest.raises(UsageError, match="take a smaller network"):
        check_memory(Network((10_000, 10_000, 10_000)), 1, "float64", free=1 << 30)


@pytest.mark.parametrize("sizes", [(3, 2, 1), (32, 64, 1)])
def test_need_covers_what_numpy_allocates(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass through every phase on numpy, host arrays included, peaks below the stated need."""
    monkeypatch.setattr("backends.reused_memory.POSSIBLE", False)  # tracemalloc sees no memory that is mapped
    network, batch = Network(sizes), 500_000
    backend = backends.load("numpy", network)
    params = [Layer(np.ones(shape, "float32"), np.ones(shape[0], "float32")) for shape in network.layer_shapes]
    tracemalloc.start()
    inputs, targets = (np.ones((batch, size), "float32") for size in (network.inputs, network.outputs))
    placed, placed_params = backend.place_batch(inputs, targets), backend.place_params(params)
    tape = backend.forward(placed_params, placed)
    _, gradients = backend.backward(placed_params, placed, tape)
    backend.update(placed_params, gradients, 1e-3)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert need_bytes(network, batch) / 4 < peak_bytes < need_bytes(network, batch)


def test_free_memory_is_what_the_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of the control group bounds the free memory, less what is used; without one it is the machine's own."""
    monkeypatch.setattr(system, "PROC", tmp_path)
    monkeypatch.setattr(system, "SYS", tmp_path)
    machine = free_bytes()
    group = tmp_path / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1000\n")
    (group / "memory.current").write_text("700\n")
    assert free_bytes() == 300
    (group / "memory.max").write_text("max\n")
    assert free_bytes() == pytest.approx(machine, rel=0.1)


def test_free_memory_without_figures_is_what_the_c_library_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty ``/proc`` is no traceback."""

    def missing() -> None:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(memory.psutil, "virtual_memory", missing)
    assert free_bytes() > 1 << 20


def test_free_memory_on_a_gpu_is_what_its_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's free memory bounds a batch for ``cuda``, and a missing driver leaves the host's."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 3\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert free_bytes("cuda") == 3 << 20
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert free_bytes("cuda") > 3 << 20
