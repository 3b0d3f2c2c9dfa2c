"""The caches of this processor, as the system reports them, and the block sizes of a batch that follow from them.

``python -m backends.caches`` prints both. ``docs/tuning.md`` has the measurements behind the rule.

Tests: `tests/backends/test_caches.py`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

CPU = Path("/sys/devices/system/cpu/cpu0/cache")
MIB = 1 << 20


class Caches(NamedTuple):
    """Bytes of the first core's L2 cache and last-level cache; cores may share the last level."""

    second: int
    last: int


USUAL = Caches(MIB, 32 * MIB)
"""What is taken if the system does not say."""


class BlockBytes(NamedTuple):
    """Bytes of a block's arrays, for several ways to work on blocks.

    Attributes:
        near: a thread works on its own block, in the L2 cache and what is next to it.
        products: all threads work on one block and share each product.
        calls: the same, if starting threads or taking the interpreter lock costs as much as a short call.
    """

    near: int
    products: int
    calls: int


def block_bytes(caches: Caches) -> BlockBytes:
    """Return the best bytes of blocks: those measured with caches of 1 MiB and 32 MiB, scaled to these caches."""
    calls = min(max(caches.last // 4, 2 * MIB), 16 * MIB)
    return BlockBytes(2 * caches.second, 3 * caches.second, calls)


@lru_cache
def caches() -> Caches:
    """Return the caches of the first core."""
    sizes: dict[str, int] = {}
    try:
        for index in sorted(CPU.glob("index*")):
            size = (index / "size").read_text().strip()
            sizes[(index / "level").read_text().strip()] = int(size[:-1]) << {"K": 10, "M": 20}[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return USUAL
    second = sizes.get("2", USUAL.second)
    return Caches(second, max(sizes.get("3", second), second)) if sizes else USUAL


def l2_cache_bytes() -> int:
    """Return the size of the L2 cache of the first core."""
    return caches().second


BLOCK_BYTES = block_bytes(caches())
"""Of this machine."""


if __name__ == "__main__":
    for name, size in {**caches()._asdict(), **BLOCK_BYTES._asdict()}.items():
        print(f"{name:10} {size / MIB:8.2f} MiB")
