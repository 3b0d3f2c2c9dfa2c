"""What dashboards read: pytest-benchmark's own tool takes the file, and Bencher's format has the units it asks for."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bench.cli import main
from bench.results import dashboards, timed
from tests.bench import synthetic
from tests.bench.report import made_up

FRAME = synthetic.frame(networks=("3-2-1",), batches=(1, 256), phases=("step", "train"))


def test_pytest_benchmark_compares_the_exported_file(tmp_path):
    """pytest-benchmark's own ``compare`` reads the file and lists every benchmark."""
    path = tmp_path / "run.json"
    exported = dashboards.pytest_benchmark(FRAME)
    path.write_text(json.dumps(exported))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = timed(FRAME, arm="").drop_duplicates(dashboards.CELL)
    assert len(exported["benchmarks"]) == len(cells)
    assert done.stdout.count("::3-2-1-n") >= len(cells)


def test_figures_are_those_of_all_kept_rounds():
    """Median and number of rounds of a benchmark are those of the rounds of all its processes together."""
    (first, *_) = dashboards.pytest_benchmark(FRAME)["benchmarks"]
    rows = timed(FRAME, arm="")
    rows = rows[np.logical_and.reduce([rows[name] == value for name, value in first["params"].items()])]
    seconds = np.concatenate(rows["round_s"].to_list())
    assert len(rows) > 1
    assert first["stats"]["rounds"] == len(seconds)
    assert first["stats"]["median"] == pytest.approx(np.median(seconds), rel=1e-12)
    assert first["stats"]["min"] == seconds.min()


def test_bencher_has_nanoseconds_with_bounds():
    """A latency of Bencher's format is in nanoseconds and lies between its bounds."""
    exported = dashboards.bencher(FRAME)
    rows = timed(FRAME, arm="")
    assert len(exported) == len(rows.drop_duplicates(dashboards.CELL))
    for measure in exported.values():
        latency = measure["latency"]
        assert latency["lower_value"] <= latency["value"] <= latency["upper_value"]
    smallest = min(measure["latency"]["value"] for measure in exported.values())
    assert smallest == pytest.approx(1e9 * min(rows["median_s"]), rel=0.2)


def test_export_writes_one_run_and_refuses_two(tmp_path, monkeypatch, capsys):
    """The command writes a run's file; two runs in one file are wrong usage, and the error names both."""
    made_up.stored(tmp_path / "results", made_up.frame())
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(tmp_path / "results"))
    out = tmp_path / "bmf.json"
    assert main(["export", made_up.FIRST, "--bencher", str(out)]) == 0
    assert json.loads(out.read_text())
    assert main(["export", made_up.FIRST, made_up.SECOND, "--pytest-benchmark", str(out)]) == 2
    said = capsys.readouterr().err
    assert made_up.FIRST in said
    assert made_up.SECOND in said
