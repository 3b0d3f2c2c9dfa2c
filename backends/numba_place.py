"""Copy rows into feature-major blocks, by square tiles that are transposed in vector registers.

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
from backends.numba_transpose import transpose_tile


def transpose_kernel():
    """Return the function that copies rows, ``stride`` apart, into blocks of ``pitch`` rows, ``block`` apart."""

    def transpose(rows, stride, n, features, to, blocks, block, pitch):  # type: ignore[no-untyped-def]
        side = lanes(rows)
        for k in range(blocks):
            source, target = offset(rows, k * pitch * stride), offset(to, k * block)
            count = min(pitch, n - k * pitch)
            r = 0
            while r + side <= count:
                f = 0
                while f + side <= features:
                    transpose_tile(0, offset(source, r * stride + f), stride, offset(target, f * pitch + r), pitch)
                    f += side
                while f + 4 <= features:
                    for s in range(r, r + side, 4):
                        transpose_tile(4, offset(source, s * stride + f), stride, offset(target, f * pitch + s), pitch)
                    f += 4
                while f < features:
                    for s in range(r, r + side):
                        target[f * pitch + s] = source[s * stride + f]
                    f += 1
                r += side
            for f in range(features):
                for s in range(r, count):
                    target[f * pitch + s] = source[s * stride + f]
                for s in range(count, pitch):
                    target[f * pitch + s] = 0

    return transpose


@lru_cache
def _compiled(real):
    """Return the compiled kernel as a C function; calling it releases the interpreter lock."""
    integer, numbers = types.intp, types.CPointer(numba.from_dtype(np.dtype(real)))
    signature = types.void(numbers, integer, integer, integer, numbers, integer, integer, integer)
    address = compile_c(transpose_kernel(), real.__name__, signature, error_model="numpy")()
    kind = [ctypes.c_void_p if argument is numbers else ctypes.c_ssize_t for argument in signature.args]
    return ctypes.CFUNCTYPE(None, *kind)(address)


def copy_blocks(rows_major, blocks):
    """Copy ``[n, f]`` into ``[blocks, f, rows]``, with zeros for rows that the last block lacks.

    The numbers of a row must be contiguous, as well as those of a feature of a block; rows and blocks may have gaps.
    """
    n, features = rows_major.shape
    stride, block = (array.strides[0] // array.itemsize for array in (rows_major, blocks))
    transpose = _compiled(blocks.dtype.type)
    transpose(rows_major.ctypes.data, stride, n, features, blocks.ctypes.data, len(blocks), block, blocks.shape[2])
