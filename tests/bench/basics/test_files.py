"""The one writer: whole or not at all, through no link of a stranger, and never over what is read."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.basics import files
from bench.basics.errors import UsageError


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    """Readers see the old text until the new one is complete; a new file is as readable as any other."""
    path = tmp_path / "out.txt"
    files.write_text(path, "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()
    path.chmod(0o640)
    with files.replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert os.listdir(tmp_path) == ["out.txt"]


def umask() -> int:
    """Return the permissions that new files lack."""
    value = os.umask(0o077)
    os.umask(value)
    return value


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    """Whatever stops the writing, the folder is as before; an error of the disk names the file that was asked for."""
    path = tmp_path / "out.txt"
    path.write_text("old")

    def write() -> None:
        with files.replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]
    if isinstance(raised.value, OSError):
        assert raised.value.filename == str(path)


def test_links_with_guessable_names_are_not_followed(tmp_path: Path) -> None:
    """A link laid under FILE.partial stays, and what it points to stays as it was."""
    victim, path = tmp_path / "victim", tmp_path / "out.txt"
    victim.write_text("dear")
    (tmp_path / "out.txt.partial").symlink_to(victim)
    files.write_text(path, "new")
    assert (victim.read_text(), path.read_text()) == ("dear", "new")


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    """What the link points to is replaced, there or not yet there."""
    (tmp_path / "far").mkdir()
    path = tmp_path / "out.txt"
    path.symlink_to(tmp_path / "far" / "real.txt")
    for text in ("first", "second"):
        files.write_text(path, text)
        assert path.is_symlink()
        assert (tmp_path / "far" / "real.txt").read_text() == text


def test_a_pipe_and_a_device_are_written_through(tmp_path: Path) -> None:
    """A named pipe hands the text to its reader and stays a pipe; /dev/null stays a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    files.write_text(pipe, "text")
    reader.join(10)
    assert got == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    files.write_text(null, "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.path.islink(null)


def test_standard_output_is_appended_to_wherever_it_goes(tmp_path: Path) -> None:
    """/dev/stdout that a shell sends to a file is neither replaced nor cut."""
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "from pathlib import Path; from bench.basics import files; files.write_text(Path('/dev/stdout'), 'text')"
    with log.open("a") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=60)
    assert log.read_text() == "before\ntext"


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    """By its own name, through a link, or by another name of the same file, an input is refused as output."""
    data = tmp_path / "data.csv"
    data.write_text("a,b\n")
    (tmp_path / "link.csv").symlink_to(data)
    os.link(data, tmp_path / "twin.csv")
    for name in ("data.csv", "link.csv", "twin.csv", "../" + tmp_path.name + "/data.csv"):
        with pytest.raises(UsageError, match="is the file of --data, which stays as it is"):
            files.check_output(tmp_path / name, "--save", {"--data": data, "--params": None})
    assert files.check_output(tmp_path / "other.csv", "--save", {"--data": data}) == tmp_path / "other.csv"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a folder"),
        ("file/below/out.txt", "/file' is a file, not a folder; choose another"),
        ("locked/out.txt", "cannot be written to"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a file in the place of one, and a locked folder are named."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "file").touch()
    usual = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and usual(path, mode))
    with pytest.raises(UsageError, match=message):
        files.check_output(tmp_path / name, "--out")


def test_folders_on_the_way_to_an_output_are_made(tmp_path: Path) -> None:
    """When the file is written: a command that is refused after the check leaves no folder."""
    path = tmp_path / "new" / "newer" / "out.txt"
    assert files.check_output(path, "--out") == path
    assert not (tmp_path / "new").exists()
    files.write_text(path, "text")
    assert path.read_text() == "text"


def test_devices_may_be_named_as_output() -> None:
    """What is written through needs no writable folder."""
    for path in ("/dev/null", "/dev/stdout"):
        assert files.check_output(path, "--out") == Path(path)
