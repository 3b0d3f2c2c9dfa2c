"""The probes do the work that they claim, and measure rates that no arithmetic on this machine beats."""

from __future__ import annotations

import importlib
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from backends import Network
from bench.basics.errors import UsageError
from bench.cli import main
from bench.limits import probes
from bench.limits.ceilings import Ceiling, load
from bench.limits.probes import child, probe
from bench.limits.probes.probe import Probe
from bench.machine import machine_id, physical_cores
from bench.measure.cell import Group
from bench.measure.plan import Plan


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe little memory and small products."""
    monkeypatch.setattr(probe, "WORKING_SETS", (16 << 10, 64 << 10))
    products = {name: (m // 16, k // 16, n // 16, *rest) for name, (m, k, n, *rest) in probe.PRODUCTS.items()}
    monkeypatch.setattr(probe, "PRODUCTS", products)


def test_probe_rate_is_work_over_the_best_time() -> None:
    """A call of 2 ms that claims 1,000 units gives 500,000 a second; spread, it counts the slowest thread."""
    lone = Probe("tanh", "float32", "sleep", 0, 1000.0, lambda thread: time.sleep(0.002))
    spread = Probe("tanh", "float32", "spread", 0, 1000.0, lambda thread: time.sleep(0.001 + 0.002 * thread), True)
    slept, together = child.measured("x", [lone, spread], 2, 0.05)
    assert 0.8 * 500_000 < slept.per_second <= 500_000
    assert 0.8 * 333_333 < together.per_second <= 1.01 * 333_333


def test_probe_keeps_its_best_time() -> None:
    """Calls that something held up do not count, whether they come first or last."""
    waits = iter([0.02, 0.002] + [0.02] * 100)
    held_up = Probe("tanh", "float32", "sleep", 0, 1000.0, lambda thread: time.sleep(next(waits)))
    (found,) = child.measured("x", [held_up], 1, 0.05)
    assert found.per_second > 300_000


def test_threads_that_share_nothing_are_each_taken_at_their_best() -> None:
    """Two threads that are held up in turns, never both at their best at once, count as two at their best."""
    waits = itertools.cycle([0.001, 0.02]), itertools.cycle([0.02, 0.001])
    held_up = Probe("tanh", "float32", "sleep", 0, 1000.0, lambda thread: time.sleep(next(waits[thread])), True, True)
    (reached,) = child.measured("x", [held_up], 2, 0.001)
    assert 600_000 < reached.per_second <= 1_000_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loads_of_a_compiled_probe_never_wait_for_its_stores(dtype: str) -> None:
    """Inputs and outputs start on cache lines, and outputs are half a page further into their page than inputs."""
    numba_probes = pytest.importorskip("bench.limits.probes.numba_probes")
    for z, out in zip(*numba_probes.apart(3, dtype), strict=True):
        assert z.ctypes.data % 64 == 0
        assert (out.ctypes.data - z.ctypes.data) % 4096 == 2048
        assert z.shape == out.shape == (numba_probes.TANH_BLOCK,)
        assert not np.shares_memory(z, out)


def test_probe_that_is_spread_runs_on_every_thread_at_once() -> None:
    """Each thread makes its own part, the parts overlapping."""
    seen = []
    with ThreadPoolExecutor(3) as pool:
        slept = Probe("read", "", "", 0, 1.0, lambda thread: (seen.append(thread), time.sleep(0.05)), True)
        (span_s,) = child.once_s(slept, 3, pool)
    assert 0.05 <= span_s < 0.14
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("library", ["numpy", "numba"])
def test_probes_cover_every_kind(library: str) -> None:
    """Each yields reading and copying of each working set and tanh of each dtype, and every one of them runs."""
    pytest.importorskip(library)
    made = list(importlib.import_module(f"bench.limits.probes.{library}_probes").probes(2))
    for one in made:
        assert one.work > 0
        for thread in range(2 if one.spread else 1):
            one.call(thread)
    kinds = [(one.kind, one.dtype, one.working_set_bytes) for one in made if one.kind != "product"]
    sizes = [16 << 10, 64 << 10]
    expected = [("read", "", size) for size in sizes] + [("copy", "", size) for size in sizes]
    assert kinds == [*expected, ("tanh", "float32", 0), ("tanh", "float64", 0)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_products_are_computed_in_their_dtype(library: str) -> None:
    """Each product's factors have the shapes and the FLOP of its name."""
    pytest.importorskip(library)
    made = [
        one
        for one in importlib.import_module(f"bench.limits.probes.{library}_probes").probes(1)
        if one.kind == "product"
    ]
    for dtype in ("float32", "float64"):
        assert {one.shape for one in made if one.dtype == dtype} == set(probe.PRODUCTS)
    for one in made:
        m, k, n, *_ = probe.PRODUCTS[one.shape]
        assert one.work == 2 * m * k * n
        one.call(0)
        a, b = one.call.args[-3:-1] if library == "torch" else one.call.args[-2:]  # type: ignore[attr-defined]
        if library == "numpy":
            a, b = one.call.args[:2]  # type: ignore[attr-defined]
            np.testing.assert_array_equal(one.call.args[2], a @ b)  # type: ignore[attr-defined]
        assert str(a.dtype).endswith(one.dtype)
        assert str(b.dtype).endswith(one.dtype)


def test_probes_of_a_gpu_call_what_they_claim() -> None:
    """Run on the CPU: memory, products of each dtype, tanh and launches, each of which computes what it names."""
    pytest.importorskip("torch")
    from bench.limits.probes import cuda_probes

    made = list(cuda_probes.probes(1, brief=True, device="cpu"))
    for one in made:
        assert one.work > 0
        one.call(0)
    assert {(one.kind, one.dtype) for one in made} == {
        ("read", ""),
        ("copy", ""),
        ("launch", ""),
        *((kind, dtype) for kind in ("product", "tanh") for dtype in ("float32", "float64")),
    }
    assert child.CUDA == "cuda"
    (found,) = child.measured(child.CUDA, made[:1], 1, 0.001)
    assert (found.device, found.threads, found.by) == ("cuda", 0, "torch")


def test_a_gpu_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Asking for the ceilings or the limits of a GPU without one ends with the reason and status 2."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for command in ("ceilings", "limits"):
        assert main([command, "--device", "cuda", "--results", str(tmp_path)]) == 2
        assert "no NVIDIA GPU is seen here" in capsys.readouterr().err


def test_compiled_probes_compute_what_they_name() -> None:
    """Tanh within 4 ulp of the exact one; the sum adds every element; the copy holds what was copied, scaled."""
    numba_probes = pytest.importorskip("bench.limits.probes.numba_probes")
    for dtype, kernel in (("float32", numba_probes.tanh_float32), ("float64", numba_probes.tanh_float64)):
        x = np.linspace(-10, 10, 2001).astype(dtype)
        out = np.empty_like(x)
        kernel(x, out, 1)
        exact = np.tanh(x.astype(np.longdouble))
        assert float(np.max(np.abs(out - exact) / np.spacing(np.abs(exact).astype(dtype)).clip(1e-40))) <= 4
    total = np.zeros(1, np.int64)
    numba_probes.read(np.arange(100), total, 1)
    assert total[0] == 4950
    copy = np.empty(10)
    numba_probes.scale(np.arange(10.0), copy, 4)
    np.testing.assert_array_equal(copy, np.arange(10.0) / 4)


def test_known_ceilings_are_never_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look keeps what was faster before, takes what is faster now, and tells when it was."""
    slow, fast = (Ceiling("tanh", "float32", 1, "tanh", 0, rate, "numpy") for rate in (1e9, 2e9))
    other = Ceiling("tanh", "float64", 1, "tanh", 0, 1e8, "numpy")
    looks = iter([[fast], [slow, other]])
    monkeypatch.setattr(probes, "_child", lambda library, threads, seconds: next(looks))
    first = probes.measure([1], libraries=["numpy"])
    second = probes.measure([1], libraries=["numpy"], known=first)
    assert second.measured == (fast, other)
    assert second.machine == machine_id()


def test_ceilings_command_measures_stores_and_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One library, one thread, the few probes of a campaign: a table within 80 columns, a file of the machine, and both
    again from what is stored.
    """
    monkeypatch.setattr(probes, "_child", partial(probes._child, brief=True))
    where = ["--results", str(tmp_path)]
    assert main(["ceilings", "--libraries", "numpy", "--threads", "1", "--seconds", "1ms", *where]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert all(text in shown for text in (probe.BRIEF_PRODUCTS[0], "GFLOP/s", "GB/s", "tanh/s", "64.0 KiB"))
    stored = load(machine_id(), tmp_path)
    assert stored is not None
    assert stored.threads == (1,)
    assert main(["ceilings", "--show", "--json", *where]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [Ceiling(**item) for item in document["measured"]] == list(stored.measured)
    assert main(["ceilings", "--show", *where]) == 0
    assert shown == capsys.readouterr().out


def test_parts_are_rows_of_the_same_memory() -> None:
    """A working set of 64 bytes for two threads: two rows of eight float32 or four float64, nothing copied."""
    whole = np.ones(16)
    for dtype, columns in (("float32", 8), ("float64", 4)):
        rows = probe.parts(whole, 64, 2, dtype)
        assert rows.shape == (2, columns)
        assert np.shares_memory(rows, whole)


def test_ceilings_refuses_what_the_machine_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More threads than cores is wrong usage, as is showing what was never measured."""
    with pytest.raises(UsageError, match="threads must be between 1 and the"):
        probes.measure([len(physical_cores()) + 1])
    assert main(["ceilings", "--show", "--results", str(tmp_path)]) == 2
    assert "measure them: python -m bench ceilings" in capsys.readouterr().err


def test_probe_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library whose probes raise is told with its last words and the way around it."""
    monkeypatch.setattr(probes, "LIBRARIES", ("json", "numpy"))
    with pytest.raises(UsageError, match=r"the probes of json failed: .*json_probes.*--libraries numpy"):
        probes.measure([1], libraries=["json"])


def test_probes_between_laps_take_turns_and_little_time(monkeypatch):
    """Each library has its turn, one a lap at least; after that short laps are not followed by a probe each time."""
    plan = Plan((Group(Network((3, 2, 1)), 1, "float32", "cpu"),), ("step",), ("numpy",), threads=(2,))
    now_s, probed = 0.0, []

    def child(library, *_, **__):
        nonlocal now_s
        now_s += 2.0
        probed.append(library)
        return []

    monkeypatch.setattr(probes, "stored_plan", lambda run: plan)
    monkeypatch.setattr(probes, "installed", lambda names: ["x", "y", "z"])
    monkeypatch.setattr(probes, "load_of", lambda run: None)
    monkeypatch.setattr(probes, "_child", child)
    monkeypatch.setattr(probes.time, "monotonic", lambda: now_s)
    probe = probes.between_laps(None)
    after = []
    for lap, lap_s in enumerate((60.0, 10.0, 2.0, 2.0, 2.0, 200.0)):
        now_s += lap_s
        probe(lap)
        after.append("".join(probed))
    assert after == ["xy", "xyz", "xyz", "xyz", "xyz", "xyzxyz"]
