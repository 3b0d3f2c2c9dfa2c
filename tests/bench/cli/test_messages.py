"""Sentences on stderr: their width, and what is never broken."""

import logging
import sys

import pytest

from bench import cli
from bench.basics.errors import UsageError
from bench.cli import messages

LONG_PATH = "/a/folder/with-a-name/that-is-long/enough-not-to-fit/into-a-line/of-any-terminal/rows.jsonl"


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    """Write for a terminal of the usual width."""
    monkeypatch.setenv("COLUMNS", "80")


def fail(monkeypatch, error):
    """Let a command end with an error; return its exit status."""

    class Failing:
        @staticmethod
        def add_flags(parser):
            parser.add_argument("--batch", type=int)

        @staticmethod
        def run(args):
            raise error

    monkeypatch.setitem(sys.modules, "bench.cli.run", Failing)
    return cli.main(["run"])


def test_measuring_where_processes_cannot_be_stopped_is_refused(monkeypatch, capsys):
    """Windows has no `resource`: one line says what to use instead; any other missing module is no such thing."""
    assert fail(monkeypatch, ModuleNotFoundError("No module named 'resource'", name="resource")) == 2
    assert "use WSL" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        fail(monkeypatch, ModuleNotFoundError("No module named 'nowhere'", name="nowhere"))


def test_an_error_is_wrapped_between_words_under_its_beginning(monkeypatch, capsys):
    """No line is longer than 80 columns, later ones are indented, and the words are all there, unbroken."""
    text = "the well-known value is not what was expected; " * 6 + "end"
    assert fail(monkeypatch, UsageError(text)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("error: the well-known")
    assert all(line.startswith("       ") and line[7] != " " for line in lines[1:])
    assert " ".join(line[7:] for line in lines) == text


@pytest.mark.parametrize(
    "kept",
    [
        "python -m bench run --quick --networks 784-512-10 --batches 1,4096",
        "python -m bench run --resume 20260101-000000-abcd --results results",
        "pip install -e '.[all,peers]'",
        LONG_PATH,
    ],
)
def test_what_would_be_copied_is_never_broken(monkeypatch, capsys, kept):
    """A command and a path stay on one line, wherever in the sentence they are, even one longer than the line."""
    for words in range(0, 15, 2):
        fail(monkeypatch, UsageError("word " * words + f"first: {kept}; or else something that was not asked for"))
        lines = capsys.readouterr().err.splitlines()
        assert any(kept in line for line in lines)
        assert [line for line in lines if len(line) > 80 and LONG_PATH not in line] == []


def test_a_narrow_terminal_is_kept_to(monkeypatch, capsys):
    """Where the terminal has fewer columns, so have the lines."""
    monkeypatch.setenv("COLUMNS", "40")
    fail(monkeypatch, UsageError("a sentence of many words " * 5))
    assert max(map(len, capsys.readouterr().err.splitlines())) <= 40


def test_lines_of_an_error_stay_lines(capsys):
    """A line break in the text is kept, and what follows is indented too."""
    messages.error("one\ntwo")
    assert capsys.readouterr().err == "error: one\n       two\n"


def test_what_is_logged_reads_like_a_warning(monkeypatch, capsys):
    """A file that was passed over is told of in wrapped lines."""
    fail(monkeypatch, UsageError("nothing"))
    capsys.readouterr()
    record = logging.LogRecord("bench", logging.WARNING, "", 0, "passed over %s: %s", ("a file", "why " * 30), None)
    assert logging.lastResort is not None
    lines = logging.lastResort.format(record).splitlines()
    assert lines[0].startswith("warning: passed over a file: why")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80


def test_what_is_logged_again_is_said_once(monkeypatch, capsys):
    """A command that reads a damaged run three times warns of it once; another one is warned of as well."""
    fail(monkeypatch, UsageError("nothing"))
    capsys.readouterr()
    assert logging.lastResort is not None
    for name in ("one", "one", "another", "one"):
        logging.lastResort.handle(logging.LogRecord("bench", logging.WARNING, "", 0, "passed over %s", (name,), None))
    assert capsys.readouterr().err == "warning: passed over one\nwarning: passed over another\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--batches", "0"], "error: --batches: expected a whole number of 1 or more, got '0'"),
        (["run", "--fast"], "error: unrecognized arguments: --fast"),
        (["run", "--budget"], "error: --budget: expected one argument"),
        (["run", "--bugdet", "9s"], "error: unrecognized arguments: --bugdet 9s; did you mean --budget?"),
        (["run", "--rows", "7"], "error: unrecognized arguments: --rows 7; did you mean --rows-per-step?"),
    ],
)
def test_a_mistake_in_the_arguments_names_the_commands_own_help(capsys, arguments, says):
    """What was wrong stands first, without the whole usage; then the help of the very command."""
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    assert exited.value.code == 2
    assert capsys.readouterr().err.splitlines() == [says, "       see: python -m bench run --help"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recomend"], "no command 'recomend'; did you mean recommend? there are backends, check,"),
        (
            ["recommend", "--netwrk", "3-2-1", "--batch", "5"],
            "required: --network; got --netwrk; did you mean --network?",
        ),
        (["run", "--backends", "nunpy"], "no backend 'nunpy'; did you mean 'numpy'? Known: numpy,"),
        (["ceilings", "--libraries", "nunpy"], "--libraries: expected some of numpy, numba, torch, jax, got 'nunpy'"),
    ],
)
def test_a_word_that_is_misspelt_is_answered_with_the_right_one(capsys, tmp_path, monkeypatch, arguments, says):
    """A command, a required flag, a backend, a library: each typing mistake gets what was meant, or what there is."""
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(tmp_path))
    try:
        status = cli.main(arguments)
    except SystemExit as exited:
        status = exited.code
    assert status == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_advice_to_measure_names_the_folder_that_was_asked_for(tmp_path, capsys):
    """Where a folder holds no run, the next command measures into that very folder."""
    assert cli.main(["compare", "--results", str(tmp_path / "no runs")]) == 2
    assert f"python -m bench run --quick --results '{tmp_path / 'no runs'}'" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_folder_that_was_removed_is_named(tmp_path, monkeypatch, capsys):
    """In a current folder that is gone a command says so, with status 2 and no traceback."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["backends"]) == 2
    assert "the current folder was removed" in capsys.readouterr().err


def test_a_backend_cannot_end_a_command_as_if_it_were_well(monkeypatch, capsys):
    """SystemExit(0) out of a backend while a command runs is status 1 and a sentence."""
    from bench.cli import tutorial

    def ends(_):
        raise SystemExit(0)

    monkeypatch.setattr(tutorial, "run", ends)
    assert cli.main(["tutorial"]) == 1
    assert "a backend ended this command (SystemExit: 0)" in capsys.readouterr().err
