"""A command whose streams, terminal or signals misbehave ends cleanly, with its work done and the right status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.cli import streams
from bench.terminal.terminal import console, table
from bench.terminal.wrapping import wrap

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table whose column names hold an umlaut and an escape."""
    x = np.random.default_rng(0).uniform(0, 10, (40, 2))
    rows = "".join(f"{a},{b},{2 * a - b}\n" for a, b in x)
    (tmp_path / "d.csv").write_text(f"Größe,r\x1b[31med,y\n{rows}", encoding="utf-8")
    return tmp_path


def shell(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which $TRAIN trains for 20 steps and saves ``p``."""
    train = f"{sys.executable} -m bench train --data d.csv --target y --backend numpy --save p --steps"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "80", "TRAIN": train} | variables
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("$TRAIN 20 >&-", 0),
        ("$TRAIN 20 >/dev/null 2>&-", 0),
        ("$TRAIN 20 | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
        ("{ $TRAIN 20; echo $? >status; } 2>&1 >/dev/null | true; exit $(cat status)", 0),
        ("$TRAIN 20 >/dev/full", 1),
    ],
    ids=["stdout closed", "stderr closed", "head", "stderr unread", "stdout full"],
)
def test_streams_that_cannot_be_written_break_nothing(folder: Path, script: str, status: int) -> None:
    """No traceback appears, and the parameters are saved unless the status says otherwise."""
    ended = shell(folder, script)
    assert (ended.returncode, "Traceback" in ended.stderr) == (status, False), ended.stderr
    assert status or (folder / "p").stat().st_size > 0


def test_names_are_shown_as_the_terminal_can(folder: Path) -> None:
    """In ASCII an umlaut is an escape, and a control character of a name is one in any encoding."""
    ended = shell(folder, "$TRAIN 20", PYTHONIOENCODING="ascii")
    assert r"Gr\xf6\xdfe, r\x1b[31med" in ended.stdout
    assert "\x1b" not in shell(folder, "$TRAIN 20 --ignore 'r\x1b[31med!' 2>&1", PYTHONIOENCODING="utf-8").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_stop_training_and_keep_the_parameters(folder: Path, number: signal.Signals) -> None:
    """A polite kill and a closing terminal are Ctrl-C: the parameters reached are saved, status 130."""
    command = [sys.executable, "-m", "bench", "train", "--data", "d.csv", "--target", "y", "--backend", "numpy"]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup lets all its children ignore it
    process = subprocess.Popen(
        [*command, "--save", "p", "--steps", "200000000"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGHUP, before)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("training"):
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (cli.INTERRUPTED, "")
    assert f"Stopped by {'Ctrl-C' if number == signal.SIGINT else number.name} after" in out
    assert (folder / "p").exists()


def test_sigterm_ends_any_command_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside training, a kill interrupts: status 130, one word, and the handler is put back."""

    class Killed:
        @staticmethod
        def add_flags(parser: object) -> None: ...

        @staticmethod
        def run(args: object) -> int:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(10)
            return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(sys.modules, "bench.cli.run", Killed)
    assert cli.main(["run"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_modules_of_the_current_folder_hide_no_other(folder: Path) -> None:
    """Folders and files with names of ours and of the library's stay out of the way; a backend is found there."""
    for name in ("statistics.py", "random.py", "numpy.py"):
        (folder / name).write_text("raise SystemExit('the wrong module')")
    (folder / "bench").mkdir()
    (folder / "backends").mkdir()
    (folder / "mine.py").write_text("from backends.numpy_backend import NumpyBackend as Mine")
    script = (
        f"{sys.executable} -c 'from bench.cli import main; raise SystemExit(main())' train --data d.csv --target y "
    )
    ended = shell(folder, script + "--steps 5 --backend mine:Mine")
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = shell(folder, "$TRAIN 5")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_checkout_goes_before_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the checkout's own folder both packages come from there; any other folder is searched last."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for folder, expected in ((CHECKOUT, [str(CHECKOUT), "installed"]), (tmp_path, ["installed", str(tmp_path)])):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", [str(folder), "installed"])
        cli._search_here_last()
        assert sys.path == expected


def test_pytest_finds_a_backend_in_the_current_folder(folder: Path) -> None:
    """The kit under pytest looks there as the command line does."""
    (folder / "mine.py").write_text("from backends.numpy_backend import NumpyBackend as Mine")
    options = "-p backends.conformance.plugin --pyargs backends.conformance --backend mine:Mine --collect-only -q"
    ended = shell(folder, f"$(dirname {sys.executable})/pytest {options} --dtype float32")
    assert ended.returncode == 0, ended.stdout
    assert "mine:Mine" in ended.stdout


def test_docstrings_and_assertions_are_not_needed(folder: Path) -> None:
    """Under PYTHONOPTIMIZE=2 training works as ever."""
    ended = shell(folder, "$TRAIN 20", PYTHONOPTIMIZE="2")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_words_of_a_table_are_not_cut(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any width each word of a heading and a cell stands whole; where columns do not fit, rows become lines."""
    monkeypatch.setenv("COLUMNS", columns)
    headings = ["target", "R^2 trained on", "R^2 held out", "RMSE trained on", "some more words here"]
    rows = [("temperature", 0.986, 0.956, 0.857, "sentences that are broken between words")] * 2
    out = console()
    with out.capture() as captured:
        out.print(table(headings, rows))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= int(columns)
    shown = set(text.split())
    assert {word for heading in headings for word in heading.split()} <= shown
    assert {"temperature", "sentences", "between", "0.986"} <= shown


def test_text_of_strangers_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, bells and marks of direction are written out in sentences, printed text and tables."""
    evil = "a\x1b[2Jb\x07c\N{RIGHT-TO-LEFT OVERRIDE}\ud800"
    console().print(evil)
    console().print(table([evil, "x"], [(evil, 1)], title=evil))
    print(wrap(evil))
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\N{RIGHT-TO-LEFT OVERRIDE}", "\ud800"} & set(out)
    assert out.count(r"\x1b[2Jb\x07c\u202e\ud800") == 5


def test_stderr_without_reader_goes_nowhere() -> None:
    """Once writing fails, the rest is dropped in silence, and the stream still answers what it is."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as file:
        stream = streams._Unread(file)
        for _ in range(3):
            stream.write("text\n")
            stream.flush()
        assert stream.encoding == file.encoding
