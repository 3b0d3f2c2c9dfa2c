"""What `check` says at the end, for reports of each kind."""

import pytest

from backends.conformance import Claim, Report
from bench.terminal.conformance import format_reports

HELD = Claim("outputs", "pass", 0.5, "3-2-1/n=64/normal", "output of layer 1[0, 0]", 7)
WARNED = Claim("loss", "warn", 0.5, "3-2-1/n=64/normal", "loss", 7, "3-2-1/n=64/normal reaches 1.2")
FAILED = Claim("update", "fail", 3.0, "3-2-1/n=64/normal", "weights of layer 1[0, 0]", 7)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ((HELD,), "All right: 7 judgements"),
        ((HELD, WARNED), "Right, with 1 warning: 14 judgements"),
        ((HELD, WARNED, FAILED), "mine float32: not right"),
    ],
)
def test_closing_words_tell_warnings_and_failures_from_a_clean_report(claims: tuple[Claim, ...], words: str) -> None:
    """The words "All right" are said only where there is no warning and no failure."""
    *_, last = format_reports([Report("mine", "float32", "cpu", claims)], {}, 1.0)
    assert str(last).startswith(words)


def test_declared_precision_of_products_is_told() -> None:
    """A backend that declares coarse products is judged by wider bounds, and the text says so."""
    said = "\n".join(map(str, format_reports([Report("mine", "float32", "cpu", (HELD,), "bf16")], {}, 1.0)))
    assert "declared: mine float32 rounds the factors of its products to bf16" in said
    assert "bf16" not in "\n".join(map(str, format_reports([Report("mine", "float32", "cpu", (HELD,))], {}, 1.0)))
