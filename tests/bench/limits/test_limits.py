"""Standings against limit, idiom and peers come from the rows of one run, and so do the verdicts on targets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import backends
from bench import machine, results
from bench.basics.errors import UsageError
from bench.cli import main
from bench.limits import peers, placing
from bench.limits import standings as limits
from bench.limits.ceilings import Ceiling, Ceilings
from bench.limits.peers import PEERS
from bench.limits.standings import CASES, CUDA_CASES, WORKLOADS, LimitCase, Standing, make_plan, standings
from bench.limits.targets import TARGETS, judge
from bench.measure import contenders
from bench.terminal import standings as report
from bench.terminal.terminal import console

PLACED = tuple(LimitCase(network, placing.ROWS, "place") for network in placing.NETWORKS)
LARGE, WIDE = LimitCase("3-2-1", 1_048_576), LimitCase("784-512-10", 4_096)
FLAX = PEERS["flax"][1]
SECONDS = {"numba": 1e-3, "numpy": 5e-3, "numba-idiom": 80e-3, "numpy-idiom": 35e-3, "torch-idiom": 25e-3, FLAX: 20e-3}
CEILINGS = Ceilings(
    "somewhere",
    "2026-01-01T00:00:00+00:00",
    {},
    (
        Ceiling("product", "float32", 2, "square", 0, 2e11, "x"),
        Ceiling("tanh", "float32", 2, "tanh", 0, 5e9, "x"),
        Ceiling("read", "", 2, "read", 1 << 16, 2**24 / 0.5e-3, "x"),
    ),
)


def frame(seconds: dict[str, float], case: LimitCase = LARGE, **columns: Any) -> pd.DataFrame:
    """Return two processes of each backend in one case, a tenth apart to both sides of its time."""
    rows = [
        {
            "backend": name,
            "process": process,
            "network": case.network,
            "batch": case.batch,
            "phase": case.phase,
            "dtype": "float32",
            "device": "cpu",
            "threads": 2,
            "status": "ok",
            "median_s": time_s * factor,
            "lower_quartile_s": time_s * factor,
            "rounds": 3,
            "round_s": [time_s * factor] * 3,
            **columns,
        }
        for name, time_s in seconds.items()
        for process, factor in enumerate((1 / 1.1, 1.1))
    ]
    return results.table(rows)


def test_standing_is_time_limit_share_and_ratios() -> None:
    """The mean of processes over the limit, over the same framework's idiom, and over the fastest peer by name."""
    found = {standing.backend: standing for standing in standings(frame(SECONDS), CASES, CEILINGS)[0]}
    numba = found["numba"]
    assert numba.limit is not None
    assert (numba.limit.binds, numba.limit.seconds) == ("tanh", pytest.approx(6.9e-4, rel=0.01))
    assert numba.share == pytest.approx(numba.limit.seconds / 1e-3)
    assert numba.times_idiom == pytest.approx(80)
    assert numba.peer == ("flax", pytest.approx(20e-3))
    assert numba.times_peer == pytest.approx(20)
    assert found["numpy"].times_idiom == pytest.approx(7)
    assert found["flax"].role == "peer"
    assert [found[name].role for name in ("numba", "numpy-idiom")] == ["best", "idiom"]
    assert list(found) == ["numba", "numpy", "flax", "torch-idiom", "numpy-idiom", "numba-idiom"]


def test_best_peer_may_be_an_idiom_but_no_tuned_backend() -> None:
    """torch.nn, torch.compile and optax are what people run today; numpy's and numba's idioms are no packages."""
    seconds = {"numba": 1e-3, "numba-idiom": 2e-3, "numpy-idiom": 3e-3, "torch-compile": 4e-3, "jax-idiom": 5e-3}
    for standing in standings(frame(seconds), CASES, None)[0]:
        assert standing.peer == ("torch-compile", pytest.approx(4e-3))


def test_standing_of_a_failure_has_its_reason_and_no_ratio() -> None:
    """A backend that failed comes last, named with status and reason; what it would be compared with is not made up."""
    rows = pd.concat([frame({"numpy": 5e-3}), frame({"jax": 1.0}, status="crashed", reason="signal 9")])
    numpy, jax = standings(rows, CASES, None)[0]
    assert (jax.backend, jax.seconds, jax.reason) == ("jax", None, "crashed: signal 9")
    assert (jax.share, jax.times_idiom, jax.times_peer) == (None, None, None)
    assert (numpy.limit, numpy.share, numpy.times_idiom, numpy.peer) == (None, None, None, None)


def test_a_peer_that_lacks_the_dtype_is_no_rival() -> None:
    """It is left out, while a backend of ours that is not there is shown with the reason."""
    absent = {"status": "unavailable", "reason": "it has no dtype 'float64'"}
    rows = pd.concat([frame({"numpy": 5e-3}), frame({FLAX: 1.0, "jax": 1.0}, **absent)])
    assert [standing.backend for standing in standings(rows, CASES, None)[0]] == ["numpy", "jax"]


def test_share_of_a_tiny_limit_is_not_given() -> None:
    """Three rows could run in a nanosecond: a share of that says nothing."""
    (standing,) = standings(frame({"numba": 1e-6}, LimitCase("3-2-1", 3)), CASES, CEILINGS)[0]
    assert standing.limit is not None
    assert standing.share is None


def test_targets_are_judged_case_by_case() -> None:
    """The best backend against peers and limit, each against its idiom, a fifth less in float64, all else untouched."""
    seconds = SECONDS | {"jax": 30e-3, "jax-idiom": 60e-3}
    verdicts = {(v.backend, v.goal): v for v in judge(standings(frame(seconds), CASES, CEILINGS)[0])}
    assert {key: v.verdict for key, v in verdicts.items()} == {
        ("numba", ">= 10.0x best peer"): "yes",
        ("numba", ">= 75.0 % of limit"): "no",
        ("numpy", ">= 15.0 % of limit"): "no",
        ("jax", ">= 25.0 % of limit"): "no",
        ("numba", ">= 3.00x idiom"): "yes",
        ("numpy", ">= 3.00x idiom"): "yes",
        ("jax", ">= 3.00x idiom"): "no",
    }
    assert verdicts["jax", ">= 3.00x idiom"].reached == "2.00x"
    double = standings(frame({"numba": 1e-3, "numba-idiom": 2.5e-3}, dtype="float64"), CASES, None)[0]
    goals = {v.goal: v.verdict for v in judge(double)}
    assert goals == {
        ">= 8.00x best peer": "not measured",
        ">= 75.0 % of limit": "not measured",
        ">= 2.40x idiom": "yes",
    }
    assert {target.case for target in TARGETS if target.device == "cpu"} == {*CASES, *WORKLOADS, *PLACED}
    assert {target.case for target in TARGETS if target.device == "cuda"} <= set(CUDA_CASES)


@pytest.mark.parametrize("busy", [2.0, 4.0])
def test_a_workload_is_held_against_the_time_of_all_its_cores(busy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 us on both cores are 600 core-us, whatever was counted; a backend without the workload is no rival."""
    case = WORKLOADS[0]
    rows = frame({"numba": 300e-6, "torch-idiom": 1.5e-3, "jax-by-hand": 1.0}, case).assign(cpu_per_wall=busy)
    rows.loc[rows["backend"] == "jax-by-hand", ["status", "reason"]] = "unavailable", "it has no optimizer"
    judged = standings(rows, WORKLOADS, None)[0]
    assert [standing.backend for standing in judged] == ["numba", "torch-idiom"]
    verdicts = {verdict.goal: (verdict.reached, verdict.verdict) for verdict in judge(judged)}
    assert verdicts == {"<= 400 us of all cores": ("600 us", "no"), ">= 4.00x best peer": ("5.00x", "yes")}
    monkeypatch.setattr("bench.limits.standings.free_bytes", lambda _: 4 << 30)
    plan = make_plan([*CASES[:1], *WORKLOADS], ["float32"], ["numba"] * 8, 1, 0.1, 10.0)
    assert str(plan.groups[0].workload) == "3-2-1"
    assert any(line.startswith("784-128-10/relu/cross-entropy/adam") for line in plan.left_out)


def test_a_gpu_is_held_against_its_own_ceilings_and_targets() -> None:
    """Half of its bandwidth is half of the limit and meets the target; without ceilings of a GPU there is no share."""
    case = LimitCase("3-2-1", 67_108_864)
    of_gpu = (
        Ceiling("product", "float32", 0, "square", 0, 5e13, "torch", "cuda"),
        Ceiling("tanh", "float32", 0, "tanh", 0, 1e13, "torch", "cuda"),
        Ceiling("read", "", 0, "read", 1 << 31, 4e12, "torch", "cuda"),
    )
    rows = frame({"torch": 2 * 16 * case.batch / 4e12}, case, device="cuda")
    (known,), _ = standings(rows, CUDA_CASES, replace(CEILINGS, measured=(*CEILINGS.measured, *of_gpu)))
    assert (known.device, known.share) == ("cuda", pytest.approx(0.5, rel=1e-6))
    assert [verdict.goal for verdict in judge([known])] == [">= 50.0 % of limit"]
    (unknown,), _ = standings(rows, CUDA_CASES, CEILINGS)
    assert unknown.share is None


def test_targets_of_a_gpu_are_said_to_be_unmeasured_until_one_is() -> None:
    """The line counts them; once something was measured on a GPU the table has them, and there is no line."""
    case = CUDA_CASES[3]
    (on_gpu,), _ = standings(frame({"torch": 1e-3}, case, device="cuda"), CUDA_CASES, None)
    count = sum(target.device == "cuda" for target in TARGETS)
    assert report.targets_elsewhere([]).startswith(f"{count} more targets are for a GPU, and not yet measured")
    assert report.targets_elsewhere([on_gpu]) == ""


def test_a_share_of_a_gpu_never_exceeds_its_limit() -> None:
    """A time below the limit of the GPU's ceilings raises them, and the text names the device."""
    case = LimitCase("3-2-1", 67_108_864)
    slow = tuple(replace(one, threads=0, device="cuda") for one in CEILINGS.measured)
    (known,), (beaten,) = standings(
        frame({"torch": 1e-4}, case, device="cuda"), CUDA_CASES, replace(CEILINGS, measured=slow)
    )
    assert known.share == pytest.approx(1)
    assert "of cuda was too low" in str(beaten)


def test_targets_in_seconds_are_met_from_below() -> None:
    """A step of three rows in 0.7 us meets 0.8 us, in 13 us misses JAX's 12 us; float64 has no target in seconds."""
    seconds = {"numba": 0.7e-6, "jax": 13e-6}
    verdicts = judge(standings(frame(seconds, LimitCase("3-2-1", 3)), CASES, CEILINGS)[0])
    assert [(v.backend, v.goal, v.verdict) for v in verdicts] == [
        ("numba", "<= 800 ns", "yes"),
        ("jax", "<= 12.0 us", "no"),
    ]
    assert not list(judge(standings(frame(seconds, LimitCase("3-2-1", 3), dtype="float64"), CASES, None)[0]))


def test_a_variant_may_lead_for_its_framework_s_share_of_the_limit() -> None:
    """A fused step twice as fast as torch's own stands for torch; a slower one does not, nor an idiom."""
    for fused_s, expected in ((2e-3, "torch-fused"), (9e-3, "torch")):
        seconds = SECONDS | {"torch": 4e-3, "torch-idiom": 1e-3, "torch-fused": fused_s}
        found, _ = standings(frame(seconds), CASES, CEILINGS)
        shares = [v.backend for v in judge(found) if v.goal == ">= 15.0 % of limit" and v.backend != "numpy"]
        assert shares == [expected]


def test_a_target_below_the_machine_limit_is_said_to_be_out_of_reach() -> None:
    """Two cores that multiply 2e11 numbers a second take over 400 core-us for a step of the published network.

    Ten times as fast, they could take less: the target is missed, and not out of reach.
    """
    (ours, *_) = WORKLOADS
    rows = frame({"numba": 316e-6}, ours, cpu_per_wall=2.0)
    for product, lines in ((2e11, 1), (2e12, 0)):
        fast = tuple(replace(c, per_second=product) if c.kind == "product" else c for c in CEILINGS.measured)
        found, _ = standings(rows, WORKLOADS, replace(CEILINGS, measured=fast))
        (verdict,) = (v for v in judge(found) if v.goal.startswith("<="))
        assert (verdict.verdict, verdict.out_of_reach) == ("no", bool(lines))
        said = list(report.targets_out_of_reach(found))
        assert len(said) == lines
        assert all("<= 400 us of all cores: the machine's limit is" in line for line in said)


def test_tables_fit_a_terminal_and_say_what_binds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each case has a title with its limit, a row for each tuned backend, the best peer; all within 80 columns."""
    found, beaten = standings(frame(SECONDS | {"torch": 90e-6}), CASES, CEILINGS)
    for part in [*report.tables(found), *report.targets(found), *report.remarks(found, True, beaten)]:
        console().print(part)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "3-2-1, 1,048,576 rows, float32, step: limit 90.0 us (tanh)" in shown
    assert "best peer: flax, 20.0 ms" in shown
    assert "numpy-idiom" not in shown
    assert "torch at 3-2-1, 1,048,576 rows, float32, step beat its limit: the ceiling of tanh" in " ".join(
        shown.split()
    )
    assert max(standing.share for standing in found if standing.share) == pytest.approx(1)
    everyone = [table.row_count for table in report.tables(found, everyone=True)]
    assert everyone == [len(SECONDS) + 1]


def test_remarks_tell_failures_and_missing_ceilings_once() -> None:
    """One line a failure, and the command that measures again, with ceilings."""
    failed = Standing(LARGE, "float32", "jax", "best", None, "timeout: too long")
    lines = list(report.remarks([failed, failed], False, []))
    assert lines[0] == "FAILED jax: timeout: too long"
    assert [line for line in lines if "python -m bench limits" in line] == lines[1:2]


def test_plan_holds_every_case_in_isolated_blocks_on_all_cores() -> None:
    """Each case and dtype a group, each backend an arm, threads the cores; what does not fit in memory is refused."""
    plan = make_plan([LARGE, LimitCase("3-2-1", 3, "train")], ["float32", "float64"], ["numpy", FLAX], 2, 0.1, 60)
    assert {(str(g.network), g.rows, g.dtype) for g in plan.groups} == {
        ("3-2-1", batch, dtype) for batch in (3, 1_048_576) for dtype in ("float32", "float64")
    }
    assert (plan.phases, plan.threads) == (("step", "train"), (machine.default_threads(),))
    assert plan.arms == tuple((name, "", plan.threads[0]) for name in ("numpy", FLAX))
    with pytest.raises(UsageError, match="rows of network 32-64-1 in float64 needs"):
        make_plan([LimitCase("32-64-1", 1 << 40)], ["float64"], ["numpy"], 1, 0.1, 60)


def test_contenders_are_all_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuned backends, idioms and variants, then the peers that are here, unless they are not wanted."""
    monkeypatch.setattr(peers, "PEERS", {"numpy-peer": ("numpy", "a.b:C"), "absent": ("no_such_module", "d.e:F")})
    names = limits.contenders()
    assert names[-1] == "a.b:C"
    assert {"numpy", "numpy-idiom"} <= set(names)
    assert set(names) - {"a.b:C"} == set(limits.contenders(with_peers=False))
    assert peers.missing() == {"absent": "no_such_module"}
    assert (peers.short_name("a.b:C"), peers.short_name("numba")) == ("numpy-peer", "numba")


def test_variants_for_a_gpu_alone_are_no_contenders_on_a_cpu() -> None:
    """What the registry says of devices decides, before anything is imported."""
    for_gpu = {entry.name for entry in backends.catalogue() if entry.devices == ("cuda",)}
    assert "jax-pallas" in for_gpu
    assert not for_gpu & set(limits.contenders())
    with pytest.raises(UsageError, match="backend 'jax-pallas' has no device 'cpu', only cuda"):
        contenders.named(["jax-pallas"], ["float32"], ["cpu"])


def test_on_a_gpu_a_case_that_does_not_fit_is_left_out() -> None:
    """The others are measured; a plan of nothing but such a case is an error."""
    large = LimitCase("32-64-1", 1 << 40)
    plan = make_plan([LimitCase("3-2-1", 3), large], ["float32"], ["torch"], 1, 0.1, 60, "cuda")
    assert [group.rows for group in plan.groups] == [3]
    assert plan.left_out[0].startswith(f"32-64-1 n={1 << 40}: needs")
    with pytest.raises(UsageError, match="are free on cuda"):
        make_plan([large], ["float32"], ["torch"], 1, 0.1, 60, "cuda")


def test_limits_end_in_time_and_show_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --within the first lap alone is begun, and what it measured by then is shown."""
    flags = ["limits", "--case", "3-2-1:3", "--backends", "numpy", "--processes", "99", "--cell-time", "10ms"]
    assert main([*flags, "--within", "1ms", "--results", str(tmp_path), "--json"]) == 1
    told = capsys.readouterr()
    (row,) = json.loads(told.out)["standings"]
    assert "the time for all of them was over" in row["reason"]
    assert "stopped early: the time for all of it was over after 1 of 99 processes" in " ".join(told.err.split())


def test_built_in_peers_are_known_backends() -> None:
    """Every idiom that counts as a peer has an entry in the registry."""
    assert set(peers.BUILT_IN_PEERS) <= {entry.name for entry in backends.catalogue("idiom", "variant")}


def test_limits_command_measures_and_shows_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny case on numpy and its idiom, with ceilings probed in the run; the run shows the same figures again."""
    flags = ["limits", "--case", "3-2-1:20000", "--results", str(tmp_path)]
    names = ["--backends", "numpy,numpy-idiom", "--processes", "1", "--cell-time", "10ms"]
    assert main([*flags, *names, "--quick", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    rows = {row["backend"]: row for row in first["standings"]}
    assert rows["numpy"]["idiom_s"] == rows["numpy-idiom"]["seconds"] > 0
    assert 0 < rows["numpy"]["share"] <= 1
    assert rows["numpy"]["limit"]["seconds"] > 0
    assert main([*flags, "--run", first["run"], "--all", "--targets"]) == 0
    shown = capsys.readouterr().out
    assert "3-2-1, 20,000 rows, float32, step: limit" in shown
    assert "numpy-idiom" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("text", ["3-2-1", "3-2:5", "3-2-1:0", "3-2-1:many", "3-2-1:5:place"])
def test_case_that_is_none_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A case is a network, rows and step or train; anything else is told with an example, status 2."""
    assert main(["limits", "--case", text]) == 2
    assert f"error: --case {text}" in capsys.readouterr().err
