"""A report of conformance as the columns of a row, and as a reason.

Tests: `tests/bench/measure/test_group.py`.
"""

from __future__ import annotations

import json
import math

from backends.conformance import Report


def number(ratio: float) -> float:
    """Return a ratio of error to bound; one that is not finite as 1e300, since JSON has no word for it."""
    return ratio if math.isfinite(ratio) else 1e300


def ratios(report: Report) -> str:
    """Return each claim's worst ratio as JSON, in the order of the maths; null if there was nothing to judge."""
    return json.dumps({claim.name: None if claim.status == "skip" else number(claim.ratio) for claim in report.claims})


def fault(report: Report, when: str) -> str:
    """Return the claims that failed, in words."""
    claims = ", ".join(f"{claim.name} ({claim.ratio:.3g} of its bound; {claim.where})" for claim in report.failures)
    return f"{when}: {claims}"[:500]
