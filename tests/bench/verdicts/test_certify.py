"""The promises of the verdicts, tried on recorded noise: the deterministic part of `bench certify`."""

import pytest

from bench.basics.errors import UsageError
from bench.verdicts import certify, estimates
from tests.bench import synthetic
from tests.bench.synthetic import Noise

CELLS = {"networks": ("3-2-1", "32-64-1"), "batches": (1, 1_024, 16_384), "phases": ("step", "train")}


def noise(processes=12, **options):
    """Return processes of a backend and its copy that are all alike."""
    return synthetic.frame(backends=("numpy",), twin="numpy", failed=None, processes=processes, **CELLS, **options)


@pytest.fixture(scope="module")
def certificate():
    """Return the rates for five processes against five."""
    return certify.certify(noise(), processes=5, trials=60).set_index("estimate")


@pytest.mark.parametrize("estimate", estimates.ESTIMATES)
def test_every_promise_is_kept(certificate, estimate):
    """Over 200 comparisons or more: A/A false positives <= 5 %, coverage >= 90 %, a 10 % slow-down found >= 90 %."""
    row = certificate.loc[estimate]
    assert row["comparisons"] >= 200
    assert row["false_positives"] <= 0.05
    assert 0.90 <= row["covered"] <= 0.99
    assert row["found"] >= 0.90


@pytest.mark.parametrize(("promise", "broken"), [("false_positives", 0.06), ("covered", 0.89), ("found", 0.89)])
def test_one_broken_promise_fails_the_certificate(certificate, promise, broken):
    """A certificate that keeps every promise passes; with any one of them broken it does not."""
    row = certificate.loc[estimates.ESTIMATE].copy()
    assert certify.passed(row)
    row[promise] = broken
    assert not certify.passed(row)


def test_noise_too_loud_is_said_and_not_hidden():
    """Where processes scatter by 10 %, false positives stay rare, the slow-down is missed, more are asked for."""
    row = certify.certify(noise(noise=Noise(process=0.1)), processes=5, trials=40).set_index("estimate").loc["median_s"]
    assert row["false_positives"] <= 0.05
    assert row["found"] < 0.5
    assert not certify.passed(row)
    assert certify.processes_needed(noise(noise=Noise(process=0.1)), 5, trials=40) is None


def test_blocks_needed_find_the_slow_down():
    """As many processes as are said to be needed do find the planted slow-down in nine cases of ten."""
    loud = noise(processes=40, noise=Noise(process=0.035))
    needed = certify.processes_needed(loud, 5, trials=40)
    assert 6 <= needed <= 20
    found = [
        certify.certify(loud, processes, trials=40, seed=1).set_index("estimate").loc[estimates.ESTIMATE, "found"]
        for processes in (needed, 5)
    ]
    assert found[0] >= 0.85
    assert found[1] < 0.7


def test_too_few_processes_are_refused():
    """Two arms of five need ten processes: eight are an error that says so."""
    with pytest.raises(UsageError, match="need 10 laps of one backend and its copy, this run has 8"):
        certify.certify(noise(processes=8), processes=5)


@pytest.mark.parametrize(
    ("processes", "margin", "says"), [(1, 0.05, "two or more"), (5, 0.10, "no slow-down beyond it")]
)
def test_a_trial_that_can_find_nothing_is_refused_before_it_is_recorded(processes, margin, says):
    """One process has no scatter, and a margin as wide as the planted slow-down hides it."""
    with pytest.raises(UsageError, match=says):
        certify.check(processes, margin)


def test_what_hits_both_arms_of_a_round_is_no_noise():
    """A round in which everything takes twice as long leaves the differences of its arms as they were."""
    made = noise(processes=4)
    hit = made.assign(median_s=made["median_s"].where(made["process"] != 2, 2 * made["median_s"]))
    (one,), (other,) = certify.recorded(made, "median_s"), certify.recorded(hit, "median_s")
    assert one.differences.shape == (12, 4)
    assert other.differences == pytest.approx(one.differences)


def test_cell_that_one_arm_lacks_in_a_round_is_left_out():
    """Only cells that both arms have in every round are drawn from."""
    made = noise(processes=4)
    first = made.index[(made["arm"] == "A/A") & (made["process"] == 1)][0]
    (one,) = certify.recorded(made.drop(index=first), "median_s")
    assert one.differences.shape == (11, 4)


@pytest.mark.parametrize("loud", [0.008, 0.03])
def test_the_stopping_rule_keeps_the_promises(loud):
    """With looks after each lap, false positives stay below 5 % and coverage above 90 %; what is quiet stops early."""
    rates = certify.certify_rule(noise(processes=24, noise=Noise(process=loud)), laps=8, trials=60)
    assert rates["false_positives"] <= certify.MOST_FALSE
    assert rates["covered"] >= certify.LEAST_COVERED
    assert rates["found"] >= certify.LEAST_FOUND if loud < 0.01 else rates["laps"] > 4


def test_a_rule_that_stops_at_the_verdicts_own_level_would_be_seen(monkeypatch):
    """Looks at 40 % a look, instead of 1 %, cost coverage: the trial tells one rule from another."""
    made = noise(processes=24, noise=Noise(process=0.03))
    strict = certify.certify_rule(made, laps=8, trials=60)
    monkeypatch.setattr(certify.stopping, "RATE", 0.4)
    lax = certify.certify_rule(made, laps=8, trials=60)
    assert lax["covered"] < strict["covered"] or lax["found"] < strict["found"]
    assert lax["laps"] < strict["laps"]
