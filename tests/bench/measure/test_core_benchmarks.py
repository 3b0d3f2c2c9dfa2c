"""The core benchmarks by hand: `pytest bench/measure/core_benchmarks.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def by_hand(folder, *options):
    """Run the core benchmarks with pytest; return the process that ended."""
    command = [sys.executable, "-m", "pytest", str(CHECKOUT / "bench/measure/core_benchmarks.py"), "-q", "-p"]
    command += ["no:cacheprovider", "--networks", "1-2-1", "--rows", "4", "--backends", "numpy", *options]
    storage = ["--benchmark-storage", f"file://{folder}"]
    # pytest-benchmark times nothing where it sees that xdist runs, as the suite itself may.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run([*command, *storage], cwd=CHECKOUT, env=environment, capture_output=True, text=True)


def test_pytest_times_the_four_phases_and_compares_with_a_saved_run(tmp_path):
    """A table and a JSON file of forward, backward, update and step; a second run is compared with the first."""
    first = by_hand(tmp_path, "--benchmark-json", str(tmp_path / "first.json"), "--benchmark-save", "first")
    assert first.returncode == 0, first.stdout
    stored = json.loads((tmp_path / "first.json").read_text())["benchmarks"]
    groups = [f"1-2-1 n=4 float32 cpu {phase}" for phase in ("forward", "backward", "update", "step")]
    assert [benchmark["group"] for benchmark in stored] == groups
    assert all(1e-7 < benchmark["stats"]["median"] < 1e-2 for benchmark in stored)
    again = by_hand(tmp_path, "--benchmark-compare", "--dtype", "float32")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("(NOW)") == again.stdout.count("(0001_first)") == 4


def test_options_that_cannot_be_read_are_wrong_usage(tmp_path):
    """A network that is none ends with pytest's status 4 or 2 and the words of what was expected."""
    ended = by_hand(tmp_path, "--networks", "3-2")
    assert ended.returncode in (2, 4)
    assert "a network needs inputs, at least one hidden layer and outputs" in ended.stdout + ended.stderr
