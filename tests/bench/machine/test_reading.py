"""How fast a temporary file is read: probed once for a folder, kept, read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.basics.errors import UsageError
from bench.machine import machine_id, reading
from bench.machine.reading import FILE, PIECE_BYTES, Reading, known_or_probed, probe

KNOWN = Reading(1e10, 1e9, "/folder")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_the_cache_is_no_slower_than_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe reads a file twice over, gives rates of both kinds, and leaves nothing behind."""
    monkeypatch.setattr(reading, "PROBED_BYTES", 4 * PIECE_BYTES)
    probed = probe()
    assert probed.cached_bytes_per_s >= probed.disk_bytes_per_s > 1e6
    assert probed.folder == str(folder)
    assert list(folder.iterdir()) == []


def test_a_full_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a file the folder is named, and the variable that chooses another."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(UsageError, match=f"{folder} has no room for a batch in chunks: set TMPDIR"):
        probe()


def test_what_was_probed_is_kept_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question probes, the second reads; another folder is probed anew, and a broken file is refused."""
    monkeypatch.setattr(reading, "probe", lambda: KNOWN)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/folder")
    assert known_or_probed(tmp_path) == KNOWN
    monkeypatch.setattr(reading, "probe", lambda: Reading(1.0, 1.0, "/other"))
    assert known_or_probed(tmp_path) == KNOWN
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/other")
    assert known_or_probed(tmp_path).folder == "/other"
    broken = tmp_path / machine_id() / FILE
    for text in ("[1]", "{", json.dumps(vars(KNOWN) | {"disk_bytes_per_s": 0})):
        broken.write_text(text)
        with pytest.raises(UsageError, match="does not say how fast files are read"):
            known_or_probed(tmp_path)
    broken.unlink()
    broken.mkdir()
    with pytest.raises(UsageError, match="does not say how fast files are read"):
        known_or_probed(tmp_path)
