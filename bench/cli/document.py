"""One JSON document on stdout: what is not a number is null, tables are lists of records."""

from __future__ import annotations

import json
import math
import sys
from typing import Any


def show(document: Any) -> None:
    """Print ``document``, which may hold pandas tables, numpy numbers and tuples."""
    json.dump(plain(document), sys.stdout, indent=1)
    print()


def plain(value: Any) -> Any:
    """Return ``value`` made of what JSON knows."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict("records"))
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
