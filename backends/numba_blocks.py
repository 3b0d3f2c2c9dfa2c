"""Kernels for networks of any depth and width: one block of rows after the other, while it stays in cache.

A batch is ``[blocks, features, pitch]``, the inputs of a block and then its targets, feature-major; what fills up the
last block is zero. A tape is ``[blocks, features of all layers but the first, pitch]``. Of a block's rows ``n`` count
and ``live``, rounded up to whole tiles, are computed: what is between them is zero in every output and error term.
Parameters and gradients are one vector, layer by layer: weights ``[out, in]`` row-major, then biases.

Products are by our own tiles or, for wide layers, by the BLAS, whose address is told as ``gemm``. A run of blocks, a
chunk, is one thread's, with gradients and scratch of its own: its ``room``.

The functions work on pointers: numba's arrays would take several times as long to compile.
"""

from functools import lru_cache

import numpy as np
from numba import njit

from backends.numba_activations import activate, times_slope
from backends.numba_blas import gemm
from backends.numba_chunks import BACKWARD, BOTH, FEATURES, FORWARD, LAYERS, PARAMETERS, SIZES, WIDEST, chunk_signature
from backends.numba_compile import compile_c
from backends.numba_lanes import offset
from backends.numba_tiles import add_products, multiply, row_sum, whole_tiles

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_SUM = _INNER | {"fastmath": {"reassoc", "contract", "nsz"}}
_PART = {"inline": "always"}
"""Of the parts of one kernel: apart only for the reader."""


@njit(**_PART)
def fill_up(z, features, pitch, n, live):
    """Set rows ``n`` to ``live`` of ``z`` to zero."""
    if n < live:
        for j in range(features):
            for r in range(n, live):
                z[j * pitch + r] = 0


@njit(**_SUM)
def error_term(p, y, outputs, pitch, n, scale, g):
    """Write ``g = scale (p - y)``; return the sum of squares of ``p - y``."""
    squares = scale - scale
    for o in range(outputs):
        for r in range(o * pitch, o * pitch + n):
            e = p[r] - y[r]
            squares += e * e
            g[r] = scale * e
    return squares


@njit(**_PART)
def clear(values, count):
    """Set numbers to zero."""
    for k in range(count):
        values[k] = 0


@njit(**_PART)
def forward_block(activation, by_blas, blas, sizes, layers, params, x, n, live, pitch, tape):
    """Write every layer's output of one block to ``tape``."""
    h, z, w = x, tape, params
    for layer in range(1, layers + 1):
        i, o = sizes[layer - 1], sizes[layer]
        b = offset(w, o * i)
        if by_blas:
            gemm(blas, 0, 0, n, o, i, h, pitch, w, i, 0, z, pitch)
        else:
            multiply(w, i, np.intp(1), h, z, o, i, pitch, live)
        if layer < layers:
            for j in range(o):
                activate(activation, offset(z, j * pitch), b[j], live)
        else:
            for j in range(o):
                activate("identity", offset(z, j * pitch), b[j], live)
        fill_up(z, o, pitch, n, live)
        h, z, w = z, offset(z, o * pitch), offset(b, o)


@njit(**_PART)
def backward_block(
    activation, by_blas, blas, plan, params, x, y, n, live, pitch, tape, scale, fresh, errors, gradients
):
    """Add the gradients of one block; return its sum of squares. ``errors [2, widest, pitch]`` is scratch."""
    layers, sizes = plan[LAYERS], offset(plan, SIZES)
    h = offset(tape, (plan[FEATURES] - sizes[layers]) * pitch)
    g, below = errors, offset(errors, plan[WIDEST] * pitch)
    squares = error_term(h, y, sizes[layers], pitch, n, scale, g)
    fill_up(g, sizes[layers], pitch, n, live)
    at = plan[PARAMETERS]
    for layer in range(layers, 0, -1):
        i, o = sizes[layer - 1], sizes[layer]
        at -= o * i + o
        w, dw = offset(params, at), offset(gradients, at)
        h = offset(h, -i * pitch) if layer > 1 else x
        if by_blas:
            gemm(blas, 1, 0, i, o, n, h, pitch, g, pitch, 1 - fresh, dw, i)
        else:
            add_products(g, h, dw, o, i, pitch, live)
        for j in range(o):
            dw[o * i + j] += row_sum(offset(g, j * pitch), live)
        if layer > 1:
            if by_blas:
                gemm(blas, 0, 1, n, i, o, g, pitch, w, i, 0, below, pitch)
            else:
                multiply(w, np.intp(1), i, g, below, i, o, pitch, live)
            for j in range(i):
                times_slope(activation, offset(below, j * pitch), offset(h, j * pitch), live)
            fill_up(below, i, pitch, n, live)
            g, below = below, g
    return squares


def chunk_kernel(real, activation, by_blas):
    """Return the function of one chunk that `numba_chunks` compiles for one dtype, activation and kind of product."""

    def chunk(c, chunks, phases, plan, params, xy, pitch, rows, tape, room, length, blas):
        layers, parameters, features = plan[LAYERS], plan[PARAMETERS], plan[FEATURES]
        inputs, outputs = plan[SIZES], plan[SIZES + layers]
        gradients = offset(room, c * length)
        scratch = offset(gradients, whole_tiles(parameters + 1))
        errors = offset(scratch, features * pitch)
        blocks = (rows + pitch - 1) // pitch
        scale = real(real(2) / (rows * outputs))
        squares = real(0)
        if phases & BACKWARD:
            clear(gradients, parameters)
        first = c * blocks // chunks
        for k in range(first, (c + 1) * blocks // chunks):
            n = pitch if k < blocks - 1 else rows - k * pitch
            live = whole_tiles(n)
            x = offset(xy, k * (inputs + outputs) * pitch)
            y = offset(x, inputs * pitch)
            z = scratch if phases == BOTH else offset(tape, k * features * pitch)
            if phases & FORWARD:
                forward_block(activation, by_blas, blas, offset(plan, SIZES), layers, params, x, n, live, pitch, z)
            if phases & BACKWARD:
                squares += backward_block(
                    activation,
                    by_blas,
                    blas,
                    plan,
                    params,
                    x,
                    y,
                    n,
                    live,
                    pitch,
                    z,
                    scale,
                    k == first,
                    errors,
                    gradients,
                )
        gradients[parameters] = squares

    return chunk


@lru_cache
def chunk(real, activation, by_blas):
    """Return what compiles the kernel of a chunk and returns its address."""
    name = f"{real.__name__}_{activation}_{'blas' if by_blas else 'tiles'}"
    return compile_c(chunk_kernel(real, activation, by_blas), name, chunk_signature(real), error_model="numpy")
