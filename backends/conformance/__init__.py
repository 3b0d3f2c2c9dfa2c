"""Proof that a backend computes the network right: error against a proven bound, claim by claim.

    report = backends.conformance.check("numpy", dtype="float32")
    report.passed, report.worst.ratio, report.worst.name
"""

from __future__ import annotations

from backends.conformance.cell import check_cell
from backends.conformance.checks import check
from backends.conformance.report import Claim, Report

__all__ = ["Claim", "Report", "check", "check_cell"]
