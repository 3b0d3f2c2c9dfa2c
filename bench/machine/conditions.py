"""Which recorded facts must be equal before two results may be compared."""

from __future__ import annotations

SAME_CONDITIONS = (
    "receipt_products",
    "threads",
    "receipt_cpu_model",
    "receipt_cpu_features",
    "receipt_cores",
    "receipt_environment",
    "receipt_tuned",
    "receipt_cpu_quota",
)
"""Must be equal between backends of one comparison."""

UNLESS_SAID = {"receipt_tuned": ""}
"""What a condition was in runs of versions that did not keep it."""

SAME_EXPERIMENT = (
    *SAME_CONDITIONS,
    "machine",
    "receipt_python",
    "receipt_numpy",
    "receipt_framework",
    "receipt_blas",
    "receipt_threading_layer",
    "receipt_governor",
)
"""Must be equal for one backend between two runs, or a change of the machine would pass for one of the code."""
