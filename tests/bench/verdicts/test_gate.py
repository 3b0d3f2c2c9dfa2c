"""The gate: fails on what is proven slower or broken, on nothing else."""

import pytest

from bench.basics.errors import UsageError
from bench.verdicts import gate
from tests.bench import synthetic
from tests.bench.synthetic import Noise

GRID = {"networks": ("3-2-1", "32-64-1"), "batches": (1, 256, 65_536), "phases": ("step", "train")}


def run(seed, **options):
    """Return rows of a run."""
    return synthetic.frame(
        seed=seed, run=f"run-{seed}", **{"noise": Noise(process=0.01), "rounds": 12, **GRID, **options}
    )


def test_the_same_code_passes():
    """Eight reruns of one program pass, each over a grid of 48 cells."""
    for seed in range(8):
        assert gate.judge(run(seed), run(seed + 100)).passed


def test_a_slow_down_beyond_the_margin_fails_and_is_named():
    """A backend 20 % slower in one place fails the gate, which names its cells, worst first, and no other."""
    judged = gate.judge(run(1), run(2, slower={("jax", "32-64-1", 256): 1.2}))
    assert not judged.passed
    assert {(row.backend, row.network, row.batch) for row in judged.slower.itertuples()} == {("jax", "32-64-1", 256)}
    assert judged.slower["ratio"].is_monotonic_decreasing


def test_a_slow_down_within_the_margin_passes():
    """One of 20 % passes where 40 % are allowed, and a speed-up always does."""
    slower = run(2, slower={("jax", "32-64-1", 256): 1.2, ("numba", "3-2-1", 1): 0.5})
    assert gate.judge(run(1), slower, margin=0.4).passed


def test_noise_leaves_cells_undecided_rather_than_failed():
    """Where processes scatter by 30 %, a slow-down of 20 % is not proven: it passes, and undecided cells count."""
    loud = {"noise": Noise(process=0.3), "processes": 3}
    judged = gate.judge(run(1, **loud), run(2, slower={("jax", "3-2-1", 1): 1.2}, **loud))
    assert judged.passed
    assert judged.undecided > 40


def test_a_cell_that_broke_fails():
    """What the baseline timed and the candidate could not is lost, with its reason; what failed before is not."""
    broken = run(2)
    gone = (broken["backend"] == "torch") & (broken["batch"] == 1) & (broken["phase"] == "step")
    broken.loc[gone, ["status", "reason"]] = ["crashed", "signal 11"]
    judged = gate.judge(run(1), broken)
    assert not judged.passed
    assert judged.slower.empty
    assert len(judged.lost) == 2
    assert all(line.endswith("crashed: signal 11") for line in judged.lost)


def test_unlike_conditions_are_refused():
    """Another Python is no fair baseline, unless forced."""
    other = run(2).assign(receipt_python="3.13.0")
    with pytest.raises(UsageError, match="python"):
        gate.judge(run(1), other)
    assert gate.judge(run(1), other, force=True).passed


@pytest.mark.parametrize("twin", ["A/A", "base"])
def test_what_should_be_found_comes_from_stored_noise(tmp_path, monkeypatch, twin):
    """From a run with a second arm of either kind: noisier runs promise less, more processes more; no run, nothing."""
    monkeypatch.setattr(gate, "machine_id", lambda: "made-up-machine")
    assert gate.expected(6, root=tmp_path / "none") is None
    found = {}
    for process in (0.01, 0.05):
        made = synthetic.frame(noise=Noise(process=process), **GRID, run=f"run-{process:g}").replace(
            {"arm": {"A/A": twin}}
        )
        synthetic.store(made, tmp_path / f"{process:g}")
        found[process] = gate.expected(6, root=tmp_path / f"{process:g}")
    assert 0.05 < found[0.01] < found[0.05]
    assert gate.expected(3, root=tmp_path / "0.01") > found[0.01]


def test_nothing_in_common_is_an_error():
    """Two runs of different batches cannot be judged, and the message says what to run."""
    with pytest.raises(UsageError, match=r"no timed cell in common.*bench run"):
        gate.judge(run(1), run(2, batches=(7,)))
