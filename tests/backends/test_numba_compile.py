"""What numba's kernels cost to compile, and that trouble with their cache on disk costs only time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install -e '.[numba]'")

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import numpy as np, backends
from backends import Network

def train(text, n, rate=0.01):
    network = Network.parse(text)
    rng = np.random.default_rng(0)
    params = [backends.Layer(rng.normal(size=shape), np.zeros(shape[0])) for shape in network.layer_shapes]
    backend = backends.load("numba", network)
    batch = backend.place_batch(rng.normal(size=(n, network.inputs)), rng.normal(size=(n, network.outputs)))
    placed, _ = backend.step(backend.place_params(params), batch, rate)
    return backend.train(placed, batch, rate, 2)[1]
"""


def run(code: str, cache: Path, **environment: str) -> str:
    """Return what ``code`` prints in a fresh process that can call ``train``."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache), **environment}
    ended = subprocess.run([sys.executable, "-c", TRAIN + code], env=variables, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


COUNT = """
from numba.core import event

def compiled(text, n, rate=0.01):
    with event.install_recorder("numba:compile") as recorder:
        train(text, n, rate)
    names = [(e.data["dispatcher"].py_func.__qualname__, e.data["args"]) for _, e in recorder.buffer if e.is_start]
    return names

first = compiled("17-33-3", 50)
assert len(set(first)) == len(first), first
assert not any("parallel" in name for name, _ in first), first
assert not compiled("20-40-4", 70)
assert not compiled("8-16-16-2", 17)
assert compiled("8-16-16-2", 20_000), "several blocks run on threads"
assert compiled("3-2-1", 5)
assert not compiled("3-2-1", 7, np.float32(0.01))
assert not compiled("3-2-1", 7, 1)
print("done")
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The cache that counting what is compiled began with empty, and what that printed."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, run(COUNT, folder, NUMBA_NUM_THREADS="2")


def test_second_network_compiles_nothing(counted: tuple[Path, str]) -> None:
    """No kernel is compiled twice, one block needs no loop for threads, and other sizes and rates need no kernel."""
    assert counted[1] == "done\n"


def test_spoiled_cache_is_built_again(tmp_path: Path) -> None:
    """Empty and shortened files of the cache give the same losses and are replaced by whole ones."""
    losses = run('print(train("3-2-1", 5))', tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert files
    for spoil in (lambda content: b"", lambda content: content[: len(content) // 2]):
        sizes = {path: path.stat().st_size for path in files}
        for path in files:
            path.write_bytes(spoil(path.read_bytes()))
        assert run('print(train("3-2-1", 5))', tmp_path) == losses
        assert all(path.stat().st_size > sizes[path] / 2 for path in files)


OF_EVERY_KIND = """
for text, n in (("3-2-1", 5), ("17-33-3", 50), ("17-33-3", 20_000), ("300-300-10", 24)):
    train(text, n)
"""


def test_second_process_compiles_nothing(counted: tuple[Path, str]) -> None:
    """Kernels in registers, in blocks on one thread and on all, and a team's are found in the cache as they are."""
    folder, _ = counted

    def kept() -> dict[Path, tuple[int, int]]:
        files = [path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc")]
        return {path: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in files}

    run(OF_EVERY_KIND, folder, NUMBA_NUM_THREADS="2")
    first = kept()
    assert any("member" in path.name for path in first), "a team took part"
    run(OF_EVERY_KIND, folder, NUMBA_NUM_THREADS="2")
    assert kept() == first


def test_a_kernel_that_no_cache_would_find_is_refused() -> None:
    """A jitted function in a closure is another one to numba's cache in each process."""
    from numba import njit

    from backends.numba_compile import compile_as

    @njit
    def inner(x: int) -> int:
        return x

    def kernel(x: int) -> int:
        return int(inner(x))

    with pytest.raises(TypeError, match=r"kernel holds .*inner.* in its closure"):
        compile_as(kernel, "any")


NO_FOLDER = """
from numba.core import caching

def refuse(self):
    raise OSError("read-only")

for locator in caching.CompileResultCacheImpl._locator_classes:
    if "UserProvided" not in locator.__name__:
        locator.ensure_cache_path = refuse
print(train("3-2-1", 5))
import numba
print(numba.config.CACHE_DIR)
"""


def test_without_a_cache_folder_a_temporary_one_serves(tmp_path: Path) -> None:
    """Where nothing can be written, kernels are compiled, and the temporary folder is gone afterwards."""
    losses, folder = run(NO_FOLDER, tmp_path, NUMBA_CACHE_DIR="").rsplit("\n", 2)[:2]
    assert losses
    assert folder
    assert not Path(folder).exists()
