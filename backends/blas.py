"""Hold the BLAS to one thread while a backend runs its own threads: two pools on the same cores slow each other.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Blas:
    """The BLAS libraries that this process has loaded so far. Finding them takes milliseconds, so keep the object.

    Without threadpoolctl none are found: `threads` is 1, and the BLAS uses its own threads inside each product.
    """

    def __init__(self) -> None:
        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:
            self._libraries: list[Any] = []
        else:
            self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers

    @property
    def threads(self) -> int:
        """Threads that the BLAS uses, 1 if it cannot be asked."""
        return max((library.get_num_threads() or 1 for library in self._libraries), default=1)

    def use(self, threads: int) -> None:
        """Let the BLAS use this many threads from now on, in the whole process."""
        for library in self._libraries:
            library.set_num_threads(threads)

    @contextmanager
    def held_to_one_thread(self) -> Iterator[None]:
        """Let the BLAS use one thread inside the ``with`` block; then restore its number of threads."""
        before = [(library, library.get_num_threads()) for library in self._libraries]
        for library, _ in before:
            library.set_num_threads(1)
        try:
            yield
        finally:
            for library, threads in before:
                library.set_num_threads(threads)
