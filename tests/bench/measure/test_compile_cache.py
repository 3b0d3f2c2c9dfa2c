"""Compile caches: in the user's cache folder, emptied when the code changes, under names that any file system takes."""

import errno
import os
import stat

import pytest

from bench.limits import children
from bench.machine import speed
from bench.measure import compile_cache
from bench.measure.compile_cache import CompileCache, file_name, folder_of_caches
from bench.report import vega


def test_caches_lie_below_the_users_own_folder(tmp_path, monkeypatch):
    """By the custom of the system, for this user alone; a relative folder counts for nothing, as its standard says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = folder_of_caches("run-1")
    assert folder == tmp_path / "backprop-bench" / "compiled" / "run-1"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compile_cache.user_caches() == tmp_path / "home" / ".cache"


def test_a_user_without_a_home_folder_gets_a_temporary_one(tmp_path, monkeypatch):
    """A number without a name, as in a container, has no home: no folder called ~ is made where the command runs."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no home folder"):
        compile_cache.user_caches()
    folder = folder_of_caches("run-1")
    assert os.access(folder, os.W_OK)
    assert speed._kept() == speed.Speed()
    speed._keep(speed.Speed("", "", {"1": {"tanh": 1.0}}))
    assert children._environment(1, "cpu")["NUMBA_CACHE_DIR"]
    assert vega._read() == ""
    vega._keep("x")
    assert list(tmp_path.iterdir()) == []
    folder.rmdir()


def test_without_a_folder_to_write_to_caches_are_temporary(tmp_path, monkeypatch):
    """A home that cannot be written to costs the cache, not the run."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = folder_of_caches("run-1")
    assert os.access(folder, os.W_OK)
    assert not folder.is_relative_to(tmp_path / "file")
    folder.rmdir()


def test_a_change_of_the_code_empties_a_cache(tmp_path, monkeypatch):
    """What was compiled from other code is gone; what belongs to this code is remembered."""
    CompileCache(tmp_path / "arm").add(["3-2-1 n=1"])
    (tmp_path / "arm" / "kernel").write_text("")
    assert CompileCache(tmp_path / "arm").groups == {"3-2-1 n=1"}
    monkeypatch.setattr(compile_cache, "code_digest", lambda: "other")
    assert CompileCache(tmp_path / "arm").groups == set()
    assert not (tmp_path / "arm" / "kernel").exists()


def test_a_full_disk_of_caches_stops_no_measurement(tmp_path, monkeypatch, caplog):
    """What was compiled is not remembered, and a warning says where there is no room."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = CompileCache(tmp_path / "arm")
    monkeypatch.setattr(compile_cache, "write_text", full)
    cache.add(["3-2-1 n=1"])
    assert f"{tmp_path / 'arm'}: No space left on device" in caplog.text
    assert CompileCache(tmp_path / "arm").groups == set()


@pytest.mark.parametrize("name", ["numpy", "package.module:Class", "a/../../b:C", "x" * 300, "\udcff:mine", "später:K"])
def test_every_name_of_a_backend_becomes_a_file_name(tmp_path, name):
    """Short, plain, below its folder, and different for different names."""
    made = file_name(name)
    assert len(made) <= 100
    assert (tmp_path / made).parent == tmp_path
    (tmp_path / made).write_text("")
    assert file_name(name + "2") != made
    assert file_name("numpy") == "numpy"


def test_a_kept_cache_tells_what_of_this_code_was_compiled(tmp_path, monkeypatch):
    """The groups that were compiled; none of other threads, none after the code changed, none from a broken file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not compile_cache.compiled("box", "jax", 2)
    cache = CompileCache(folder_of_caches("box") / file_name("jax-2"))
    assert not compile_cache.compiled("box", "jax", 2)
    cache.add(["3-2-1 n=1 float32 cpu"])
    assert compile_cache.compiled("box", "jax", 2) == {"3-2-1 n=1 float32 cpu"}
    assert not compile_cache.compiled("box", "jax", 1)
    monkeypatch.setattr(compile_cache, "code_digest", lambda: "other")
    assert not compile_cache.compiled("box", "jax", 2)
    (cache.path / compile_cache.STAMP).write_text("{")
    assert not compile_cache.compiled("box", "jax", 2)
