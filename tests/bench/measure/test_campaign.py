"""What a campaign stores of backends whose time is known."""

import json
import re
import subprocess
import sys
import types

import pytest

import backends
from backends.conformance.cell import CLAIMS
from bench.basics.names import AA, PHASES
from bench.machine import speed
from bench.measure import child, process_environment
from bench.measure.instructions import Assignment
from tests.bench.measure.small_campaigns import PATH, measure

pytestmark = pytest.mark.usefixtures("specimens")


@pytest.mark.timing
def test_a_slow_first_call_is_compile_time_and_not_speed(tmp_path):
    """A step of 0.3 s at first and 20 us after is reported as 20 us within 10 %, and 0.3 s of compile time."""
    _, frame = measure(tmp_path, "SlowFirstCall")
    row = frame.iloc[0]
    assert row.status == "ok"
    assert row.lower_quartile_s == pytest.approx(20e-6, rel=0.1)
    assert row.median_s == pytest.approx(20e-6, rel=0.1)
    assert row.compile_s == pytest.approx(0.3, rel=0.1)
    assert row.first_call_s == pytest.approx(0.3, rel=0.1)
    assert row.iterations > 10


@pytest.mark.timing
def test_compile_time_of_a_loop_survives_the_search_for_its_length(tmp_path):
    """The first `train` of a process compiles; that later ones of more steps do not makes it no cheaper."""
    _, frame = measure(tmp_path, "SlowFirstTrain", phases=("train",))
    row = frame.iloc[0]
    assert row.status == "ok"
    assert row.steps > 20  # 10 would take 2 ms as single steps
    assert row.compile_s == pytest.approx(0.3, rel=0.1)


def test_loading_counts_what_the_largest_network_of_a_process_needs(monkeypatch):
    """A backend may load more for a larger network: it is asked for that one while the import is timed."""
    asked, load = [], backends.load
    monkeypatch.setattr(
        backends, "load", lambda name, network, *rest: asked.append(network) or load(name, network, *rest)
    )
    cells = [Assignment(sizes, 1, "float32", "cpu", "step", 0, 0.1) for sizes in ("3-2-1", "8-32-4-1", "1-1-1")]
    child.start_framework(types.SimpleNamespace(backend="numpy", assignments=cells))
    assert list(map(str, asked)) == ["8-32-4-1"]


def test_work_that_is_only_dispatched_is_timed_at_its_true_cost(tmp_path):
    """A step that only notes its work, which is done in synchronize in 50 us, is reported as 50 us."""
    _, frame = measure(tmp_path, "OnlyDispatches")
    row = frame.iloc[0]
    assert (row.status, row.reason) == ("ok", "")
    assert row.minimum_s >= 50e-6
    assert row.lower_quartile_s == pytest.approx(50e-6, rel=0.2)


def test_a_backend_that_does_not_wait_for_its_work_is_not_timed(tmp_path):
    """A synchronize that returns before the results are there costs the backend its rows, be a step ever so short."""
    outcome, frame = measure(tmp_path, "NeverWaits", "OnlyWhenAsked")
    assert frame.status.tolist() == ["failed"] * 2
    assert frame.median_s.isna().all()
    for line in outcome.failures:
        assert re.search(r"synchronize\(\) returned about 0\.\d+ s before the step's results were there", line)


def test_every_phase_gives_a_row_with_its_ledger(tmp_path):
    """One process gives a row for each phase, with import, place, work, memory, conformance and the receipt."""
    _, frame = measure(tmp_path, "Exact", batches=(3,), phases=PHASES)
    assert frame.phase.tolist() == list(PHASES)
    assert (frame.status == "ok").all()
    for column in (
        "median_s",
        "first_call_s",
        "import_s",
        "place_s",
        "peak_bytes",
        "conformance_ratio",
        "cpu_per_wall",
    ):
        assert (frame[column] > 0).all(), column
    assert frame.conformance_ratio.between(1e-9, 1).all()
    assert (frame.final_ratio <= 1).all()
    assert (frame.conformance_rows == 3).all()
    claims = json.loads(frame.conformance_claims[0])
    assert list(claims) == list(CLAIMS)
    assert max(claims.values()) == frame.conformance_ratio[0] == claims[frame.conformance_claim[0]]
    assert (frame.minimum_s <= frame.lower_quartile_s).all()
    assert (frame.lower_quartile_s <= frame.median_s).all()
    train = frame[frame.phase == "train"].iloc[0]
    assert train.steps >= 100
    assert train.median_s < 1e-4  # of a step, not of the call
    for field in ("python", "numpy", "framework", "threads_observed", "products", "blas", "commit", "cpu_model"):
        assert f"receipt_{field}" in frame.columns


@pytest.fixture(scope="module")
def two_laps(tmp_path_factory):
    """The outcome and the rows of two laps of two backends, of which one runs twice, with one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)
        patch.setattr(speed, "fresh", speed.here)
        root = tmp_path_factory.mktemp("results")
        return measure(root, "Exact", "SlowFirstCall", processes=2, aa="specimens:Exact", threads=(1,))


def test_the_arms_alternate_and_one_runs_twice(two_laps):
    """Laps go there and back, the A/A arm is a backend of its own, the first process is cold and the second warm."""
    frame = two_laps[1].sort_values("order")
    arms = [f"{row.backend}{row.arm}" for row in frame.itertuples()]
    assert arms == arms[::-1]
    assert sorted(set(arms)) == [f"specimens:Exact{arm}" for arm in ("", AA)] + ["specimens:SlowFirstCall"]
    assert frame.cache.tolist() == ["cold"] * 3 + ["warm"] * 3


def test_what_a_backend_says_of_itself_costs_no_row(tmp_path):
    """A `describe` that raises, or returns numbers of numpy, leaves every row there; the receipt tells the fault."""
    outcome, frame = measure(tmp_path, "CannotDescribe", "DescribesInNumpy")
    assert outcome.failures == []
    receipts = frame.set_index(frame.backend.str.partition(":")[2])
    assert receipts.receipt_describe_fault["CannotDescribe"] == "RuntimeError: I am nobody"
    assert receipts.receipt_threads["DescribesInNumpy"] == 1
    assert receipts.receipt_share["DescribesInNumpy"] == 0.5


def test_a_process_has_the_threads_that_were_asked_for(two_laps):
    """The number of threads and the processors are set before anything is imported."""
    _, frame = two_laps
    assert set(frame.receipt_threads_observed) == {1}
    assert set(frame.receipt_affinity) == {1}


def test_every_thread_variable_and_cache_is_set_before_the_start(tmp_path, monkeypatch):
    """The environment of a process says its threads in every library's words, whatever was set outside."""
    monkeypatch.setenv("OMP_NUM_THREADS", "99")
    own = process_environment.environment(3, tmp_path)
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    assert [own[f"{name}_NUM_THREADS"] for name in names] == ["3"] * 4
    assert own["NPROC"] == "3"
    for name in ("NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert own[name].startswith(str(tmp_path))


def test_pytest_benchmark_reads_what_a_process_leaves(two_laps):
    """pytest-benchmark's own compare reads the files, and they hold seconds of one call."""
    outcome, frame = two_laps
    files = sorted((outcome.run.path / "benchmarks").glob("*SlowFirstCall*.json"))
    rows = frame[frame.backend == "specimens:SlowFirstCall"].sort_values("order")
    assert len(files) == len(rows) == 2
    stored = json.loads(files[0].read_text())["benchmarks"][0]
    assert stored["stats"]["median"] == pytest.approx(rows.median_s.iloc[0], rel=0.2)
    assert stored["extra_info"]["calls_in_a_round"] == rows.iterations.iloc[0]
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, files)], capture_output=True, text=True
    )
    assert compared.returncode == 0, compared.stderr
    assert "1-1-1-n=1-float64-cpu-step" in compared.stdout
