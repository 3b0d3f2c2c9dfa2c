"""Gradients and training of a network with one hidden layer of few units, one kernel of a GPU each, in Triton.

A program takes its rows of a batch, a block at a time: it reads each input and target once, keeps the gradients of the
rows of a block in registers, adds them up over its blocks, and at its end over the rows. A batch that one program can
take is trained by one kernel, with the parameters in registers from step to step. Every sum has a fixed order. Products
are written out, value by value: there is no matrix product, for which a GPU would take TF32.

Parameters are the vector of `backends.torch_backend`: of each unit its weights, then its bias. tanh is a formula of
multiplications, since Triton's interpreter, which proves these kernels on a CPU, has no library of functions.

Tests: `tests/backends/idioms/test_torch_triton.py`.
"""

import triton
import triton.language as tl

_LIMIT = tl.constexpr(8.100899)
_F64_LIMIT = tl.constexpr(20.0)
_LOG2_E = tl.constexpr(1.4426950408889634)
_LN2_HIGH = tl.constexpr(0.6931471803691238)
_LN2_LOW = tl.constexpr(1.9082149292705877e-10)


@triton.jit
def tanh_single(x):
    """Return tanh of float32, a rational function of x^2 as in `backends.numba_tanh`; NaN stays NaN."""
    a = tl.where(x > _LIMIT, _LIMIT, tl.where(x < -_LIMIT, -_LIMIT, x))
    s = a * a
    p = 1.3354667883e-8 * s + 2.0609086878e-5
    p = (p * s + 3.4955883807e-3) * s + 0.13381025834
    p = p * s + 0.99999997945
    q = 7.7765609324e-7 * s + 3.2856352547e-4
    q = (q * s + 2.5876983114e-2) * s + 0.46714341425
    q = q * s + 1.0
    return a * p / q


@triton.jit
def tanh_double(x):
    """Return tanh of float64: e / (e + 2) with e = exp(2|x|) - 1 = 2^k (exp(r) - 1) + (2^k - 1)."""
    a = tl.abs(x)
    a = 2.0 * tl.where(a > _F64_LIMIT, _F64_LIMIT, a)
    k = tl.floor(a * _LOG2_E + 0.5)
    r = (a - k * _LN2_HIGH) - k * _LN2_LOW
    two_k = ((tl.where(k == k, k, 0.0).to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    p = r / 6227020800.0 + 1.0 / 479001600.0  # Taylor: exp(r) - 1 = r + r^2 (1/2 + r/6 + ...)
    p = (p * r + 1.0 / 39916800.0) * r + 1.0 / 3628800.0
    p = (p * r + 1.0 / 362880.0) * r + 1.0 / 40320.0
    p = (p * r + 1.0 / 5040.0) * r + 1.0 / 720.0
    p = (p * r + 1.0 / 120.0) * r + 1.0 / 24.0
    p = (p * r + 1.0 / 6.0) * r + 0.5
    e = two_k * (p * r * r + r) + (two_k - 1.0)
    h = e / (e + 2.0)
    return tl.where(x < 0.0, -h, tl.where(x == 0.0, x, h))


@triton.jit
def activated(z, ACTIVATION: tl.constexpr):
    """Return h of z."""
    if ACTIVATION == "tanh":
        if z.dtype == tl.float64:
            return tanh_double(z)
        else:
            return tanh_single(z)
    elif ACTIVATION == "relu":
        return tl.where(z <= 0.0, 0.0, z)
    else:
        return z


@triton.jit
def times_slope(g, h, ACTIVATION: tl.constexpr):
    """Return a gradient by z from one by h."""
    if ACTIVATION == "tanh":
        return g * (1.0 - h * h)
    elif ACTIVATION == "relu":
        return tl.where(h > 0.0, g, 0.0)
    else:
        return g


@triton.jit
def parts_of(
    w, x, y, scale, INPUTS: tl.constexpr, HIDDEN: tl.constexpr, OUTPUTS: tl.constexpr, ACTIVATION: tl.constexpr
):
    """Return each gradient of each row, in the order of the parameters, and at last the squared error.

    Args:
        w: all parameters, a number each.
        x: inputs of each row, a vector for each feature.
        y: targets, in the same layout.
        scale: 2 / N.
        INPUTS: inputs.
        HIDDEN: hidden units.
        OUTPUTS: outputs.
        ACTIVATION: of the hidden units.
    """
    OUT: tl.constexpr = HIDDEN * (INPUTS + 1)  # where the parameters of the output layer begin
    h = ()
    for u in tl.static_range(HIDDEN):
        z = w[u * (INPUTS + 1)] * x[0]
        for j in tl.static_range(1, INPUTS):
            z += w[u * (INPUTS + 1) + j] * x[j]
        h = h + (activated(z + w[u * (INPUTS + 1) + INPUTS], ACTIVATION),)
    loss = tl.zeros_like(y[0])
    g = ()
    for o in tl.static_range(OUTPUTS):
        p = w[OUT + o * (HIDDEN + 1)] * h[0]
        for u in tl.static_range(1, HIDDEN):
            p += w[OUT + o * (HIDDEN + 1) + u] * h[u]
        error = p + w[OUT + o * (HIDDEN + 1) + HIDDEN] - y[o]
        loss += error * error
        g = g + (error * scale,)
    parts = ()
    for u in tl.static_range(HIDDEN):
        back = w[OUT + u] * g[0]
        for o in tl.static_range(1, OUTPUTS):
            back += w[OUT + o * (HIDDEN + 1) + u] * g[o]
        back = times_slope(back, h[u], ACTIVATION)
        for j in tl.static_range(INPUTS):
            parts = parts + (back * x[j],)
        parts = parts + (back,)
    for o in tl.static_range(OUTPUTS):
        for u in tl.static_range(HIDDEN):
            parts = parts + (g[o] * h[u],)
        parts = parts + (g[o],)
    return parts + (loss,)


@triton.jit
def read(pointer, COUNT: tl.constexpr):
    """Return so many numbers."""
    values = ()
    for k in tl.static_range(COUNT):
        values = values + (tl.load(pointer + k),)
    return values


@triton.jit
def read_rows(pointer, rows, n, COUNT: tl.constexpr):
    """Return a vector for each feature; zeros behind the last row."""
    values = ()
    for k in tl.static_range(COUNT):
        values = values + (tl.load(pointer + k * n + rows, mask=rows < n, other=0.0),)
    return values


@triton.jit
def sums_of(
    w, x, y, n, first, scale,
    INPUTS: tl.constexpr, HIDDEN: tl.constexpr, OUTPUTS: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """Return what `parts_of` does, summed over ``BLOCKS`` blocks of ``ROWS`` rows from row ``first`` on.

    Args:
        w: all parameters, a number each.
        x: pointer to inputs ``[INPUTS, n]``.
        y: pointer to targets ``[OUTPUTS, n]``.
        n: rows.
        first: row of the program, 64 bits.
        scale: 2 / N.
        INPUTS: inputs.
        HIDDEN: hidden units.
        OUTPUTS: outputs.
        ACTIVATION: of the hidden units.
        ROWS: of a block.
        BLOCKS: of the program.
    """
    COUNT: tl.constexpr = HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1) + 1
    zero = tl.zeros([ROWS], w[0].dtype)
    total = (zero,)
    for _ in tl.static_range(COUNT - 1):
        total = total + (zero,)
    for block in range(BLOCKS):
        rows = first + block * ROWS + tl.arange(0, ROWS)
        parts = parts_of(
            w, read_rows(x, rows, n, INPUTS), read_rows(y, rows, n, OUTPUTS), scale, INPUTS, HIDDEN, OUTPUTS, ACTIVATION
        )
        added = ()
        for k in tl.static_range(COUNT):
            added = added + (total[k] + tl.where(rows < n, parts[k], 0.0),)  # of no row it may be NaN
        total = added
    sums = ()
    for k in tl.static_range(COUNT):
        sums = sums + (tl.sum(total[k], axis=0),)
    return sums


@triton.jit
def gradients_kernel(
    params, x, y, one_term, sums, n,
    INPUTS: tl.constexpr, HIDDEN: tl.constexpr, OUTPUTS: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """Write the gradients and the sum of squared errors of each program's rows, ``sums [programs, parameters + 1]``."""
    COUNT: tl.constexpr = HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1)
    program = tl.program_id(0).to(tl.int64)
    scale = 2.0 * tl.load(one_term)
    of_program = sums_of(
        read(params, COUNT), x, y, n, program * BLOCKS * ROWS, scale, INPUTS, HIDDEN, OUTPUTS, ACTIVATION, ROWS, BLOCKS
    )
    for k in tl.static_range(COUNT + 1):
        tl.store(sums + program * (COUNT + 1) + k, of_program[k])


@triton.jit
def train_kernel(
    params, x, y, one_term, rate, losses, n, steps,
    INPUTS: tl.constexpr, HIDDEN: tl.constexpr, OUTPUTS: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """Descend ``steps`` times on all rows, in one program: write the parameters in place, and ``losses [steps]``."""
    COUNT: tl.constexpr = HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1)
    first = tl.program_id(0).to(tl.int64)
    of_one, eta = tl.load(one_term), tl.load(rate)
    w = read(params, COUNT)
    for step in range(steps):
        sums = sums_of(w, x, y, n, first, 2.0 * of_one, INPUTS, HIDDEN, OUTPUTS, ACTIVATION, ROWS, BLOCKS)
        tl.store(losses + step, sums[COUNT] * of_one)
        new = ()
        for k in tl.static_range(COUNT):
            new = new + (w[k] - eta * sums[k],)
        w = new
    for k in tl.static_range(COUNT):
        tl.store(params + k, w[k])
