"""Copy rows into feature-major blocks, by tiles that are transposed in vector registers.

numpy's copies of transposed arrays move one number at a time and touch each cache line again for each of its numbers.

Tests: `tests/backends/test_numba_place.py`.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numba
import numpy as np
from numba import types

from backends.numba_compile import compile_c
from backends.numba_lanes import offset
from backends.numba_tiles import lanes
from backends.numba_transpose import transpose_few, transpose_tile

FEW_FEATURES = 15
"""Rows of up to this many features are transposed a vector of rows at a time, by a kernel for their number."""


def few_kernel(features):
    """Return the function that copies rows of a few features, side by side, into blocks as `transpose_kernel` does."""

    def transpose_rows(rows, n, to, blocks, block, pitch):  # type: ignore[no-untyped-def]
        side = lanes(rows)
        for k in range(blocks):
            source, target = offset(rows, k * pitch * features), offset(to, k * block)
            count = min(pitch, n - k * pitch)
            r = 0
            while r + side <= count:
                transpose_few(features, offset(source, r * features), offset(target, r), pitch)
                r += side
            for f in range(features):
                for s in range(r, count):
                    target[f * pitch + s] = source[s * features + f]
                for s in range(count, pitch):
                    target[f * pitch + s] = 0

    return transpose_rows


def transpose_kernel():
    """Return the function that copies rows, ``stride`` apart, into blocks of ``pitch`` rows, ``block`` apart.

    A few features of all rows of a block come first, then the next: more lines to write to than these miss the caches.
    """

    def transpose(rows, stride, n, features, to, blocks, block, pitch):  # type: ignore[no-untyped-def]
        side = lanes(rows)
        for k in range(blocks):
            source, target = offset(rows, k * pitch * stride), offset(to, k * block)
            count = min(pitch, n - k * pitch)
            whole = count - count % side
            f = 0
            while f + side <= features:
                for r in range(0, whole, side):
                    transpose_tile(0, offset(source, r * stride + f), stride, offset(target, f * pitch + r), pitch)
                f += side
            while f + 4 <= features:
                for r in range(0, whole, 4):
                    transpose_tile(4, offset(source, r * stride + f), stride, offset(target, f * pitch + r), pitch)
                f += 4
            while f < features:
                for r in range(whole):
                    target[f * pitch + r] = source[r * stride + f]
                f += 1
            for f in range(features):
                for s in range(whole, count):
                    target[f * pitch + s] = source[s * stride + f]
                for s in range(count, pitch):
                    target[f * pitch + s] = 0

    return transpose


@lru_cache
def _compiled(real, features=0):
    """Return the compiled kernel, for so few features if named; calling it releases the interpreter lock."""
    integer, numbers = types.intp, types.CPointer(numba.from_dtype(np.dtype(real)))
    if features:
        kernel, name = few_kernel(features), f"{real.__name__}_{features}"
        arguments = numbers, integer, numbers, integer, integer, integer
    else:
        kernel, name = transpose_kernel(), real.__name__
        arguments = numbers, integer, integer, integer, numbers, integer, integer, integer
    address = compile_c(kernel, name, types.void(*arguments), error_model="numpy")()
    kind = [ctypes.c_void_p if argument is numbers else ctypes.c_ssize_t for argument in arguments]
    return ctypes.CFUNCTYPE(None, *kind)(address)


def copy_blocks(rows_major, blocks):
    """Copy ``[n, f]`` into ``[blocks, f, rows]``, with zeros for rows that the last block lacks.

    The numbers of a row must be contiguous, as well as those of a feature of a block; rows and blocks may have gaps.
    """
    n, features = rows_major.shape
    stride, block = (array.strides[0] // array.itemsize for array in (rows_major, blocks))
    real, source, target = blocks.dtype.type, rows_major.ctypes.data, blocks.ctypes.data
    if stride == features <= FEW_FEATURES:
        _compiled(real, features)(source, n, target, len(blocks), block, blocks.shape[2])
    else:
        _compiled(real)(source, stride, n, features, target, len(blocks), block, blocks.shape[2])
