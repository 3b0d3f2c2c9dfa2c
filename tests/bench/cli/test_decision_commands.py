"""`compare`, `recommend`, `gate`, `certify` and `validate` as typed: what they print, return and refuse."""

import json
import os
import subprocess
import sys
import time

import pytest

from bench.advice import basis, validate
from bench.cli import main
from bench.verdicts import certify
from tests.bench import synthetic
from tests.bench.synthetic import Noise

OPTIONS = {"noise": Noise(process=0.01), "networks": ("3-2-1", "8-32-1", "64-64-64-1"), "rounds": 15}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return a folder with three runs: one, the same again, and one in which jax became slower in one place."""
    root = tmp_path_factory.mktemp("results")
    slower = {("jax", "8-32-1", 256): 1.3}
    for day, options in enumerate(({}, {}, {"slower": slower}), start=1):
        made = synthetic.frame(run=f"2025010{day}-run", seed=day, **OPTIONS, **options)
        synthetic.store(made.assign(created=f"2025-01-0{day}T00:00:00Z"), root)
    return root


@pytest.fixture(scope="module")
def answers():
    """What commands printed, by their arguments: the stored runs do not change."""
    return {}


@pytest.fixture
def bench(stored, answers, monkeypatch, capsys):
    """Return a function that runs a command on the stored runs: status, stdout, and stderr on one line."""
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(stored))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        if arguments in answers:
            return answers[arguments]
        try:
            status = main(list(arguments))
        except SystemExit as stopped:
            status = stopped.code
        out, err = capsys.readouterr()
        answer = status, out, " ".join(err.split())
        if status != 2:  # what is refused may depend on what a test replaced
            answers[arguments] = answer
        return answer

    return run


JOB = ("recommend", "--network", "17-33-3", "--batch", "5000")


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "20250103"),
        ("compare", "20250103", "--phases", "step,train,place", "--brief"),
        ("compare", "20250101", "20250103"),
        JOB,
        (*JOB, "--steps", "100000000", "--cache", "cold", "--threads", "7"),
        (*JOB, "--chunks"),
        ("gate", "--baseline", "20250101"),
    ],
)
def test_everything_printed_fits_80_columns(bench, arguments):
    """No line is wider than 80 columns, and nothing is coloured in a pipe."""
    _, out, err = bench(*arguments)
    assert err == ""
    assert len(out.splitlines()) > 3
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out


def test_compare_begins_with_the_map_and_ends_with_the_chance(bench):
    """First the fastest backend of each range of batches; last what the run's A/A arm found, and what failed."""
    status, out, _ = bench("compare")
    assert status == 0
    head = out.splitlines()[:6]
    assert "fastest backend" in head[1]
    assert head[3].split() == ["3-2-1", "1", "to", "1,048,576", "numba"]
    assert "A/A: numba against itself was called different in 0 of 18 comparisons (0 %)." in out
    assert "FAILED broken, 3-2-1 n=1 float32 step: nonconformant" in out


def test_compare_as_json_is_one_document(bench):
    """The rows of every case and backend, the winners and the A/A arm, and nothing else on stdout."""
    document = json.loads(bench("compare", "--json")[1])
    assert not any(isinstance(value, dict) for row in document["rows"] for value in row.values())
    assert len(document["rows"]) == 3 * 6 * 4
    assert len(document["winners"]) == 3 * 6
    assert document["a_against_a"] == {"backend": "numba", "comparisons": 18, "different": 0, "rate": 0.0}
    assert document["rows"][0]["backend"] == "numba"


def test_what_is_no_number_is_null_in_json(bench):
    """JSON has no NaN: a ratio to numpy, in a comparison without numpy, is null."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    out = bench("compare", "--backends", "jax,torch", "--json")[1]
    assert {row["to_numpy"] for row in json.loads(out, parse_constant=refuse)["rows"]} == {None}


def test_compare_of_two_runs_says_what_changed(bench):
    """The cell made slower is the only one named."""
    status, out, _ = bench("compare", "20250101", "20250103")
    assert status == 0
    assert out.startswith("1 slower, 0 faster, ")
    assert "jax      8-32-1     256  step" in out


def test_recommend_begins_with_the_answer(bench):
    """The first line names the backend and its total; then the ledger, both kinds of changes, and what it rests on."""
    status, out, _ = bench(*JOB, "--steps", "10")
    assert status == 0
    assert out.startswith("Use numpy: ")
    for part in ("import  compile    place", "By batch, at 10 steps: ", "By steps, at batch 5,000: ", "interpolated"):
        assert part in out
    assert "run 20250103-run" in out


def test_recommend_as_json_is_one_document(bench):
    """The object of the library, in full."""
    document = json.loads(bench(*JOB, "--json")[1])
    assert {"backend", "outcome", "total_s", "rows", "batch_changes", "step_changes", "basis", "runs"} <= set(document)
    assert {row["backend"] for row in document["rows"]} == set(synthetic.SPEEDS)


def test_recommend_rests_on_the_run_asked_for(bench):
    """A run named with --run is the one that is used."""
    assert json.loads(bench(*JOB, "--run", "20250101", "--json")[1])["runs"] == ["20250101-run"]


def test_gate_returns_1_on_a_proven_slow_down_alone(bench):
    """The same code again passes with status 0; a slow-down of 30 % in one place fails with 1 and is named."""
    status, out, _ = bench("gate", "--baseline", "20250101", "--candidate", "20250102")
    assert (status, out.split(":")[0]) == (0, "passed")
    status, out, _ = bench("gate", "--baseline", "20250101")
    assert (status, out.split(":")[0]) == (1, "FAILED")
    assert "jax      8-32-1     256  step" in out
    assert "undecided" in out
    document = json.loads(bench("gate", "--baseline", "20250101", "--json")[1])
    assert document["passed"] is False
    assert {(row["backend"], row["network"], row["batch"]) for row in document["slower"]} == {("jax", "8-32-1", 256)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "nosuch"), "no run 'nosuch'"),
        (("compare", "20250101", "20250102", "20250103"), "one run or two, got 3"),
        (("compare", "--backends", "abacus"), "no row with backend abacus; the run has "),
        (("compare", "--margin", "500%"), "expected a share such as 5% or 0.05, got '500%'"),
        ((*JOB, "--dtype", "float64"), "python -m bench run --quick --dtypes float64"),
        (("gate", "--baseline", "latest"), "the same run"),
        (("certify", "--run", "latest", "--processes", "50"), "100 laps of one backend and its copy, this run has 4"),
        (("certify", "--condition", "slowing"), "--condition is for --gates N"),
        (("certify", "--gates", "1", "--commits", "1"), "one after the other"),
        (("validate", "--truth", "latest", "--cases", "2"), "none of the drawn cases was measured"),
    ],
)
def test_wrong_usage_says_what_to_do(bench, arguments, said):
    """Status 2, nothing on stdout, one line on stderr that names value and remedy."""
    status, out, err = bench(*arguments)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())


def test_compare_says_which_run_it_shows(bench):
    """Unless one was named: the latest comparison, and how to see another."""
    _, out, err = bench("compare")
    assert "run 20250103-run" in out
    assert err.startswith("run 20250103-run, the latest comparison of another machine")
    assert "another with: python -m bench compare RUN, such as 20250102-run" in err
    assert bench("compare", "20250103")[2] == ""


@pytest.mark.parametrize("arguments", [("compare",), JOB, ("gate", "--baseline", "latest"), ("validate",)])
def test_nothing_stored_names_the_next_command(bench, arguments, tmp_path):
    """Without any run, each command says how to make one."""
    status, out, err = bench(*arguments, "--results", str(tmp_path))
    assert (status, out) == (2, "")
    assert "python -m bench run --quick" in err


@pytest.mark.parametrize("phase", ["step", "place"])
def test_history_without_a_time_of_the_phase_says_what_to_measure(bench, tmp_path, phase):
    """Runs that Ctrl-C ended before their first row, or of other phases, are no error of the program."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(1,), phases=("step",), processes=2, failed=None)
    path = synthetic.store(frame, tmp_path)
    if phase == "step":
        (path / "rows.jsonl").write_text("")
    status, out, err = bench("history", path.name, "--phase", phase, "--results", str(tmp_path))
    assert (status, out) == (2, "")
    assert f"python -m bench run --phases {phase}" in err


@pytest.mark.parametrize("arguments", [("compare",), ("report",)])
def test_a_run_without_a_time_of_the_usual_arm_is_told_of(bench, tmp_path, monkeypatch, arguments):
    """A gate's base that was measured alone, or a damaged column, is no error of the program."""
    monkeypatch.chdir(tmp_path)
    frame = synthetic.frame(networks=("3-2-1",), batches=(1,), phases=("step",), processes=2, failed=None)
    synthetic.store(frame.assign(arm="base"), tmp_path)
    status, out, err = bench(*arguments, "--results", str(tmp_path))
    assert (status, out) == (2, "")
    assert "python -m bench run --quick" in err


def test_one_backend_alone_is_not_sent_in_a_circle(bench, stored, monkeypatch):
    """With numpy alone a run compares nothing: the error says what to install, or how to time numpy itself."""
    monkeypatch.setattr(basis, "available", lambda: ("numpy",))
    status, _, err = bench(*JOB, "--dtype", "float64")
    assert status == 2
    text = " ".join(err.split())
    assert "only numpy is installed here, so there is nothing to choose between" in text
    assert "pip install" in text
    assert "add --measure" in text


def test_unlike_conditions_are_refused_unless_forced(bench, stored, tmp_path):
    """Two runs under two Pythons: status 2 and the field's name; with --force they are compared."""
    made = synthetic.frame(run="other", **OPTIONS).assign(receipt_python="3.13.0")
    other = str(synthetic.store(made, tmp_path))
    status, _, err = bench("compare", "20250101", other)
    assert status == 2
    assert "python: '3.11.9' against '3.13.0'" in " ".join(err.split())
    assert bench("compare", "20250101", other, "--force")[0] == 0


def test_certify_says_whether_the_promises_are_kept(bench, tmp_path):
    """On stored noise: status 0 where it is quiet, 1 and the processes needed where it is loud."""
    cells = {"networks": ("3-2-1",), "batches": (1, 64, 4_096), "phases": ("step", "train"), "processes": 10}
    for name, process in (("quiet", 0.01), ("loud", 0.1)):
        made = synthetic.frame(("numpy",), noise=Noise(process=process), run=name, twin="numpy", failed=None, **cells)
        synthetic.store(made, tmp_path)
    status, out, _ = bench("certify", "--run", "quiet", "--trials", "50", "--results", str(tmp_path))
    assert (status, out.split(":")[0]) == (0, "passed")
    status, out, _ = bench("certify", "--run", "loud", "--trials", "50", "--results", str(tmp_path))
    assert (status, out.split(":")[0]) == (1, "FAILED")
    assert "find it in nine cases of ten" in out
    assert certify.LEAST_FOUND == 0.9


def test_validate_prints_the_regret(bench, tmp_path):
    """On a stored truth: the share within 10 % of the best, the regret, and every case."""
    import pandas as pd

    cases = validate.draw(4, seed=1)
    parts = [
        synthetic.frame(networks=(one.network,), batches=(one.batch,), phases=("step", "train"), twin=None, failed=None)
        for one in cases
    ]
    truth = str(synthetic.store(pd.concat(parts).assign(run="truth"), tmp_path))
    status, out, _ = bench("validate", "--truth", truth, "--cases", "4", "--seed", "1")
    assert status in (0, 1)
    assert "of 4 recommendations within 10 % of the best (wanted: 95 %)" in out
    assert all(one.network in out for one in cases)
    assert max(len(line) for line in out.splitlines()) <= 80


def lasts_s(stored, *arguments):
    """Return the seconds of a run in a fresh process."""
    begun_s = time.perf_counter()
    environment = {**os.environ, "BACKPROP_BENCH_RESULTS": str(stored)}
    subprocess.run([sys.executable, "-m", "bench", *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - begun_s


@pytest.mark.timing
@pytest.mark.parametrize("arguments", [("compare",), JOB])
def test_answers_come_in_under_two_seconds(stored, arguments):
    """A stored run of 540 cells is compared, and a backend recommended, in under 2 s; the machine has three tries."""
    assert any(lasts_s(stored, *arguments) < 2 for _ in range(3))


def test_importing_the_package_is_light():
    """``import bench`` brings in neither pandas nor numpy, and still offers `recommend`."""
    code = "import sys, bench; assert not {'pandas', 'numpy'} & set(sys.modules); bench.recommend"
    subprocess.run([sys.executable, "-c", code], check=True)
