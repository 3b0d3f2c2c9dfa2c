"""Conformance on the page: claim by claim where a run kept the claims, and said plainly where it did not."""

import pandas as pd
import pytest

from bench.report import page, trust_rows
from tests.bench.report import made_up


@pytest.fixture(scope="module")
def frame():
    """A run with claims and a run without."""
    return made_up.frame(hostile=False)


def claims(rows, run, network, backend):
    """Return the ratio of each claim of one run, network and backend, in order."""
    own = rows[(rows["run"] == run) & (rows["network"] == network) & (rows["backend"] == backend)]
    own = own[own["dtype"] == "float32"]
    return dict(zip(own["claim"], own["ratio"], strict=True))


def test_each_claim_has_its_worst_ratio(frame):
    """A run with claims has a row for each in the order of the maths, the worst over all its proofs, then the state."""
    worst = frame.copy()
    first = worst.query("run == @made_up.FIRST and backend == 'numba' and arm == ''").index[0]
    worst.loc[first, "conformance_claims"] = '{"outputs": 0.9, "layer": 0.2, "train": null}'
    found = claims(trust_rows.conformance(worst), made_up.FIRST, made_up.NETWORKS[0], "numba")
    assert list(found) == ["outputs", "layer", "train", trust_rows.AFTER]
    assert found == pytest.approx(
        {"outputs": 0.9, "layer": 0.3, "train": float("nan"), trust_rows.AFTER: 0.4}, nan_ok=True
    )


def test_claim_without_judgement_is_neither_passed_nor_failed(frame):
    """A claim that judged nothing has no ratio and no verdict; a broken one did not pass."""
    rows = trust_rows.conformance(frame)
    assert set(rows[rows["claim"] == "train"]["passed"]) == {None}
    broken = rows[(rows["backend"] == "broken") & (rows["claim"] == "gradient")]
    assert not broken["passed"].any()
    assert rows[rows["claim"] == "outputs"].query("backend != 'broken'")["passed"].all()


def test_older_run_shows_its_worst_claim_and_says_so(frame):
    """A run that kept no claims has the worst one alone, and the text above the chart names that run, and no other."""
    found = claims(trust_rows.conformance(frame), made_up.SECOND, made_up.NETWORKS[0], "numba")
    assert found == pytest.approx({"layer": 0.3, trust_rows.AFTER: 0.4})
    assert trust_rows.without_claims(frame) == [made_up.SECOND]
    assert f"{made_up.SECOND} kept the worst claim alone" in page.proof([made_up.SECOND])
    assert "kept" not in page.proof([])


def test_a_receipt_marks_what_differs_between_backends_and_not_between_numbers_of_threads(frame):
    """A run with one and two threads is fair; a backend on other cores than the rest with as many threads is not."""
    one = frame.query("run == @made_up.FIRST and status == 'ok'").assign(threads=1, receipt_cores="0")
    both = pd.concat([one, one.assign(threads=2, receipt_cores="0,1")], ignore_index=True)
    both["receipt_os_threads"] = both["threads"].astype(float)
    receipts = trust_rows.receipts(both)
    assert not receipts["unlike"].any()
    assert set(receipts[receipts["field"] == "os threads"]["value"]) == {"1", "2"}
    both.loc[(both["backend"] == "numba") & (both["threads"] == 2), "receipt_cores"] = "0"
    unfair = trust_rows.receipts(both)
    assert set(unfair[unfair["unlike"]]["field"]) == {"cores"}
