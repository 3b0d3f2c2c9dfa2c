"""`bench train` on several ranks, as a launcher starts them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from backends.ranks import local
from bench import cli
from bench.training.trained_model import load_model

LIMIT_S = 120.0
KILLS_A_RANK = """
import os, pathlib, signal, sys, threading, time
from bench.cli import main

def kill():
    while not pathlib.Path(sys.argv[-1]).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ["PMI_RANK"] == "1":
    threading.Thread(target=kill, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(local.mpiexec() is None, reason="no mpiexec here")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of 101 rows, which do not divide evenly among ranks."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((101, 2))
    path = tmp_path / "table.csv"
    lines = ["a,b,y", *(f"{a},{b},{np.sin(a) + b}" for a, b in x)]
    path.write_text("\n".join(lines) + "\n")
    return path


def asked(table: Path, *more: str) -> list[str]:
    """Return the arguments of a short training."""
    return ["train", "--data", str(table), "--target", "y", "--backend", "numpy", "--dtype", "float64", *more]


def on_ranks(arguments: list[str], size: int = 2) -> local.Ended:
    """Return how the command ended on some ranks."""
    return local.run([sys.executable, "-m", "bench", *arguments], size, "mpi", LIMIT_S)


def test_ranks_share_a_table_and_train_as_one(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three ranks with unequal shares train to the losses and scores of one process; rank 0 alone prints and saves."""
    saved = tmp_path / "params.safetensors"
    ended = on_ranks(asked(table, "--steps", "50", "--json", "--save", str(saved)), 3)
    assert not any(ended.statuses), ended.text
    shared = json.loads(ended.text[ended.text.index("{\n") :])
    assert cli.main(asked(table, "--steps", "50", "--json")) == cli.SUCCESS
    alone = json.loads(capsys.readouterr().out)
    assert shared["losses"] == pytest.approx(alone["losses"], rel=1e-12)
    assert shared["held_out"]["loss"] == pytest.approx(alone["held_out"]["loss"], rel=1e-12)
    assert load_model(saved).training["steps"] == 50


def test_a_table_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    """What is wrong with the table is wrong usage on every rank, and one sentence."""
    ended = on_ranks(asked(tmp_path / "none.csv"))
    assert all(ended.statuses)
    assert ended.text.count("none.csv") == 1


def test_mini_batches_of_a_table_are_refused_on_ranks(table: Path) -> None:
    """Mini-batches are read in one process, and ranks are told so."""
    ended = on_ranks(asked(table, "--rows-per-step", "8"))
    assert all(ended.statuses)
    assert "--rows-per-step reads the table in one process" in ended.text


def test_what_was_trained_is_kept_when_a_rank_is_lost(table: Path, tmp_path: Path) -> None:
    """A rank that is killed ends all, and rank 0 has saved the parameters that were reached."""
    program, saved = tmp_path / "program.py", tmp_path / "params.safetensors"
    program.write_text(KILLS_A_RANK)
    arguments = [sys.executable, str(program), *asked(table, "--steps", "100000000", "--save", str(saved))]
    ended = local.run(arguments, 2, "mpi", LIMIT_S)
    assert any(ended.statuses)
    assert not ended.stopped
    model = load_model(saved)
    assert model.training["complete"] is False
    assert model.training["steps"] > 0
