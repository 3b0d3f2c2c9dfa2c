"""What an all-reduce takes: probed, kept, interpolated, carried to a link."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.ranks import local
from bench.basics.errors import UsageError
from bench.machine import machine_id
from bench.ranks import allreduce
from bench.ranks.allreduce import AllReduce, Link, known_or_probed, stored, sum_s

KNOWN = AllReduce("mpi", (40, 4_000, 400_000), (4e-6, 8e-6, 4e-4))


def test_a_size_between_probed_ones_lies_between_on_log_scales() -> None:
    """Probed sizes keep their times, those between lie between on log scales, and longer ones are in proportion."""
    assert KNOWN.between(4_000) == pytest.approx(8e-6)
    assert KNOWN.between(400) == pytest.approx((4e-6 * 8e-6) ** 0.5)
    assert KNOWN.between(800_000) == pytest.approx(8e-4)


def test_a_link_adds_its_trips_and_its_bytes() -> None:
    """Over a link a sum takes what it takes here, the latency of its messages, and the bytes at the link's rate."""
    link = Link.parse("1Gbit, 0.1ms")
    assert (link.latency_s, link.bytes_per_s) == (pytest.approx(1e-4), pytest.approx(125e6))
    assert sum_s(KNOWN, 40, 2, link) == pytest.approx(1e-4 + 4e-6 + 40 / 117.5e6)
    assert sum_s(KNOWN, 4_000, 2, link) == pytest.approx(2e-4 + 8e-6 + 4_000 / 117.5e6)  # there and back
    gloo = replace(KNOWN, engine="torch")
    assert sum_s(gloo, 40, 2, link) == pytest.approx(2e-4 + 4e-6 + 40 / 117.5e6)  # ready, and the vector
    assert sum_s(gloo, 400_000, 2, link) == pytest.approx(4e-4 + 4e-4 + 400_000 / 117.5e6)  # twice
    assert sum_s(KNOWN, 40, 2) == pytest.approx(4e-6)
    assert sum_s(KNOWN, 40, 1, link) == 0.0


def test_more_ranks_take_more_rounds() -> None:
    """Four ranks take two rounds of a short message, and of a long one less than two, for a ring passes parts."""
    assert sum_s(KNOWN, 8, 4) == pytest.approx(2 * sum_s(KNOWN, 8, 2))
    assert sum_s(KNOWN, 400_000, 4) < 2 * sum_s(KNOWN, 400_000, 2)


@pytest.mark.parametrize("text", ["1Gbit", "fast", "0Gbit,1ms", "1Gbit,1min"])
def test_a_link_without_bandwidth_and_latency_is_refused(text: str) -> None:
    """Another form than bandwidth and latency is refused with what was expected."""
    with pytest.raises(ValueError, match=r"written like 1Gbit,0\.1ms"):
        Link.parse(text)


def test_what_was_probed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question probes, the second reads what the first kept."""
    monkeypatch.setattr(allreduce, "probe", lambda engine: KNOWN)
    assert known_or_probed("mpi", tmp_path) == KNOWN
    monkeypatch.delattr(allreduce, "probe")
    assert known_or_probed("mpi", tmp_path) == KNOWN


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "5", '[{"engine": "mpi", "sizes_bytes": [], "seconds": []}]']
    + [
        f'[{{"engine": "mpi", "sizes_bytes": [1, 2], "seconds": {seconds}}}]'
        for seconds in ("[1]", "[1, 0]", '["a", 1]')
    ],
)
def test_a_damaged_file_of_probes_is_named(tmp_path: Path, text: str) -> None:
    """What holds no times that can be interpolated is refused by its path, with what to do."""
    path = tmp_path / machine_id() / allreduce.FILE
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError, match=r"allreduce\.json does not hold times of an all-reduce .*: remove it"):
        stored(tmp_path)


def test_two_ranks_are_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe starts two ranks; a long message takes longer than a short one."""
    if local.mpiexec() is None:
        pytest.skip("no mpiexec here")
    monkeypatch.setattr(allreduce, "LENGTHS", (13, 1_000_000))
    monkeypatch.setattr(allreduce, "LENGTH_S", 0.02)
    probed = allreduce.probe("mpi")
    assert probed.sizes_bytes == (52, 4_000_000)
    assert 0 < probed.seconds[0] < probed.seconds[1] < 1
