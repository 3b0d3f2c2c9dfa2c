"""Kernels for networks of any depth and width: one block of rows after the other, while it stays in cache.

A tape is ``[blocks, features of all layers but the first, pitch]``, feature-major. So is a batch,
``[blocks, inputs and targets, pitch]``, if products are by our own tiles; with the BLAS, for wide layers, it is
row-major, ``[n, inputs and targets]``. Of a block's rows ``n`` count and ``live``, rounded up to whole tiles, are
computed: what is between them is zero in every output and error term. Parameters and gradients are one vector, layer
by layer: weights ``[out, in]`` row-major, then biases.

A run of blocks, a chunk, is one thread's, with its own gradients and scratch.

The functions work on pointers: numba's arrays would take several times as long to compile.
"""

import math
from functools import lru_cache

import numpy as np
from numba import njit

from backends.numba_activations import activate, times_slope
from backends.numba_blas import gemm
from backends.numba_chunks import (
    BACKWARD,
    BLAS,
    BOTH,
    FEATURES,
    FORWARD,
    LAYERS,
    PARAMETERS,
    SIZES,
    WIDEST,
    chunk_signature,
)
from backends.numba_compile import compile_c
from backends.numba_lanes import offset
from backends.numba_layers import hidden_errors, hidden_outputs
from backends.numba_rows import add_products_by_rows, multiply_rows, multiply_rows_transposed
from backends.numba_tiles import STEP_ROWS, add_products, lanes, multiply, multiply_short, rounded_up, row_sum

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
def squared_error(p, y, outputs, pitch, n, scale, g):
    """Write ``g = scale (p - y)``; return the sum of squares of ``p - y``."""
    squares = scale - scale
    for o in range(outputs):
        for r in range(o * pitch, o * pitch + n):
            e = p[r] - y[r]
            squares += e * e
            g[r] = scale * e
    return squares


@njit(**_INNER)
def cross_entropy(p, y, outputs, pitch, n, terms, g):
    """Write ``g = (softmax(p) - y) / terms``; return the sum of ``-y log(softmax(p))``."""
    total = terms - terms
    for r in range(n):
        top = p[r]
        for o in range(r + pitch, r + outputs * pitch, pitch):
            top = p[o] if p[o] > top else top
        exponentials = terms - terms
        for o in range(r, r + outputs * pitch, pitch):
            shifted = p[o] - top
            total -= y[o] * shifted
            g[o] = math.exp(shifted)
            exponentials += g[o]
        total += math.log(exponentials)
        for o in range(r, r + outputs * pitch, pitch):
            g[o] = (g[o] / exponentials - y[o]) / terms
    return total


@njit(**_PART)
def feature_major(rows, features, stride, n, pitch, to):
    """Copy ``n`` rows of ``features`` numbers, ``stride`` apart, to ``to [features, pitch]``."""
    for r in range(n):
        for f in range(features):
            to[f * pitch + r] = rows[r * stride + f]


@njit(**_PART)
def clear(values, count):
    """Set numbers to zero."""
    for k in range(count):
        values[k] = 0


@njit(**_PART)
def forward_block(activation, products, together, plan, params, x, n, live, pitch, tape, column):
    """Write every layer's output of one block to ``tape``, its activation ``together`` with the product or apart."""
    layers, sizes = plan[LAYERS], offset(plan, SIZES)
    h, z, w = x, tape, params
    for layer in range(1, layers + 1):
        i, o = sizes[layer - 1], sizes[layer]
        b = offset(w, o * i)
        if products == "blas":
            rows_major = layer == 1
            gemm(plan[BLAS], rows_major, 0, n, o, i, h, i + sizes[layers] if rows_major else pitch, w, i, 0, z, pitch)
        elif products == "rows":
            multiply_rows(w, h, z, o, i, pitch, n, column)
        elif together and layer < layers:
            hidden_outputs(activation, products, w, b, h, z, o, i, pitch, live)
        elif products == "short":
            multiply_short(w, i, np.intp(1), h, pitch, z, pitch, o, i, live)
        else:
            multiply(w, i, np.intp(1), h, pitch, z, pitch, o, i, live)
        if layer == layers:
            for j in range(o):
                activate("identity", offset(z, j * pitch), b[j], live)
        elif not together:
            for j in range(o):
                activate(activation, offset(z, j * pitch), b[j], live)
        fill_up(z, o, pitch, n, live)
        h, z, w = z, offset(z, o * pitch), offset(b, o)


@njit(**_PART)
def backward_block(
    activation, loss, products, plan, params, x, y, n, live, pitch, tape, scale, errors, column, gradients
):
    """Add the gradients of one block; return its part of the loss. ``errors [2, widest, pitch]`` is scratch."""
    layers, sizes = plan[LAYERS], offset(plan, SIZES)
    outputs = sizes[layers]
    h = offset(tape, (plan[FEATURES] - outputs) * pitch)
    g, below = errors, offset(errors, plan[WIDEST] * pitch)
    targets = y
    if products == "blas":
        feature_major(y, outputs, sizes[0] + outputs, n, pitch, below)
        targets = below
    if loss == "mse":
        total = squared_error(h, targets, outputs, pitch, n, scale, g)
    else:
        total = cross_entropy(h, targets, outputs, pitch, n, scale, g)
    fill_up(g, outputs, pitch, n, live)
    at = plan[PARAMETERS]
    for layer in range(layers, 0, -1):
        i, o = sizes[layer - 1], sizes[layer]
        at -= o * i + o
        w, dw = offset(params, at), offset(gradients, at)
        h = offset(h, -i * pitch) if layer > 1 else x
        if products == "blas":
            inner = layer > 1
            gemm(plan[BLAS], inner, 0, i, o, n, h, pitch if inner else i + outputs, g, pitch, 1, dw, i)
        elif products == "rows":
            add_products_by_rows(g, h, dw, o, i, pitch, n, column)
        else:
            add_products(g, h, dw, o, i, pitch, live)
        for j in range(o):
            dw[o * i + j] += row_sum(offset(g, j * pitch), live)
        if layer > 1:
            if products == "blas":
                gemm(plan[BLAS], 0, 1, n, i, o, g, pitch, w, i, 0, below, pitch)
            elif products == "rows":
                multiply_rows_transposed(w, g, below, o, i, pitch, n, column)
            else:
                hidden_errors(activation, products, w, g, h, below, o, i, pitch, live)
            if products == "blas" or products == "rows":
                for j in range(i):
                    times_slope(activation, offset(below, j * pitch), offset(h, j * pitch), live)
            fill_up(below, i, pitch, n, live)
            g, below = below, g
    return total


def chunk_kernel(real, activation, loss, products):
    """Return the function of one chunk; `numba_chunks.chunk_signature` says what it is told."""
    together = products in ("tiles", "short") and real is np.float32  # float64's tanh is too long to hide: 1.04

    def chunk(c, chunks, phases, plan, params, xy, pitch, rows, of, tape, scratch, length):
        parameters, features = plan[PARAMETERS], plan[FEATURES]
        inputs, outputs = plan[SIZES], plan[SIZES + plan[LAYERS]]
        gradients = offset(scratch, c * length)
        outputs_of_block = offset(gradients, rounded_up(parameters + 1, STEP_ROWS))
        errors = offset(outputs_of_block, features * pitch)
        column = offset(errors, 2 * plan[WIDEST] * pitch)
        blocks = (rows + pitch - 1) // pitch
        scale = real(2.0 / (of * outputs)) if loss == "mse" else real(of)
        total = real(0)
        if phases & BACKWARD:
            clear(gradients, parameters)
        for k in range(c * blocks // chunks, (c + 1) * blocks // chunks):
            n = pitch if k < blocks - 1 else rows - k * pitch
            live = rounded_up(n, lanes(params) if products == "short" else STEP_ROWS)
            x = offset(xy, k * (inputs + outputs) * pitch)
            y = offset(x, inputs if products == "blas" else inputs * pitch)
            z = outputs_of_block if phases == BOTH else offset(tape, k * features * pitch)
            if phases & FORWARD:
                forward_block(activation, products, together, plan, params, x, n, live, pitch, z, column)
            if phases & BACKWARD:
                total += backward_block(
                    activation, loss, products, plan, params, x, y, n, live, pitch, z, scale, errors, column, gradients
                )
        gradients[parameters] = total

    return chunk


@lru_cache
def chunk(real, activation, loss, products):
    """Return what compiles the kernel of a chunk and returns its address; ``products`` as a batch of it says."""
    name = f"{real.__name__}_{activation}_{loss.replace('-', '_')}_{products}"
    return compile_c(chunk_kernel(real, activation, loss, products), name, chunk_signature(real), error_model="numpy")
