"""`bench check --ranks`: what it judges, says and refuses."""

from __future__ import annotations

import json

import pytest

from backends.conformance.report import Claim, Report
from backends.ranks import local
from bench import cli
from bench.terminal.conformance import command_for


@pytest.mark.skipif(local.mpiexec() is None, reason="no mpiexec here")
def test_ranks_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of ranks and the engine come into the report, and all claims pass."""
    asked = ["check", "--ranks", "2", "--engine", "mpi", "--backend", "numpy", "--dtype", "float32", "--json"]
    assert cli.main(asked) == cli.SUCCESS
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert (report["ranks"], report["engine"], report["passed"]) == (2, "mpi", True)
    assert [claim["name"] for claim in report["claims"]] == ["step", "train", "exact sums", "bits"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--ranks", "1"], "--ranks takes numbers of 2 or more"),
        (["--engine", "mpi"], "--engine is for ranks: add --ranks 2"),
        (["--ranks", "2", "--claim", "step"], "--claim is not for ranks"),
        (["--ranks", "2", "--engine", "nccl", "--backend", "numpy"], "no engine 'nccl'; known: mpi, torch, jax"),
        (["--ranks", "2", "--backend", "numpy", "--dtype", "float16"], "has no dtype 'float16'"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One rank, an engine without ranks, claims of one process, an unknown engine or dtype: wrong usage, and why."""
    assert cli.main(["check", *flags]) == cli.WRONG_USAGE
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_failure_on_ranks_is_judged_again_on_ranks() -> None:
    """The command of a failed claim names the ranks and the engine, which has no cases by name."""
    claim = Claim("bits", "fail", where="rank 1 differs from rank 0")
    report = Report("numpy", "float32", "cpu", (claim,), ranks=3, engine="mpi")
    command = "python -m bench check --backend numpy --dtype float32 --ranks 3 --engine mpi"
    assert command_for(report, claim) == command
    assert report.label == "numpy float32 on 3 ranks by mpi"
