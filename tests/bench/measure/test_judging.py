"""Each backend is judged in a child process: what becomes of the others when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli import main
from bench.measure.judging_environment import environment
from tests.bench.measure.hostile import LONG

HOSTILE = "tests.bench.measure.hostile:"
LOST = {
    "Segfault": "the process was killed by SIGSEGV",
    "ExitsWithZero": "the process ended with exit status 0",
    "RaisesSystemExit": "raised SystemExit: 0",
    "RaisesKeyboardInterrupt": "raised KeyboardInterrupt",
    "RaisesBaseException": "raised Odd: as asked",
    "RaisingInit": "raised RuntimeError: no room",
    "Hangs": "gave no sign of life for 5 s",
}


def test_backend_that_ends_its_process_fails_alone_and_with_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A crash, an exit, a hang or any exception costs that backend; the right one beside it is judged in full."""
    names = [f"{HOSTILE}{name}" for name in ("Right", *LOST)]
    asked = ["check", "--claim", "outputs,refusals", "--quick", "--dtype", "float32", "--timeout", "5s", "--json"]
    assert main([*asked, "--backend", *names]) == 1
    right, *lost = json.loads(capsys.readouterr().out)["reports"]
    assert right["passed"]
    for report, (name, words) in zip(lost, LOST.items(), strict=True):
        assert report["backend"] == f"{HOSTILE}{name}"
        assert not report["passed"]
        assert words in report["claims"][0]["where"], name
        assert [claim["name"] for claim in report["claims"]] == ["outputs", "refusals"]


def test_what_is_not_judged_in_time_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """With --within a backend that hangs is stopped then, and the report says during which claim."""
    begun_s = time.monotonic()
    asked = ["check", "--claim", "outputs,refusals", "--quick", "--dtype", "float32", "--within", "4s", "--json"]
    assert main([*asked, "--backend", f"{HOSTILE}Hangs"]) == 1
    assert time.monotonic() - begun_s < 60  # without it two minutes of silence are allowed
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert [claim["status"] for claim in report["claims"]] == ["fail", "skip"]
    assert "the time for all of it was over" in report["claims"][0]["where"]


def test_judging_processes_leave_memory_of_an_accelerator_to_each_other() -> None:
    """JAX takes three quarters of it by default, and both dtypes are judged at a time."""
    assert environment()["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_backend_that_ends_its_process_on_import_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that exits while it is imported is a failure with words, not an empty success."""
    (tmp_path / "leaves_on_import.py").write_text("import os\nos._exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["check", "--backend", "leaves_on_import:Class"]) == 1
    assert "the process ended with exit status 0" in " ".join(capsys.readouterr().out.split())


def test_names_and_messages_of_any_kind_are_printed_safely(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and lone surrogates become text, and a name of 300 letters leaves the table whole."""
    names = [f"{HOSTILE}RaisingInit", f"{HOSTILE}{LONG}"]
    assert main(["check", "--backend", *names, "--claim", "outputs", "--quick", "--dtype", "float32"]) == 1
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\\x1b[31m in the \\udc80 house" in " ".join(text.split())
    assert any(line.startswith("outputs") for line in text.splitlines())


@pytest.mark.parametrize("name", ["no\udc80body", "no/body", "n" * 300, f"{HOSTILE}no\udc80body", "no/mod:Class"])
def test_unknown_names_of_any_kind_are_refused_in_one_message(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no backend has ends with status 2, whatever letters it is made of."""
    assert main(["check", "--backend", name]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("check: ")]  # that is progress
    assert said[0].startswith("error: ")


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as a terminal does")
def test_interrupt_ends_the_command_and_the_process_that_judges(tmp_path: Path, project: Path) -> None:
    """Ctrl-C ends with status 130 and one word, and leaves no process behind."""
    noted = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "check", "--backend", f"{HOSTILE}Hangs", "--dtype", "float32"],
        cwd=project,
        env=dict(os.environ, HOSTILE_PID_FILE=str(noted), PYTHONPATH=str(project)),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + 60
    while not (noted.exists() and noted.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.strip().splitlines()[-1] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


def test_judging_processes_keep_compilations_and_wait_asleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What JAX compiled is kept in the user's own cache folder, and what the user set stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    variables = environment()
    assert Path(variables["JAX_COMPILATION_CACHE_DIR"]) == tmp_path / "backprop-bench" / "compiled" / "check"
    assert (variables["OMP_WAIT_POLICY"], variables["GOMP_SPINCOUNT"]) == ("active", "0")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert environment()["JAX_COMPILATION_CACHE_DIR"] == "mine"
