"""Copy row-major host arrays into the feature-major layout that several backends share."""

from __future__ import annotations

from backends.base import Array

_TILE = 512


def copy_feature_major(rows_major: Array, feature_major: Array) -> None:
    """Copy ``[n, f]`` into ``[f, n]`` by tiles of rows: a plain transposed copy of a wide array misses the cache."""
    for start in range(0, len(rows_major), _TILE if rows_major.shape[1] > 8 else len(rows_major)):
        rows = slice(start, start + _TILE) if rows_major.shape[1] > 8 else slice(None)
        feature_major[:, rows] = rows_major[rows].T
