"""Read the next chunk in a thread while the present one is worked on.

Tests: `tests/bench/training/test_stream.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

from bench.training.standardise import Floats


def read_ahead(chunks: Iterator[Floats]) -> Iterator[Floats]:
    """Yield what ``chunks`` yields; the next one is read in a thread while this one is worked on, and no more."""
    ready: Queue[Floats | BaseException | None] = Queue()
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def read() -> None:
        try:
            wanted.acquire()
            for chunk in chunks:
                ready.put(chunk)
                del chunk
                wanted.acquire()
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # raised where the chunks are awaited
            ready.put(error)

    reader = threading.Thread(target=read, daemon=True)
    try:
        reader.start()
    except RuntimeError:  # no more threads for this account
        yield from chunks
        return
    try:
        while True:
            chunk = ready.get()
            if chunk is None:
                return
            if isinstance(chunk, BaseException):
                raise chunk
            wanted.release()
            yield chunk
            del chunk
    finally:
        stopped.set()
        wanted.release()
        reader.join()
