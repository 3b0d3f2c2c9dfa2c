"""Right backends stay accepted, in whatever style they are written."""

import pytest

from backends.base import Network
from backends.conformance.checks import check
from backends.conformance.exact import judge_exact
from backends.conformance.spikes import judge_spikes
from tests.backends.conformance.styles import STYLES, judge_drawn, sums
from tests.backends.conformance.styles.style import Style

CASES, MOST_WORK = 6, 1 << 14


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_right_backend_of_any_style_stays_within_its_bounds(style: type[Style], dtype: str) -> None:
    """Stages, step and two steps of training of drawn cases; thousands more by the command of the package of styles."""
    if reason := style.missing():
        pytest.skip(reason)
    judged = list(judge_drawn(style, dtype, seed=1, draws=max(1, round(CASES * style.share)), most_work=MOST_WORK))
    failed = [finding for findings in judged for finding in findings if finding.status == "fail"]
    assert failed == []
    assert judged


@pytest.mark.parametrize("style", ["LongDoubleInside", "BlasAlphaBeta", "SlopesFromZ", "BlocksBackwards"])
def test_right_backend_of_any_style_keeps_state_and_trains(style: str, dtype: str) -> None:
    """The claims on state, values and laws hold for styles that keep more, or less, than a plain backend."""
    name = f"tests.backends.conformance.styles.sums:{style}"
    report = check(name, dtype=dtype, quick=True, claims=("state", "values", "laws"))
    assert [(claim.name, claim.case, claim.where) for claim in report.failures] == []


@pytest.mark.parametrize("rows", [3, 48, 1000, 1024])
@pytest.mark.parametrize("style", sums.STYLES, ids=lambda style: style.__name__)
def test_right_backend_of_any_order_of_sums_passes_the_sharp_claims(style: type[Style], dtype: str, rows: int) -> None:
    """Spikes and exact sums hold for every order of summation and every fusion, for counts that are no power of two."""
    backend = style(Network((5, 4, 3)), dtype)
    tallies = [judge_spikes(backend, rows, "sharp"), judge_exact(backend, rows, "sharp")]
    assert [finding for tally in tallies for finding in tally.findings if finding.status == "fail"] == []


DEEP = (
    "9-9-22-1-5-1-6-2/n=256/normal",
    "8-9-6-10-5-4-2/n=32/7566",
    "6-8-4-3-3-8/n=8/7577",
    "9-5-5-5-6-3-11-8/n=256/7584",
)
"""Names of exact problems in which a gradient is over 2^24 times as large as its parameter: their difference rounds."""


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("style", sums.STYLES, ids=lambda style: style.__name__)
def test_right_updates_behind_many_saturating_layers_may_round(style: type[Style], name: str) -> None:
    """Exact sums allow what the sum of a parameter and the terms of its gradient rounds to, in any order."""
    sizes, rows = name.split("/")[:2]
    tally = judge_exact(style(Network.parse(sizes), "float32"), int(rows.removeprefix("n=")), name)
    assert [finding for finding in tally.findings if finding.status == "fail"] == []
