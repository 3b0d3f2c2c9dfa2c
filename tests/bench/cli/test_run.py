"""The command line of run and export: what is said, refused and returned."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.basics.errors import UsageError
from bench.cli import main
from bench.cli.run_plan import COMPILING_S
from bench.limits import probes
from bench.measure import campaign, contenders
from bench.measure.pace import Pace

SPECIMENS = Path(__file__).resolve().parents[1]  # the folder of `specimens`
TINY = ["--networks", "1-1-1", "--batches", "1,7", "--dtypes", "float64", "--phases", "step", "--processes", "1"]
TINY += ["--cell-time", "20ms", "--threads", "1"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Run where results go nowhere else, with the specimens at hand, in a plain terminal."""
    monkeypatch.setenv("PYTHONPATH", str(SPECIMENS))
    monkeypatch.syspath_prepend(SPECIMENS)
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_probes(monkeypatch):
    """Leave out the ceilings that a run measures between its laps."""
    monkeypatch.setattr(probes, "between_laps", lambda _: lambda lap: None)


def said(capsys):
    """Return what was printed, after a look at its width; a path that is longer than a line is not broken."""
    captured = capsys.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if " " in line.strip()]
    assert max(map(len, lines), default=0) <= 80
    assert "\x1b" not in captured.out
    return captured


def test_a_run_is_measured_shown_and_exported(capsys, tmp_path):
    """Plan, estimate and times are shown; the rows are stored, and exported as Parquet and CSV with equal figures."""
    assert main(["run", *TINY, "--backends", "specimens:Exact"]) == 0
    out = said(capsys).out
    assert re.search(r"estimate +[\d.]+ s", out)
    assert re.search(r"1-1-1 +1 +[\d.]+ us", out)
    run = re.search(r"next: python -m bench compare (\S+)", out)[1]
    assert main(["export", run, "--parquet", "rows.parquet"]) == 0
    assert main(["export", "--csv", "rows.csv"]) == 0
    parquet, csv = pd.read_parquet("rows.parquet"), pd.read_csv("rows.csv")
    assert parquet.median_s.tolist() == pytest.approx(csv.median_s.tolist(), rel=1e-12)
    assert len(parquet.round_s[0]) == len(csv.round_s[0].split())
    assert parquet.run.tolist() == csv.run.tolist() == [run] * 4
    assert list(parquet.columns) == list(csv.columns)


def test_a_failing_backend_ends_with_status_one(no_probes, capsys):
    """A campaign goes on beside a backend that fails, ends with status 1 and names what failed."""
    assert main(["run", *TINY, "--backends", "specimens:Exact,specimens:Raises", "--aa", "none", "--json"]) == 1
    document = json.loads(said_json(capsys))
    assert document["processes"] == 2
    assert document["failures"] == [
        "specimens:Raises, 1-1-1 n=7 float64 cpu step: failed: RuntimeError: seven is too many"
    ]


def said_json(capsys):
    """Return stdout, which must be one JSON document."""
    out = capsys.readouterr().out
    json.loads(out)
    return out


def test_a_dry_run_measures_nothing(capsys, tmp_path):
    """The plan and its estimate are shown, as text and as JSON, and nothing is stored."""
    assert main(["run", "--dry-run", "--quick"]) == 0
    assert "estimate" in said(capsys).out
    assert main(["run", "--dry-run", "--budget", "3min", "--json"]) == 0
    document = json.loads(said_json(capsys))
    assert document["estimate_s"] <= 180
    assert document["plan"]["budget_s"] == 180
    assert not (tmp_path / "results").exists()


def test_compiling_comes_on_top_of_a_warm_budget(capsys, monkeypatch):
    """Where this code has compiled nothing yet, a warm run says so and takes longer; where it has, it does not. Neither
    is told that its budget is too short.
    """
    flags = ["run", "--dry-run", "--backends", "numpy,numba", "--budget", "210s", "--warm", "--json"]
    for uncompiled, more_s in (({"numpy"}, COMPILING_S), (set(), 0.0)):
        pace = Pace(start_s={"numpy": 0.5, "numba": 1.0}, compiled=dict.fromkeys(uncompiled, frozenset()))
        monkeypatch.setattr(campaign, "earlier_pace", lambda root, pace=pace: pace)
        assert main(flags) == 0
        told = capsys.readouterr()
        assert json.loads(told.out)["plan"]["budget_s"] == 210 + more_s
        assert ("compiled first" in told.err) == bool(uncompiled)
        assert "too short" not in told.err


def test_a_budget_that_holds_nothing_is_told_so(capsys):
    """The least of a plan takes longer than 2 s, and the warning says how long."""
    assert main(["run", "--dry-run", "--budget", "2s"]) == 0
    assert "--budget 2 s is too short for the least of this plan" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--backends", "nump"], "no backend 'nump'"),
        (["--threads", "4096"], "may use"),
        (["--backends", "no.such:Thing"], "backend 'no.such:Thing': there is no module 'no.such'; is its folder"),
        (["--devices", "cuda"], "no NVIDIA GPU is seen here, so nothing can be measured on cuda; ask for cpu"),
        (["--aa", "b", "--backends", "numpy"], "--aa b: expected one of the backends of this run, numpy, or none"),
        (["--networks", "784-512-10", "--batches", "1000000000"], "are free on cpu; at most"),
        (["--resume"], "no run was cut off; start one: python -m bench run"),
        (["--resume", "nothing"], "no run 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(capsys, monkeypatch, flags, says):
    """A wish that cannot be met ends with status 2 and a message that names it."""
    monkeypatch.setattr(contenders, "accelerators", list)
    monkeypatch.setattr(contenders, "GPU_DEVICE", Path("/nowhere"))
    assert main(["run", "--dry-run", *flags]) == 2
    assert says in " ".join(said(capsys).err.split())


def test_only_backends_that_have_the_device_take_part(monkeypatch):
    """On a GPU those that have none are left out with the reason, and refused where they are asked for."""
    monkeypatch.setattr(contenders, "accelerators", lambda: ["a GPU"])
    found, without = contenders.present(["float32"], ["cuda"])
    assert not {"numpy", "numba"} & set(found)
    assert ("numpy", "it has no device 'cuda', only cpu") in without
    with pytest.raises(UsageError, match="backend 'numpy' has no device 'cuda', only cpu"):
        contenders.named(["numpy"], ["float32"], ["cuda"])
    assert contenders.named(["numpy"], ["float64"], ["cpu"]) == ("numpy",)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--networks", "3-2"], "a network needs inputs"),
        (["--batches", "1,x"], "expected a whole number of 1 or more, got 'x'"),
        (["--dtypes", "float16"], "expected some of float32, float64, got 'float16'"),
        (["--budget", "soon"], "expected a duration such as 90, 90s or 3min, got 'soon'"),
        (["--phases", "run"], "expected some of place, forward, backward, update, step, train, got 'run'"),
        (["--batches", "0"], "expected a whole number of 1 or more, got '0'"),
        (["--processes", "0"], "expected a whole number of 1 or more, got '0'"),
        (["--cell-time", "-1s"], "expected a duration such as 90, 90s or 3min, got '-1s'"),
        (["--threads", "-2"], "expected a whole number of 1 or more, got '-2'"),
        (["--phases", ","], "expected values joined by commas"),
    ],
)
def test_a_flag_that_cannot_be_read_says_what_was_expected(capsys, flags, says):
    """A value of the wrong kind ends with status 2 and an example."""
    with pytest.raises(SystemExit) as error:
        main(["run", *flags])
    assert error.value.code == 2
    err = " ".join(said(capsys).err.split())
    assert err.startswith(f"error: {flags[0]}: ")
    assert says in err
    assert err.endswith("see: python -m bench run --help")


def test_a_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    """Where results cannot be kept, nothing is measured; the folder and the flag for another are named."""
    (tmp_path / "file").write_text("")
    assert main(["run", *TINY, "--backends", "specimens:Exact", "--results", "file"]) == 2
    err = " ".join(said(capsys).err.split())
    assert err == "error: cannot write into file: Not a directory; choose another folder with --results DIR"


def test_the_columns_are_listed_without_any_run(capsys):
    """What a row holds can be read before anything was measured; asking for nothing is wrong usage."""
    assert main(["export", "--columns"]) == 0
    assert re.search(r"median_s +s +", said(capsys).out)
    assert main(["export"]) == 2
    assert "--parquet FILE" in said(capsys).err


def test_an_export_that_cannot_be_written_leaves_nothing(no_probes, capsys, tmp_path):
    """A file in the place of a folder is an error, and so is the reverse; no half file stays."""
    assert main(["run", *TINY, "--backends", "specimens:Exact", "--aa", "none"]) == 0
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in ("file/rows.csv", "folder"):
        assert main(["export", "--csv", path]) == 2
        assert path in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "results"]
