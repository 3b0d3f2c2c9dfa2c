"""Kernels for a tiny network of one hidden layer: one pass over the rows, everything else in registers.

A kernel is compiled for its sizes. They are constants to LLVM, which unrolls the loops over features, keeps weights,
outputs and gradients in registers, and vectorises over the rows. So the arrays are feature-major, and a row is read
once and nothing of it is written. The parameters are one vector: ``w1 [h, i]``, ``b1 [h]``, ``w2 [o, h]``, ``b2 [o]``
one after the other, row-major; so are the gradients.

``reassoc`` lets a sum over rows be kept in lanes; no flag allows assuming away NaN or infinity. An output is computed
by `multiply_add`, in one order however this or that compilation vectorises its row.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from functools import lru_cache

from numba import njit

from backends.numba_activations import slope, value
from backends.numba_chunks import BACKWARD, FORWARD, OF_ANOTHER_NETWORK, chunk_signature
from backends.numba_compile import compile_as, compile_c
from backends.numba_lanes import address, multiply_add, offset, stack_array, whole_registers

_KERNEL = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
_PART = {"inline": "always"}
"""Of functions that are inlined into a kernel; they are separate only for the reader."""


@njit(**_PART)
def hidden_row(activation, ni, nh, w, x, pitch, r, h):
    """Compute the hidden outputs ``h [nh]`` of row ``r``."""
    for j in range(nh):
        z = w[nh * ni + j]
        for i in range(ni):
            z = multiply_add(w[j * ni + i], x[i * pitch + r], z)
        h[j] = value(activation, z)


@njit(**_PART)
def output_row(ni, nh, no, w, o, h):
    """Return output ``o`` of the row whose hidden outputs are ``h``."""
    w2 = nh * ni + nh
    z = w[w2 + no * nh + o]
    for j in range(nh):
        z = multiply_add(w[w2 + o * nh + j], h[j], z)
    return z


@njit(**_PART)
def backward_row(activation, ni, nh, no, w, x, pitch, r, zero, h, g, dw):
    """Add row ``r`` with error term ``g [no]`` to the gradients ``dw``."""
    b1 = nh * ni
    w2 = b1 + nh
    b2 = w2 + no * nh
    for o in range(no):
        dw[b2 + o] += g[o]
        for j in range(nh):
            dw[w2 + o * nh + j] += g[o] * h[j]
    for j in range(nh):
        d = zero
        for o in range(no):
            d += g[o] * w[w2 + o * nh + j]
        d *= slope(activation, h[j])
        dw[b1 + j] += d
        for i in range(ni):
            dw[j * ni + i] += d * x[i * pitch + r]


@njit(**_PART)
def add_rows(activation, ni, nh, no, w, x, y, pitch, n, scale, zero, h, g, dw):
    """Add the gradients of the first ``n`` rows to ``dw``; return their sum of squares."""
    squares = zero
    for r in range(n):
        hidden_row(activation, ni, nh, w, x, pitch, r, h)
        for o in range(no):
            e = output_row(ni, nh, no, w, o, h) - y[o * pitch + r]
            squares += e * e
            g[o] = scale * e
        backward_row(activation, ni, nh, no, w, x, pitch, r, zero, h, g, dw)
    return squares


@njit(**_PART)
def load(count, params, w):
    """Copy ``count`` numbers: parameters into registers, or results back to memory."""
    for k in range(count):
        w[k] = params[k]


@njit(**_PART)
def clear(count, dw, zero):
    """Set the gradients to zero."""
    for k in range(count):
        dw[k] = zero


def training_loop(sizes, real, activation):
    """Return the training loop for batches of one block.

    ``scale`` is divided in float64: of ``2 / entries * e`` in one dtype LLVM would make a division for each row.
    """
    ni, nh, no = sizes
    count = nh * ni + nh + no * nh + no

    def train(params, xy, n, learning_rate, losses):
        """Run ``len(losses)`` steps; return the last loss."""
        if params.size != count or xy.shape[1] != ni + no:
            raise ValueError(OF_ANOTHER_NETWORK)
        whole_registers()
        p, pitch = address(params, 0), xy.shape[2]
        x, y = address(xy, 0), address(xy, ni * pitch)
        w, dw = stack_array(count, p), stack_array(count, p)
        h, g = stack_array(nh, p), stack_array(no, p)
        load(count, p, w)
        entries = real(n * no)
        scale, rate, zero = real(2.0 / (n * no)), real(learning_rate), real(0)
        loss = zero
        for s in range(losses.shape[0]):
            clear(count, dw, zero)
            loss = add_rows(activation, ni, nh, no, w, x, y, pitch, n, scale, zero, h, g, dw) / entries
            for k in range(count):
                w[k] -= rate * dw[k]
            losses[s] = loss
        load(count, w, p)
        return loss

    return train


def chunk_kernel(sizes, real, activation):
    """Return the function of one chunk; `numba_chunks.chunk_signature` has its arguments."""
    ni, nh, no = sizes
    count = nh * ni + nh + no * nh + no

    def chunk(c, chunks, phases, plan, params, xy, pitch, rows, of, tape, scratch, length):
        whole_registers()
        gradients = offset(scratch, c * length)
        blocks = (rows + pitch - 1) // pitch
        scale, zero = real(2.0 / (of * no)), real(0)
        squares = zero
        w, dw = stack_array(count, params), stack_array(count, params)
        h, g = stack_array(nh, params), stack_array(no, params)
        load(count, params, w)
        clear(count, dw, zero)
        for k in range(c * blocks // chunks, (c + 1) * blocks // chunks):
            n = pitch if k < blocks - 1 else rows - k * pitch
            x = offset(xy, k * (ni + no) * pitch)
            y = offset(x, ni * pitch)
            z = offset(tape, k * (nh + no) * pitch)
            if phases == FORWARD:
                for r in range(n):
                    hidden_row(activation, ni, nh, w, x, pitch, r, h)
                    for j in range(nh):
                        z[j * pitch + r] = h[j]
                    for o in range(no):
                        z[(nh + o) * pitch + r] = output_row(ni, nh, no, w, o, h)
            elif phases == BACKWARD:
                for r in range(n):
                    for j in range(nh):
                        h[j] = z[j * pitch + r]
                    for o in range(no):
                        e = z[(nh + o) * pitch + r] - y[o * pitch + r]
                        squares += e * e
                        g[o] = scale * e
                    backward_row(activation, ni, nh, no, w, x, pitch, r, zero, h, g, dw)
            else:
                squares += add_rows(activation, ni, nh, no, w, x, y, pitch, n, scale, zero, h, g, dw)
        if phases != FORWARD:
            load(count, dw, gradients)
            gradients[count] = squares

    return chunk


@lru_cache
def bind(sizes, real, activation):
    """Return the training loop of a network, and a function that compiles its chunk kernel and returns the address.

    The closures hold only sizes, a type and a name, so that numba's disk cache recognises them in the next process.
    """
    name = f"{'_'.join(map(str, sizes))}_{real.__name__}_{activation}"
    train = compile_as(training_loop(sizes, real, activation), name, **_KERNEL)
    return train, compile_c(chunk_kernel(sizes, real, activation), name, chunk_signature(real), **_KERNEL)
