"""Caches are read from the system, and blocks follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends import caches as module
from backends.caches import USUAL, BlockBytes, Caches, block_bytes, caches, l2_cache_bytes

KIB, MIB = 1 << 10, 1 << 20

LAYOUTS = {
    "Zen 4 server": (("48K", "32K", "1024K", "32768K"), BlockBytes(2 * MIB, 3 * MIB, 8 * MIB)),
    "Skylake desktop": (("32K", "32K", "256K", "8192K"), BlockBytes(512 * KIB, 768 * KIB, 2 * MIB)),
    "Zen 2 server": (("32K", "32K", "512K", "16384K"), BlockBytes(MIB, 1536 * KIB, 4 * MIB)),
    "Sapphire Rapids": (("48K", "32K", "2048K", "107520K"), BlockBytes(4 * MIB, 6 * MIB, 16 * MIB)),
    "no third cache": (("64K", "64K", "4M"), BlockBytes(8 * MIB, 12 * MIB, 2 * MIB)),
}


def _system(folder: Path, sizes: tuple[str, ...]) -> None:
    """Write what Linux says of caches: two first ones, for data and for instructions, a second and maybe a third."""
    for index, (level, size) in enumerate(zip("1123", sizes, strict=False)):
        of_index = folder / f"index{index}"
        of_index.mkdir()
        (of_index / "level").write_text(f"{level}\n")
        (of_index / "size").write_text(f"{size}\n")


@pytest.mark.parametrize("name", LAYOUTS)
def test_blocks_follow_the_caches(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The L2 cache bounds blocks of one thread, the last one those of calls that all threads share."""
    sizes, expected = LAYOUTS[name]
    _system(tmp_path, sizes)
    monkeypatch.setattr(module, "CPU", tmp_path)
    assert block_bytes(caches.__wrapped__()) == expected


@pytest.mark.parametrize("said", [None, "", "large", "1024X"])
def test_caches_that_the_system_does_not_tell_are_the_usual_ones(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder for them, and if what is there cannot be read."""
    if said is not None:
        _system(tmp_path, ("32K", said))
    monkeypatch.setattr(module, "CPU", tmp_path)
    assert caches.__wrapped__() == USUAL


def test_a_last_cache_is_never_smaller_than_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some processors have a third cache for what the second gives up."""
    _system(tmp_path, ("32K", "32K", "2048K", "1024K"))
    monkeypatch.setattr(module, "CPU", tmp_path)
    assert caches.__wrapped__() == Caches(2 * MIB, 2 * MIB)
    monkeypatch.setattr(module, "caches", caches.__wrapped__)
    assert l2_cache_bytes() == 2 * MIB
