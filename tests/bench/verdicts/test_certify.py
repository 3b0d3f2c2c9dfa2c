"""The promises of the verdicts, tried on recorded noise: the deterministic part of `bench certify`."""

import pytest

from bench.errors import UsageError
from bench.verdicts import certify, statistics
from tests.bench import synthetic
from tests.bench.synthetic import Noise

CELLS = {"networks": ("3-2-1", "32-64-1"), "batches": (1, 1_024, 16_384), "phases": ("step", "train")}


def noise(blocks=12, **options):
    """Return blocks of a backend and its copy that are all alike."""
    return synthetic.frame(backends=("numpy",), twin="numpy", failed=None, blocks=blocks, **CELLS, **options)


@pytest.fixture(scope="module")
def certificate():
    """Return the rates for five blocks against five."""
    return certify.certify(noise(), blocks=5, trials=60).set_index("figure")


@pytest.mark.parametrize("figure", statistics.FIGURES)
def test_every_promise_is_kept(certificate, figure):
    """Over 200 comparisons or more: A/A false positives <= 5 %, coverage >= 90 %, a 10 % slow-down found >= 90 %."""
    row = certificate.loc[figure]
    assert row["comparisons"] >= 200
    assert row["false_positives"] <= 0.05
    assert 0.90 <= row["covered"] <= 0.99
    assert row["found"] >= 0.90
    assert certify.passed(row)


def test_noise_too_loud_is_said_and_not_hidden():
    """Where blocks scatter by 10 %, false positives stay rare, the slow-down is missed, more blocks are asked for."""
    row = certify.certify(noise(noise=Noise(block=0.1)), blocks=5, trials=40).set_index("figure").loc["median_s"]
    assert row["false_positives"] <= 0.05
    assert row["found"] < 0.5
    assert not certify.passed(row)
    assert certify.blocks_needed(noise(noise=Noise(block=0.1)), 5, trials=40) is None


def test_blocks_needed_find_the_slow_down():
    """As many blocks as are said to be needed do find the planted slow-down in nine cases of ten."""
    loud = noise(blocks=40, noise=Noise(block=0.035))
    needed = certify.blocks_needed(loud, 5, trials=40)
    assert 6 <= needed <= 20
    found = [
        certify.certify(loud, blocks, trials=40, seed=1).set_index("figure").loc[statistics.FIGURE, "found"]
        for blocks in (needed, 5)
    ]
    assert found[0] >= 0.85
    assert found[1] < 0.7


def test_too_few_blocks_are_refused():
    """Two arms of five need ten blocks: eight are an error that says so."""
    with pytest.raises(UsageError, match="need 10 rounds of one backend and its copy, this run has 8"):
        certify.certify(noise(blocks=8), blocks=5)


@pytest.mark.parametrize(("blocks", "margin", "says"), [(1, 0.05, "two or more"), (5, 0.10, "no slow-down beyond it")])
def test_a_trial_that_can_find_nothing_is_refused_before_it_is_recorded(blocks, margin, says):
    """One block has no scatter, and a margin as wide as the planted slow-down hides it."""
    with pytest.raises(UsageError, match=says):
        certify.check(blocks, margin)


def test_what_hits_both_arms_of_a_round_is_no_noise():
    """A round in which everything takes twice as long leaves the differences of its arms as they were."""
    made = noise(blocks=4)
    hit = made.assign(median_s=made["median_s"].where(made["block"] != 2, 2 * made["median_s"]))
    (one,), (other,) = certify.recorded(made, "median_s"), certify.recorded(hit, "median_s")
    assert one.differences.shape == (12, 4)
    assert other.differences == pytest.approx(one.differences)


def test_cell_that_one_arm_lacks_in_a_round_is_left_out():
    """Only cells that both arms have in every round are drawn from."""
    made = noise(blocks=4)
    first = made.index[(made["arm"] == "A/A") & (made["block"] == 1)][0]
    (one,) = certify.recorded(made.drop(index=first), "median_s")
    assert one.differences.shape == (11, 4)
