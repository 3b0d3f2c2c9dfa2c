"""Backends side by side and runs against each other, on made-up runs whose truth is known."""

import pytest

from bench.basics.errors import UsageError
from bench.basics.names import FASTER, FASTEST, SLOWER, TIE, UNDECIDED
from bench.verdicts import compare, conditions, statistics
from tests.bench import synthetic
from tests.bench.synthetic import Noise

QUIET = Noise(process=0.008)
GRID = {"networks": ("3-2-1",), "batches": (1, 4_096, 1_048_576), "phases": ("step",)}


@pytest.fixture(scope="module")
def made():
    """Return rows of one run."""
    return synthetic.frame(noise=QUIET, **GRID)


@pytest.fixture(scope="module")
def found(made):
    """Return that run compared."""
    return compare.compare(made)


def test_every_backend_stands_beside_the_fastest_and_numpy(found):
    """Ratios to the fastest and to numpy are the true ones, and the interval holds them."""
    for row in found.rows.itertuples():
        truth = {name: synthetic.true_s(name, row.network, row.batch) for name in synthetic.SPEEDS}
        assert row.to_fastest == pytest.approx(truth[row.backend] / min(truth.values()), rel=0.04)
        assert row.to_numpy == pytest.approx(truth[row.backend] / truth["numpy"], rel=0.04)
        assert row.to_fastest_low <= row.to_fastest <= row.to_fastest_high


def test_the_winner_is_the_truly_fastest(found):
    """Where one backend is far ahead, it is the fastest and the others are slower."""
    assert list(found.winners["outcome"]) == [FASTEST] * 3
    assert [names[0] for names in found.winners["backends"]] == ["numba"] * 3
    assert set(found.rows.loc[found.rows["backend"] != "numba", "verdict"]) == {SLOWER}


def test_equals_are_a_tie_and_what_is_unclear_is_undecided():
    """Two backends of one speed tie on a quiet machine, and are undecided on a loud one; no winner is made up."""
    names = ("numba", "jax")
    slower = {
        ("jax", "3-2-1", 4_096): synthetic.true_s("numba", "3-2-1", 4_096) / synthetic.true_s("jax", "3-2-1", 4_096)
    }
    options = {"networks": ("3-2-1",), "batches": (4_096,), "phases": ("step",), "backends": names, "slower": slower}
    quiet = compare.compare(synthetic.frame(noise=QUIET, processes=6, **options)).winners.iloc[0]
    assert (quiet["outcome"], set(quiet["backends"])) == (TIE, set(names))
    loud = compare.compare(synthetic.frame(noise=Noise(process=0.2), seed=1, **options)).winners.iloc[0]
    assert (loud["outcome"], set(loud["backends"])) == (UNDECIDED, set(names))


def test_the_run_carries_its_own_false_positive_rate(found):
    """The A/A arm is compared with its twin in every case, and never called different on a quiet machine."""
    assert (found.chance.backend, found.chance.comparisons, found.chance.different) == ("numba", 3, 0)
    assert found.chance.rate == 0.0


def test_an_arm_that_does_differ_is_counted(made):
    """Were the second copy 20 % slower, the rate would say so."""
    spoilt = made.copy()
    slow = spoilt["arm"] == "A/A"
    spoilt.loc[slow, "turn_s"] = spoilt.loc[slow, "turn_s"].map(lambda turns: [1.2 * one for one in turns])
    assert compare.compare(spoilt).chance.rate == 1.0


def test_chance_is_counted_comparison_by_comparison(made):
    """A difference that one comparison in fifty shows by chance is counted, though Holm's method would excuse it."""
    estimates = statistics.cell_estimates(made)
    pair = estimates[estimates["backend"] == "numba"].assign(log_s=0.0, variance=1e-4, dof=20.0)
    pair["process_logs"] = [{} for _ in range(len(pair))]
    last = pair["batch"] == pair["batch"].max()
    pair.loc[last & (pair["arm"] == "A/A"), "log_s"] = 0.05 + 2.3 * 0.0141
    assert compare.a_against_a(pair, margin=0.05).different == 1


def test_a_failed_backend_is_named_and_not_ranked(found):
    """It stands in no row, and in the failures with its reason."""
    assert "broken" not in set(found.rows["backend"])
    assert any(line.startswith("broken, 3-2-1 n=1 float32 step: nonconformant: ") for line in found.failures)


def test_the_limit_of_the_machine_gives_a_share(made):
    """A limit of half the time is a share of 50 %."""
    half = {case: synthetic.true_s("numba", *case) / 2 for case in [("3-2-1", batch) for batch in GRID["batches"]]}
    rows = compare.compare(made, limit_of=lambda network, batch, *_: half[network, batch]).rows
    assert rows.loc[rows["backend"] == "numba", "share_of_limit"].to_list() == pytest.approx([0.5] * 3, rel=0.05)


def test_each_device_is_held_against_its_own_limit(made):
    """What was measured on a GPU has a share of the GPU's limit, none if no ceiling of it was measured."""

    def limit_of(network, batch, dtype, phase, threads, device):
        return 1e-9 if device == "cpu" else None

    assert compare.compare(made, limit_of=limit_of).rows["share_of_limit"].notna().all()
    assert compare.compare(made.assign(device="cuda"), limit_of=limit_of).rows["share_of_limit"].isna().all()


def test_between_two_runs_only_what_changed_is_called_changed(made):
    """A backend made 20 % slower at one batch and 20 % faster at another is found at both; nothing else is."""
    changed = {("jax", "3-2-1", 1): 1.2, ("torch", "3-2-1", 4_096): 0.8}
    after = synthetic.frame(noise=QUIET, seed=9, slower=changed, run="after", **GRID)
    rows = compare.between(made, after)
    verdicts = {(row.backend, row.network, row.batch): row.verdict for row in rows.itertuples()}
    assert {key: SLOWER if factor > 1 else FASTER for key, factor in changed.items()} == {
        key: verdict for key, verdict in verdicts.items() if verdict in (SLOWER, FASTER)
    }
    assert len(verdicts) == 12


def test_between_two_runs_a_p_value_and_its_verdict_agree(made):
    """A difference is claimed exactly if its p-value, which Holm's method has raised for the grid, is within 5 %."""
    cells = [(name, "3-2-1", batch) for name in synthetic.SPEEDS for batch in GRID["batches"]]
    growing = {cell: 1.05 + 0.004 * place for place, cell in enumerate(cells)}
    rows = compare.between(made, synthetic.frame(noise=QUIET, seed=9, slower=growing, run="after", **GRID))
    called = rows["verdict"].isin([SLOWER, FASTER])
    assert list(called) == list(rows["p_value"] <= statistics.RATE)
    assert 0 < called.sum() < len(rows)


@pytest.mark.parametrize("field", ["receipt_products", "receipt_cpu_model"])
def test_unlike_conditions_within_a_run_are_refused_by_name(made, field):
    """Backends that ran under unlike conditions are not compared, unless forced; the field is named."""
    unlike = made.copy()
    unlike.loc[unlike["backend"] == "torch", field] = "another"
    assert conditions.unlike_within(made) == {}
    with pytest.raises(UsageError, match=field.removeprefix("receipt_") + ".*'another'.*--force"):
        conditions.refuse(conditions.unlike_within(unlike), force=False)
    conditions.refuse(conditions.unlike_within(unlike), force=True)


def test_a_busy_machine_is_said(made):
    """A load beyond what the run itself needed is a warning with both estimates; an idle machine gets none."""
    assert conditions.busy(made) == ""
    assert "load 5.6 where this run needed 2" in conditions.busy(made.assign(load_average=5.6))


@pytest.mark.parametrize("field", ["machine", "receipt_python", "receipt_numpy"])
def test_unlike_conditions_between_runs_are_refused_by_name(made, field):
    """Runs under unlike conditions are not compared; a backend that only one of them has does not matter."""
    other = made.assign(run="other")
    assert conditions.unlike_between(made, other) == {}
    assert list(conditions.unlike_between(made, other.assign(**{field: "another"}))) == [field]
    only = other["backend"] == "torch"
    other.loc[only, field] = "another"
    assert conditions.unlike_between(made[made["backend"] != "torch"], other) == {}
