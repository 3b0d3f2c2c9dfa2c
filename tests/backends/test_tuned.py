"""Constants that were tuned for this machine: read once, used if they fit, ignored with a reason if not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from backends import tuned

pytestmark = pytest.mark.usefixtures("defaults")

LOAD = """
import backends.numpy_backend
from backends import threads, tuned
print(threads.LONG_ROWS, tuned.in_force())
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A function that writes a file and returns what is read of it; the file starts as `tune` writes it."""

    def write(text=None, **changes):
        document = json.loads(tuned.text_of({"numpy-long-rows": (1 << 15, 1 << 16)}))
        entry = {name: changes.pop(name) for name in ("value", "default", "version") if name in changes}
        document |= changes
        if entry:
            document["values"]["numpy-long-rows"] |= entry
        path = tmp_path / "tuned.json"
        path.write_text(json.dumps(document) if text is None else text)
        monkeypatch.setenv(tuned.VARIABLE, str(path))
        tuned.stored.cache_clear()
        return tuned.stored()

    yield write
    tuned.stored.cache_clear()


def test_a_kept_value_takes_the_place_of_its_default(kept):
    """A constant has the value of the file; one that is not in it has its default."""
    assert kept().fault == ""
    assert tuned.tuned("numpy-long-rows", 1 << 16) == 1 << 15
    assert tuned.tuned("numpy-near-bytes", 1 << 20) == 1 << 20
    assert tuned.in_force() == {"numpy-long-rows": 1 << 15}
    assert tuned.as_text() == "numpy-long-rows=32768"


def test_a_value_against_another_default_is_not_used(kept):
    """If the code has another default than the value was tried against, the default counts."""
    kept()
    assert tuned.tuned("numpy-long-rows", 1 << 17) == 1 << 17
    assert tuned.in_force() == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": "{"}, "no file of tuned values"),
        ({"text": "[]"}, "no file of tuned values"),
        ({"text": "\0" * 9}, "no file of tuned values"),
        ({"text": "[" * 100_000}, "no file of tuned values"),
        ({"format": 2}, "has format 2, expected 1"),
        ({"machine": "another"}, "of another machine"),
        ({"version": "0.0"}, "another version of what computes numpy-long-rows"),
        ({"value": 0}, "expected a whole number of 1 or more, got 0"),
        ({"value": 1.5}, "got 1.5"),
        ({"value": True}, "got True"),
        ({"value": "many"}, "got 'many'"),
        ({"value": (1 << 20) + 1}, "more than 16 times off its default, 65536"),
        ({"value": (1 << 12) - 1}, "more than 16 times off"),
        ({"values": {"numpy-long-rows": {}}}, "no file of tuned values"),
    ],
)
def test_what_cannot_be_used_is_ignored_with_one_line(kept, caplog, changes, reason):
    """A file that is broken, of another machine or of other versions changes nothing, and one line says why."""
    with caplog.at_level(logging.WARNING):
        stored = kept(**changes)
    assert stored.values == {}
    assert reason in stored.fault
    assert stored.fault.endswith("run: python -m bench tune")
    assert [record.getMessage() for record in caplog.records] == [f"ignored: {stored.fault}"]
    assert "\n" not in stored.fault
    assert tuned.tuned("numpy-long-rows", 1 << 16) == 1 << 16


def test_no_file_and_a_switch_give_the_defaults(kept, tmp_path, monkeypatch, caplog):
    """Without a file every constant is at its default, and so it is if the variable is `off`; nothing is said."""
    kept()
    for value in (str(tmp_path / "none.json"), tuned.OFF):
        monkeypatch.setenv(tuned.VARIABLE, value)
        tuned.stored.cache_clear()
        assert tuned.tuned("numpy-long-rows", 1 << 16) == 1 << 16
    assert tuned.path() is None
    assert caplog.records == []


def test_the_file_is_the_machines_own(monkeypatch, tmp_path):
    """Machines that share a home folder have a file each, and a user without one has none."""
    monkeypatch.delenv(tuned.VARIABLE)
    monkeypatch.setattr(tuned, "user_caches", lambda: tmp_path)
    assert tuned.path() == tmp_path / "backprop-bench" / f"tuned-{tuned.machine()}.json"

    def homeless():
        raise FileNotFoundError

    monkeypatch.setattr(tuned, "user_caches", homeless)
    assert tuned.path() is None


def test_a_backend_computes_with_the_kept_value(kept, tmp_path):
    """A fresh process that imports a backend has the value of the file."""
    kept()
    environment = {tuned.VARIABLE: str(tmp_path / "tuned.json"), "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split(maxsplit=1) == ["32768", "{'numpy-long-rows': 32768}\n"]
