"""Ctrl-C while a campaign measures: it ends at once and cleanly, and says how to go on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from bench import cli, results
from bench.cli import interrupts
from bench.machine import speed
from bench.measure import campaign
from bench.ranks import launches

SPECIMENS = Path(__file__).resolve().parents[1]  # the folder of `specimens`
GRID = ["--networks", "1-1-1", "--dtypes", "float64", "--phases", "step", "--threads", "1", "--processes", "2"]
ENDLESS = ["--backends", "specimens:Exact,specimens:Hangs", "--batches", "1,7", "--cell-time", "20ms"]
SOON_S = 2.0


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Return the environment in which the processes find the specimens."""
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(SPECIMENS.parents[1]), str(SPECIMENS)])
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "80", "NO_COLOR": "1", "TMPDIR": str(tmp_path)}


def measuring_in(folder):
    """Return the ids of the processes that measure with a folder as their current one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, here = (path / "cmdline").read_bytes().split(b"\0"), (path / "cwd").resolve()
        except OSError:  # it has just ended
            continue
        if b"bench.measure.child" in words and here == folder:
            found.append(int(path.name))
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("to", ["the group", "the parent alone"])
def test_an_interrupt_ends_every_process_and_says_how_to_go_on(environment, tmp_path, to):
    """With three processes alive, one of them hung: status 130 within two seconds, no traceback, no process left."""
    command = [sys.executable, "-m", "bench", "run", *GRID, *ENDLESS, "--results", str(tmp_path / "kept")]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline_s = time.monotonic() + 60
    while not rows_of(tmp_path / "kept") and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(1.0)  # the first rows are there: the batch that hangs comes next
    assert len(measuring_in(tmp_path)) == 3
    begun_s = time.monotonic()
    send = os.killpg if to == "the group" else os.kill
    send(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - begun_s < SOON_S
    assert process.returncode == 130
    assert "Traceback" not in err
    assert measuring_in(tmp_path) == []
    assert [line for line in err.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []
    run = results.runs(tmp_path / "kept")[0]
    resume = re.search(r"go on with:\s+(python -m bench run --resume .*)", err)[1]
    assert resume == f"python -m bench run --resume {run.id} --results {tmp_path / 'kept'}"
    assert not run.manifest["complete"]


def rows_of(root):
    """Return the lines of the rows below a folder."""
    return [line for path in root.glob("*/*/rows.jsonl") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("moment", ["add_flags", "run"])
def test_an_interrupt_while_a_command_starts_leaves_no_traceback(monkeypatch, capsys, moment):
    """Whatever is being imported or planned, Ctrl-C ends it with status 130 and one word."""

    def interrupt(_):
        raise KeyboardInterrupt

    command = types.SimpleNamespace(add_flags=lambda parser: None, run=lambda args: 0)
    setattr(command, moment, interrupt)
    monkeypatch.setitem(sys.modules, "bench.cli.run", command)
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("then", ["the work goes on", "the compiler lacks what its callback should have given"])
def test_an_interrupt_inside_a_callback_is_not_lost(monkeypatch, capsys, then):
    """Python drops what a callback raises, such as JAX's on garbage collection: the command is interrupted again."""

    class Callback:
        def __del__(self):
            raise KeyboardInterrupt

    def run(_):
        Callback()
        if then != "the work goes on":
            raise RuntimeError(then)
        time.sleep(5)
        return 0

    monkeypatch.setitem(sys.modules, "bench.cli.run", types.SimpleNamespace(add_flags=lambda parser: None, run=run))
    begun_s = time.monotonic()
    assert cli.main(["run"]) == 130
    assert time.monotonic() - begun_s < SOON_S
    assert capsys.readouterr().err == "interrupted\n"


def test_interrupted_limits_say_how_to_show_what_was_measured(monkeypatch, capsys, tmp_path):
    """Minutes of measuring are not lost: where they are kept, and the command that shows them."""

    def interrupted(run, *_, **__):
        run.rows_path.write_text("{}\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "fresh", speed.Speed)
    monkeypatch.setattr(campaign, "carry_out", interrupted)
    assert cli.main(["limits", "--quick", "--no-peers", "--backends", "numpy", "--results", str(tmp_path)]) == 130
    (run,) = results.runs(tmp_path)
    said = capsys.readouterr().err.splitlines()[-3:]
    assert said[:2] == ["interrupted", f"what was measured is kept in {run.path}"]
    assert said[2] == f"show it: python -m bench limits --run {run.id} --results {tmp_path}"


@pytest.mark.parametrize("command", [
    ("run", "--quick", "--backends", "numpy"), ("limits", "--quick", "--no-peers", "--backends", "numpy"),
    ("recommend", "--measure", "--network", "3-2-1", "--batch", "5"),
    ("scale", "--backends", "numpy", "--network", "3-2-1", "--rows", "5", "--ranks", "1"),
])  # fmt: skip
def test_interrupted_before_the_first_row_leaves_no_folder(monkeypatch, capsys, tmp_path, command):
    """Ctrl-C while the processes start: no run that holds nothing is left for later commands to find."""

    def interrupted(*_, **__):
        assert len(list(tmp_path.glob("*/*/run.json"))) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "fresh", speed.Speed)
    monkeypatch.setattr(campaign, "carry_out", interrupted)
    monkeypatch.setattr(launches, "start", interrupted)
    assert cli.main([*command, "--results", str(tmp_path)]) == 130
    assert not list(tmp_path.glob("*/*/run.json"))
    assert "kept in" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_waits_for_the_end_of_an_import(monkeypatch, capsys, tmp_path, name):
    """Frameworks crash if one of their modules is cut off: the module is whole, and nothing runs after it."""
    number = getattr(signal, name)
    (tmp_path / "slow_module.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(0.2)\nend = 1"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_module", raising=False)

    def run(_):
        import slow_module

        reached.append(slow_module.end)
        time.sleep(5)
        reached.append("the end of the command")
        return 0

    reached = []
    monkeypatch.setitem(sys.modules, "bench.cli.run", types.SimpleNamespace(add_flags=lambda parser: None, run=run))
    assert cli.main(["run"]) == 130
    assert reached == [1]
    assert capsys.readouterr().err == "interrupted\n"


def test_an_import_that_hangs_is_interrupted(monkeypatch, capsys, tmp_path):
    """An interrupt waits for an import for a while only."""
    (tmp_path / "hanging_module.py").write_text("import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(30)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(interrupts, "IMPORT_S", 0.2)
    command = types.SimpleNamespace(add_flags=lambda parser: None, run=lambda _: __import__("hanging_module"))
    monkeypatch.setitem(sys.modules, "bench.cli.run", command)
    begun_s = time.monotonic()
    assert cli.main(["run"]) == 130
    assert time.monotonic() - begun_s < SOON_S


def test_an_interrupt_leaves_no_timer_that_the_end_waits_for(monkeypatch):
    """JAX starts a timer of a minute before it starts its client, and an interrupt in between leaves it running."""
    timer = threading.Timer(60, lambda: None)

    def run(_):
        timer.start()
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "bench.cli.run", types.SimpleNamespace(add_flags=lambda parser: None, run=run))
    assert cli.main(["run"]) == 130
    timer.join(SOON_S)
    assert not timer.is_alive()
