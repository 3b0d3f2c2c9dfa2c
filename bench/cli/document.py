"""One JSON document on stdout: what is not a number is null, tables are lists of records.

Tests: `tests/bench/cli/test_decision_commands.py`, `tests/bench/cli/test_messages.py`.
"""

from __future__ import annotations

import json
from typing import Any

from bench.basics.formats import json_ready


def show(document: Any) -> None:
    """Print ``document``, which may hold pandas tables, numpy numbers and tuples."""
    print(json.dumps(json_ready(document), indent=1, allow_nan=False))
