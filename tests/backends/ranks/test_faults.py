"""What ranks do when one of them goes wrong: each ends soon, with a sentence, and none waits for ever."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from backends.ranks import local

TIMEOUT_S = 1.0
START_S = 60.0  # of a busy machine, to import a framework on two ranks

PROGRAM = r"""
import os, signal, sys, time
import numpy as np
from backends import join

engine, fault, timeout_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
with join(engine, 60) as ranks:
    ranks.agree("start", fault)
    ranks.watch.timeout_s = timeout_s  # joining may take longer
    begun_s, faulty = time.monotonic(), ranks.rank == ranks.size - 1
    os.write(1, f"BEGUN {time.time()}\n".encode())
    message = np.ones(13, np.float32)
    for step in range(100):
        if faulty and step == 50:
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "raises":
                raise ValueError("bad row in this rank's file")
            if fault == "leaves":
                sys.exit(0)
            if fault == "stops":
                os.system(f"(sleep 1.5; kill -CONT {os.getpid()}) & kill -STOP {os.getpid()}")
            if fault == "stuck":
                time.sleep(60)
        if step % 10 == 0:
            ranks.agree("steps", 7 if faulty and fault == "differs" and step == 50 else 10)
        ranks.sum(message)
os.write(1, b"all steps done\n")
"""

SENTENCES = {
    "killed": "",
    "raises": "bad row in this rank's file",
    "leaves": "ranks took different paths: rank 0: steps: 10; rank 1: the end: leaving",
    "differs": "ranks differ in steps: rank 0: 10; rank 1: 7",
    "stuck": f"waited {TIMEOUT_S:g} s for the other ranks",
}
SOON_S = 3.0  # for processes to end, on a busy machine


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program whose last rank goes wrong halfway."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def ended_by(program: Path, engine: str, fault: str) -> tuple[local.Ended, float]:
    """Run the program with a fault; return how its two ranks ended, and seconds from when both had begun."""
    ended = local.run([sys.executable, str(program), engine, fault, str(TIMEOUT_S)], 2, engine, START_S)
    begun_s = max(float(line.split()[1]) for line in ended.text.splitlines() if line.startswith("BEGUN"))
    return ended, time.time() - begun_s


# Every fault on the engine that starts in a moment; on the others those that their frameworks treat in their own way.
CASES = [("mpi", fault) for fault in SENTENCES]
CASES += [("torch", "killed"), ("torch", "leaves"), ("jax", "killed"), ("jax", "raises")]


@pytest.mark.parametrize(("engine", "fault"), CASES)
def test_every_rank_ends_with_a_sentence(program: Path, engine: str, fault: str) -> None:
    """A rank that is killed, raises, leaves, differs or is stuck ends all in time, with one clear sentence."""
    ended, lasted_s = ended_by(program, engine, fault)
    assert not ended.stopped or fault == "stuck", ended.text  # one that never waits is ended by its launcher
    assert lasted_s < TIMEOUT_S + SOON_S, ended.text
    assert all(ended.statuses), ended.text
    assert SENTENCES[fault] in ended.text
    assert "all steps done" not in ended.text


def test_a_rank_that_stops_is_waited_for(program: Path) -> None:
    """A rank that stands still for less than the timeout is warned of; then all go on and end well."""
    ended = local.run([sys.executable, str(program), "mpi", "stops", "2.5"], 2, "mpi", START_S)
    assert not any(ended.statuses), ended.text
    assert "rank 0 has waited" in ended.text
    assert "rank 0 goes on after waiting" in ended.text
    assert ended.text.count("all steps done") == 2


TRAINING = """
import importlib.metadata as metadata
import os
import sys
import numpy as np
import backends
from backends import Layer, Network

fault, found = sys.argv[1], metadata.version
if fault == "versions":
    metadata.version = lambda name: found(name) + ".other" * (name == "numpy" and os.environ["PMI_RANK"] == "1")
with backends.join() as ranks:
    odd = ranks.rank == 1
    network = Network((4 if odd and fault == "network" else 3, 2, 1))
    backend = backends.load("numpy", network, "float64" if odd and fault == "dtype" else "float32", ranks=ranks)
    params = [Layer(np.full((o, i), 0.1), np.zeros(o)) for o, i in network.layer_shapes]
    rows = 0 if odd and fault == "no rows" else 5
    batch = backend.place_batch(np.ones((rows, network.inputs)), np.ones((rows, 1)))
    rate = 1e30 if fault == "diverges" else 0.1
    try:
        backend.train(backend.place_params(params), batch, rate, 4 if odd and fault == "steps" else 9)
    except backends.TrainingDiverged as error:
        os.write(1, f"rank {ranks.rank} diverged at {error.step}\\n".encode())
"""

ENDS = {
    "network": "ranks differ in backend, network, dtype, device or optimizer: rank 0: numpy 3-2-1",
    "dtype": "rank 1: numpy 3-2-1 float64",
    "steps": "ranks differ in steps: rank 0: 9 steps at a rate of 0.1; rank 1: 4 steps",
    "versions": "ranks differ in versions: rank 0: Python",
}


@pytest.mark.parametrize("fault", ENDS)
def test_ranks_that_train_differently_are_told(tmp_path: Path, fault: str) -> None:
    """Another network, dtype, number of steps or version on one rank ends all, with the values of each."""
    path = tmp_path / "program.py"
    path.write_text(TRAINING)
    ended = local.run([sys.executable, str(path), fault], 2, "mpi", START_S)
    assert all(ended.statuses), ended.text
    assert not ended.stopped, ended.text
    assert ENDS[fault] in ended.text


@pytest.mark.parametrize(("fault", "text"), [("no rows", ""), ("diverges", "diverged at")])
def test_ranks_stay_together(tmp_path: Path, fault: str, text: str) -> None:
    """A rank without rows trains on, and training that diverges is raised on every rank, at the same step."""
    path = tmp_path / "program.py"
    path.write_text(TRAINING)
    ended = local.run([sys.executable, str(path), fault], 2, "mpi", START_S)
    assert not any(ended.statuses), ended.text
    said = {line.partition("diverged")[2] for line in ended.text.splitlines() if text and text in line}
    assert len(said) == bool(text), ended.text
    assert ended.text.count("diverged at") == (2 if text else 0)
