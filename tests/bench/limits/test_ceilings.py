"""Ceilings become limits by the stated formula, and are kept whole on disk."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from backends import Network
from bench import cli
from bench.basics.errors import UsageError
from bench.limits import probes
from bench.limits.ceilings import FILE, Ceiling, Ceilings, limit_s, load, save
from bench.machine import machine_id
from bench.workload.work import flop, least_bytes, tanh_count

MIB = 1 << 20


def ceiling(kind: str, per_second: float, size: int = 0, dtype: str = "", threads: int = 2, by: str = "x") -> Ceiling:
    """Return a ceiling named by its kind."""
    return Ceiling(kind, dtype, threads, kind, size, per_second, by)  # type: ignore[arg-type]


def machine(**rates: float) -> Ceilings:
    """Return a machine with a fast cache of 1 MiB before a slow memory, and these rates instead of the usual ones."""
    usual = {"product": 2e11, "tanh": 5e9, "cache": 1e11, "memory": 3e10, "copy": 2e10} | rates
    measured = (
        ceiling("product", usual["product"] / 2, dtype="float32"),
        ceiling("product", usual["product"], dtype="float32"),
        ceiling("tanh", usual["tanh"], dtype="float32"),
        ceiling("read", usual["cache"], 64 << 10),
        ceiling("read", usual["memory"], 8 * MIB),
        ceiling("copy", usual["copy"], 64 << 10),
        ceiling("copy", usual["copy"], 8 * MIB),
    )
    return Ceilings("2x-some", "2026-01-01T00:00:00+00:00", {"cores": 2}, measured)


SKINNY, HIDDEN, WIDE = Network((3, 2, 1)), Network((32, 64, 1)), Network((784, 512, 10))


def test_limit_follows_its_formula_and_names_what_binds() -> None:
    """max(bytes / bandwidth, FLOP / product rate + tanh / tanh rate), bound by the largest term of the larger side."""
    n = 1 << 20
    for network, rows, rates, binds in [
        (SKINNY, n, {"memory": 1e10}, "bytes"),
        (SKINNY, n, {"tanh": 1e9}, "tanh"),
        (WIDE, 4096, {}, "FLOPs"),
    ]:
        rate = {"product": 2e11, "tanh": 5e9, "memory": 3e10} | rates
        bytes_s = least_bytes(network, rows) / max(rate["memory"], 2e10)
        flop_s, tanh_s = flop(network, rows) / rate["product"], tanh_count(network, rows) / rate["tanh"]
        limit = limit_s(network, rows, "float32", "step", machine(**rates))
        assert limit.seconds == pytest.approx(max(bytes_s, flop_s + tanh_s))
        assert (limit.bytes_s, limit.flop_s, limit.tanh_s) == pytest.approx((bytes_s, flop_s, tanh_s))
        assert limit.binds == binds


def test_bandwidth_is_that_of_the_nearest_measured_set_no_larger() -> None:
    """A batch between two measured sizes gets the faster of the two, one below all the fastest."""
    for rows, rate in [(100, 1e11), (100_000, 1e11), (8 * MIB // 16, 3e10), (1 << 24, 3e10)]:
        limit = limit_s(SKINNY, rows, "float32", "step", machine())
        assert limit.bytes_s == pytest.approx(least_bytes(SKINNY, rows) / rate), rows


def test_placing_is_held_against_a_copy() -> None:
    """`place` reads and writes all of X and Y, at the bandwidth of a copy, and computes nothing."""
    limit = limit_s(SKINNY, 1 << 20, "float32", "place", machine())
    assert limit.seconds == pytest.approx(2 * 16 * (1 << 20) / 2e10)
    assert (limit.binds, limit.flop_s, limit.tanh_s) == ("bytes", 0, 0)


def test_ceilings_that_were_not_measured_are_asked_for() -> None:
    """Another dtype or number of threads raises an error with the command that measures it."""
    with pytest.raises(UsageError, match=r"product for float64 with 2 threads; measured: 2; run: .* --threads 2"):
        limit_s(SKINNY, 10, "float64", "step", machine())
    with pytest.raises(UsageError, match=r"with 5 threads; measured: 2; run: python -m bench ceilings --threads 5"):
        limit_s(SKINNY, 10, "float32", "step", machine(), threads=5)


def test_ceilings_survive_the_disk(tmp_path: Path) -> None:
    """What is saved is loaded again, equal, from a folder of the machine's name, and no partial file stays behind."""
    path = save(machine(), tmp_path)
    assert path == tmp_path / "2x-some" / FILE
    assert load("2x-some", tmp_path) == machine()
    assert [file.name for file in path.parent.iterdir()] == [FILE]
    assert load("another", tmp_path) is None


NEGATIVE = {"machine": "m", "created": "", "fingerprint": {}, "measured": [vars(ceiling("tanh", -1.0))]}


SOUND = {"machine": "m", "created": "", "fingerprint": {}, "measured": [vars(ceiling("tanh", 1.0))]}
WRONG = [{"kind": "speed"}, {"kind": ["tanh"]}, {"threads": "2"}, {"threads": []}, {"working_set_bytes": None}]
WRONG += [{"dtype": ["float32"]}, {"shape": {}}, {"by": "\ud800"}, {"per_second": "fast"}, {"per_second": True}]
DAMAGED = [SOUND | {"measured": [SOUND["measured"][0] | wrong]} for wrong in WRONG]
DAMAGED += [SOUND | {"created": None}, SOUND | {"fingerprint": []}, SOUND | {"machine": 5}]


@pytest.mark.parametrize(
    "text",
    ["{", "{}", "[]", json.dumps({"measured": [{"kind": "read"}]}), *map(json.dumps, [NEGATIVE, *DAMAGED])],
)
def test_damaged_ceilings_are_named(tmp_path: Path, text: str) -> None:
    """A file that does not hold ceilings raises an error with its path and what to do."""
    path = tmp_path / "m" / FILE
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"{path} does not hold ceilings.*measure them again"):
        load("m", tmp_path)


def test_a_pipe_in_the_place_of_ceilings_is_not_waited_for(tmp_path: Path) -> None:
    """What is no file is named like a damaged one, at once."""
    path = tmp_path / "m" / FILE
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(UsageError, match=rf"{path} cannot be read: not a file; measure ceilings again"):
        load("m", tmp_path)


def test_best_is_at_least_what_a_harder_case_reached() -> None:
    """The fastest library counts; less memory is no slower than more, and more threads no slower than fewer."""
    found = probes.best(
        [
            ceiling("read", 10, 64, by="numpy"),
            ceiling("read", 20, 64, by="numba"),
            ceiling("read", 30, 128, threads=1, by="torch"),
            ceiling("read", 5, 256),
            ceiling("product", 99, 1),
            ceiling("product", 40, 1, threads=1),
        ]
    )
    rates = {(c.kind, c.working_set_bytes, c.threads): (c.per_second, c.by) for c in found}
    assert rates == {
        ("read", 64, 2): (30, "torch"),
        ("read", 128, 1): (30, "torch"),
        ("read", 256, 2): (5, "x"),
        ("product", 1, 2): (99, "x"),
        ("product", 1, 1): (40, "x"),
    }


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a minute of measuring is not thrown away at its end."""
    (tmp_path / "results").write_text("")
    monkeypatch.setattr(probes, "measure", lambda *_: pytest.fail("measured"))
    assert cli.main(["ceilings", "--results", str(tmp_path / "results")]) == 2
    assert "choose another folder with --results DIR" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("flags", [[], ["--fresh"]])
def test_measuring_replaces_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """The command that an error of a damaged file names does not end with the same error."""
    path = tmp_path / machine_id() / FILE
    path.parent.mkdir()
    path.write_text("{")
    monkeypatch.setattr(probes, "measure", lambda *_: replace(machine(), machine=machine_id()))
    assert cli.main(["ceilings", "--results", str(tmp_path), *flags]) == 0
    assert ("does not hold ceilings" in " ".join(capsys.readouterr().err.split())) is not bool(flags)
    assert load(machine_id(), tmp_path) is not None
