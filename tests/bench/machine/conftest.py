"""A made-up ``/proc`` and ``/sys`` for the tests of what a machine says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench.machine import identity, processors, system

Pretend = Callable[[Mapping[str, str]], None]


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretend]:
    """Return a function that writes files below ``proc`` and ``sys``, which then stand for the real ones."""
    monkeypatch.setattr(system, "PROC", tmp_path / "proc")
    monkeypatch.setattr(system, "SYS", tmp_path / "sys")

    def write(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        identity.fingerprint.cache_clear()
        identity.machine_id.cache_clear()

    write({})
    yield write
    monkeypatch.undo()
    identity.fingerprint.cache_clear()
    identity.machine_id.cache_clear()


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets how many logical processors this process may use."""

    def use(count: int) -> None:
        monkeypatch.setattr(processors, "usable_cpus", lambda: tuple(range(count)))
        monkeypatch.setattr(system, "usable_cpus", lambda: tuple(range(count)))

    return use
