"""Decode columns of pyarrow to plain values, whatever their encoding.

Tests: `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def plain(column: pa.Array) -> pa.Array:
    """Return a column decoded to plain values: no dictionary or run-end encoding, no large or view strings."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    elif pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = pc.cast(column, pa.string())
    return column
