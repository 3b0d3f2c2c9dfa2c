"""Proof that a backend computes the network right: error against a proven bound, claim by claim.

`check` judges a backend by name, on a stated set of cases; `check_cell` judges one problem on a loaded backend. Both
return a `Report`: ``report.passed``, and ``report.worst``, the claim with the largest ratio error / bound.
"""

from __future__ import annotations

from backends.conformance.cell import check_cell
from backends.conformance.checks import check
from backends.conformance.report import Claim, Report

__all__ = ["Claim", "Report", "check", "check_cell"]
