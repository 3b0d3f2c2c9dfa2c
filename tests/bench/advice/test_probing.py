"""`recommend --probe`: another machine's run carried over by cells that are really measured here."""

from __future__ import annotations

import json
import time
from pathlib import Path

from backends import Network
from bench import results
from bench.advice import probing
from bench.advice.job import Job
from bench.basics.names import CASE
from bench.cli import main
from tests.bench import synthetic


def test_a_run_of_another_machine_is_carried_over(tmp_path, monkeypatch, capsys):
    """The answer says carried over from that machine, and the anchors are kept as a run of this one."""
    monkeypatch.setattr(probing.contenders, "present", lambda *_: (("numpy",), []))
    monkeypatch.setattr(probing, "MOST_S", 120.0)  # a busy machine
    monkeypatch.setattr(probing, "BUDGET_S", 25.0)
    frame = synthetic.frame(
        networks=("3-2-1",), batches=(1, 16, 256), phases=("step",), processes=2, twin=None, failed=None
    )
    synthetic.store(frame, tmp_path)
    job = ["recommend", "--network", "3-2-1", "--batch", "100", "--results", str(tmp_path)]
    assert main(job) == 0
    assert "add --probe" in capsys.readouterr().out
    assert main([*job, "--probe", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["carried_from"], found["backend"]) == ("made-up-machine", "numpy")
    (anchors,) = (run for run in results.runs(tmp_path) if run.machine != "made-up-machine")
    assert (anchors.purpose, anchors.label) == (CASE, probing.LABEL)
    assert (results.load(anchors)["status"] == "ok").all()


def test_a_probe_ends_in_time_whatever_a_backend_does(tmp_path, monkeypatch):
    """Backends that hang leave an answer by the speed probes alone, after no more than the seconds of the anchors."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    name = "specimens:Hangs"
    monkeypatch.setattr(probing.contenders, "present", lambda *_: ((name,), []))
    monkeypatch.setattr(probing, "MOST_S", 3.0)
    frame = synthetic.frame(("numpy",), ("3-2-1",), (7, 256), ("step",), processes=2, twin=None, failed=None)
    synthetic.store(frame.assign(backend=name), tmp_path)
    (run,) = results.runs(tmp_path)
    begun_s = time.monotonic()
    carried = probing.carried_over(run, Job(Network((3, 2, 1)), 100), tmp_path)
    assert time.monotonic() - begun_s < 3.0 + 8.0
    assert len(carried.rows) == len(frame)
    assert carried.scatter[name] > 0.2
