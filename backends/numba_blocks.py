"""Kernels for networks of any depth and width: blocks of rows that stay in cache, products by the BLAS.

Arrays are feature-major and blocked, ``x [blocks, i, rows]``: a block's products are small enough for the BLAS's own
small-matrix kernels, and all between them (bias, tanh, derivative, sums over rows) runs over long contiguous vectors of
what is still in cache. The tape is ``[blocks, features of all layers but the first, rows]``. Rows that fill up the last
block are zero in ``x``, and their error term is set to zero. Parameters and gradients are one vector, layer by layer:
weights ``[out, in]`` row-major, then biases.

A run of blocks, a chunk, is one thread's, with gradients of its own; how many there are and how a batch is cut stands
in `numba_blocking`. A product of a block is that of one thread, except in huge networks.

The gradient of a middling layer is added up by loops of our own, in tiles of 4 x 4 sums: its product has few entries
and long sums, for which the BLAS's small-matrix kernels are not made. Measured for a step on two cores of an EPYC with
AVX-512, lower quartiles of processes in turn: 4.3 to 4.4 ms instead of 4.6 to 4.7 at 32-64-1, n = 2^16, 9.3 instead of
10.3 in float64; 8.7 instead of 9.3 to 9.9 at 64-64-64-1, n = 2^14, in float64, within the noise in float32. Loops of
our own for products with few outputs or inputs lost to those kernels, by 1.6 times at 8 x 64. Row-major blocks lost:
2.0 to 2.3 ms where feature-major ones took 1.2 to 1.5, at 8-32-1 on another machine.

A chunk's scratch, its ``room``, is kept from step to step: taken afresh each time, its pages alone cost 41.2 instead of
36.9 ms at 784-512-10, n = 4,096, 82.6 instead of 71.2 in float64; where it is small, looking it up costs 0.1 us.

``one`` carries the dtype into kernels that have no other scalar of it. What is divided by a number of rows is float64
until it is stored, since numba makes float64 of float32 and an integer.
"""

from functools import lru_cache

import numpy as np
from numba import njit, prange

from backends.layout import aligned_empty
from backends.numba_blocking import room_length
from backends.numba_compile import serial_and_parallel
from backends.numba_tanh import tanh

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of what only kernels call: without entries from Python and C a kernel compiles in nine tenths of the time."""
_LOOP = _INNER | {"fastmath": {"contract"}}
_SUM = _INNER | {"fastmath": {"reassoc", "contract", "nsz"}}
_KERNEL = {"error_model": "numpy"}
TILED_FROM, TILED_TO = 1 << 10, 1 << 13
"""Sizes of a layer, ``o * i``, whose gradient our own loops add up faster than the BLAS multiplies."""
TILED_ROWS = 512
"""They read the rows of a block again for each tile, so these have to stay in cache."""
PART = 1 << 14
"""Parameters whose gradients of all chunks are added up at a time, so that their sum stays in the nearest cache."""


@njit(**_LOOP)
def bias_tanh(z, b, n):
    """Turn the products ``z [h, rows]`` into ``tanh(z + b)``, zero from row ``n`` on."""
    for j in range(z.shape[0]):
        for r in range(n):
            z[j, r] = tanh(z[j, r] + b[j])
        z[j, n:] = 0


@njit(**_LOOP)
def bias(z, b):
    """Add ``b [o]`` to the products ``z [o, rows]``."""
    for o in range(z.shape[0]):
        for r in range(z.shape[1]):
            z[o, r] += b[o]


@njit(**_SUM)
def error_term(p, y, n, scale, g):
    """Write ``g = scale (p - y)``, zero from row ``n`` on; return the sum of squares of ``p - y``."""
    squares = scale - scale
    for o in range(p.shape[0]):
        for r in range(n):
            e = p[o, r] - y[o, r]
            squares += e * e
            g[o, r] = scale * e
        g[o, n:] = 0
    return squares


@njit(**_LOOP)
def times_tanh_derivative(g, h, n, one):
    """Multiply ``g`` by ``1 - h^2``, both ``[h, rows]``; zero from row ``n`` on."""
    for j in range(h.shape[0]):
        for r in range(n):
            g[j, r] *= one - h[j, r] * h[j, r]
        g[j, n:] = 0


@njit(**_SUM)
def add_row_sums(g, db):
    """Add the sums over rows of ``g [o, rows]`` to ``db [o]``."""
    for o in range(g.shape[0]):
        total = g[o, 0]
        for r in range(1, g.shape[1]):
            total += g[o, r]
        db[o] += total


@njit(**_LOOP)
def add(product, dw):
    """Add ``product`` to ``dw``, both vectors."""
    for k in range(dw.shape[0]):
        dw[k] += product[k]


@njit(**_SUM)
def dot(a, b):
    """Return the sum of products of two vectors."""
    total = a[0] * b[0]
    for r in range(1, a.shape[0]):
        total += a[r] * b[r]
    return total


@njit(**_SUM)
def add_products(g, h, dw):
    """Add ``g h^T`` to ``dw [o, i]``, for ``g [o, rows]`` and ``h [i, rows]``: tiles of 4 x 4 sums in registers."""
    o, i, rows = g.shape[0], h.shape[0], g.shape[1]
    whole_o, whole_i = o // 4 * 4, i // 4 * 4
    zero = dw[0, 0] - dw[0, 0]
    for j in range(0, whole_o, 4):
        g0, g1, g2, g3 = g[j], g[j + 1], g[j + 2], g[j + 3]
        for k in range(0, whole_i, 4):
            h0, h1, h2, h3 = h[k], h[k + 1], h[k + 2], h[k + 3]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
            for r in range(rows):
                x0, x1, x2, x3 = h0[r], h1[r], h2[r], h3[r]
                y = g0[r]
                s00, s01, s02, s03 = s00 + y * x0, s01 + y * x1, s02 + y * x2, s03 + y * x3
                y = g1[r]
                s10, s11, s12, s13 = s10 + y * x0, s11 + y * x1, s12 + y * x2, s13 + y * x3
                y = g2[r]
                s20, s21, s22, s23 = s20 + y * x0, s21 + y * x1, s22 + y * x2, s23 + y * x3
                y = g3[r]
                s30, s31, s32, s33 = s30 + y * x0, s31 + y * x1, s32 + y * x2, s33 + y * x3
            s0, s1, s2, s3 = (s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33)
            for b in range(4):
                dw[j, k + b] += s0[b]
                dw[j + 1, k + b] += s1[b]
                dw[j + 2, k + b] += s2[b]
                dw[j + 3, k + b] += s3[b]
        for k in range(whole_i, i):
            for a in range(4):
                dw[j + a, k] += dot(g[j + a], h[k])
    for j in range(whole_o, o):
        for k in range(i):
            dw[j, k] += dot(g[j], h[k])


@njit(**_LOOP)
def forward_block(params, sizes, x, n, tape):
    """Write every layer's output of one block, ``x [i, rows]`` of which ``n`` count, to ``tape [features, rows]``."""
    h = x
    first = 0
    at = 0
    for k in range(1, sizes.shape[0]):
        i, o = sizes[k - 1], sizes[k]
        w = params[at : at + o * i].reshape(o, i)
        b = params[at + o * i : at + o * i + o]
        z = tape[first : first + o]
        np.dot(w, h, z)
        if k < sizes.shape[0] - 1:
            bias_tanh(z, b, n)
        else:
            bias(z, b)
        h = z
        first += o
        at += o * i + o


@njit(**_LOOP)
def backward_block(params, sizes, x, y, n, tape, scale, one, fresh, g, product, gradients):
    """Add one block to ``gradients``, all zero if ``fresh``; return its sum of squares.

    ``g [2, widest, rows]`` and ``product``, a vector as long as the weights of the largest layer, are scratch.
    """
    last = sizes.shape[0] - 1
    first = tape.shape[0] - sizes[last]
    at = params.shape[0]
    turn = 0
    squares = error_term(tape[first:], y, n, scale, g[turn, : sizes[last]])
    for k in range(last, 0, -1):
        i, o = sizes[k - 1], sizes[k]
        at -= o * i + o
        h = tape[first - i : first] if k > 1 else x
        dz = g[turn, :o]
        dw = gradients[at : at + o * i]
        if TILED_FROM <= o * i <= TILED_TO and dz.shape[1] <= TILED_ROWS:
            add_products(dz, h, dw.reshape(o, i))
        elif fresh:
            np.dot(dz, h.T, dw.reshape(o, i))
        else:
            np.dot(dz, h.T, product[: o * i].reshape(o, i))
            add(product[: o * i], dw)
        add_row_sums(dz, gradients[at + o * i : at + o * i + o])
        if k > 1:
            turn = 1 - turn
            dh = g[turn, :i]
            np.dot(params[at : at + o * i].reshape(o, i).T, dz, dh)
            times_tanh_derivative(dh, h, n, one)
            first -= i
    return squares


# What follows keeps array expressions out of the parallel kernels, where each would become a parallel region of its
# own: slower to run, and several times slower to compile.


@njit(**_LOOP)
def parts_of(room, sizes, rows, parameters):
    """Cut the room of one chunk into its gradients, those of one product, its tape and its error terms."""
    features, widest, largest = 0, 0, 0
    for k in range(1, sizes.shape[0]):
        features += sizes[k]
        widest = max(widest, sizes[k])
        largest = max(largest, sizes[k] * sizes[k - 1])
    product = parameters + largest
    tape = product + features * rows
    return (
        room[:parameters],
        room[parameters:product],
        room[product:tape].reshape(features, rows),
        room[tape : tape + 2 * widest * rows].reshape(2, widest, rows),
    )


@njit(**_LOOP)
def start(gradients, one):
    """Clear the gradients; return the zero to add squares to."""
    gradients[:] = 0
    return one - one


@njit(**_LOOP)
def add_up(room, parameters):
    """Return the gradients of the first chunk, after adding those of the others in their order, `PART` by `PART`."""
    total = room[0, :parameters]
    for first in range(0, parameters, PART):
        for c in range(1, room.shape[0]):
            here = total[first : first + PART]
            add(room[c, first : first + here.shape[0]], here)
    return total


@njit(**_LOOP)
def copy(source, target):
    """Copy a vector; an array expression would compile for seconds."""
    for k in range(target.shape[0]):
        target[k] = source[k]


@njit(**_LOOP)
def sum_of(squares):
    """Return the sum of what the chunks gave, in their order."""
    total = squares[0]
    for c in range(1, squares.shape[0]):
        total += squares[c]
    return total


@njit(**_LOOP)
def descend(params, gradients, learning_rate):
    """Take the update."""
    for k in range(params.shape[0]):
        params[k] -= learning_rate * gradients[k]


def forward(params, sizes, x, n, tape):
    """Write every layer's output to ``tape``."""
    rows = x.shape[2]
    for k in prange(x.shape[0]):
        forward_block(params, sizes, x[k], min(rows, n - k * rows), tape[k])


def backward(params, sizes, x, y, n, tape, one, room, gradients):
    """Write the gradients of the batch that ``tape`` belongs to; return the loss."""
    blocks, rows = x.shape[0], x.shape[2]
    chunks = room.shape[0]
    squares = np.empty(chunks, x.dtype)
    count = one * n * sizes[-1]
    for c in prange(chunks):
        partial, product, _, g = parts_of(room[c], sizes, rows, params.shape[0])
        total = start(partial, one)
        first = c * blocks // chunks
        for k in range(first, (c + 1) * blocks // chunks):
            here, fresh = min(rows, n - k * rows), k == first
            scale = (one + one) / count
            total += backward_block(params, sizes, x[k], y[k], here, tape[k], scale, one, fresh, g, product, partial)
        squares[c] = total
    copy(add_up(room, params.shape[0]), gradients)
    return sum_of(squares) / count


def train(params, sizes, x, y, n, learning_rate, one, room, losses):
    """Run ``len(losses)`` steps: forward and backward of one block after the other, then the update."""
    blocks, rows = x.shape[0], x.shape[2]
    chunks = room.shape[0]
    squares = np.empty(chunks, x.dtype)
    count = one * n * sizes[-1]
    for s in range(losses.shape[0]):
        for c in prange(chunks):
            partial, product, tape, g = parts_of(room[c], sizes, rows, params.shape[0])
            total = start(partial, one)
            first = c * blocks // chunks
            for k in range(first, (c + 1) * blocks // chunks):
                here, fresh = min(rows, n - k * rows), k == first
                scale = (one + one) / count
                forward_block(params, sizes, x[k], here, tape)
                total += backward_block(params, sizes, x[k], y[k], here, tape, scale, one, fresh, g, product, partial)
            squares[c] = total
        losses[s] = sum_of(squares) / count
        descend(params, add_up(room, params.shape[0]), learning_rate)


@lru_cache
def _compile(real):
    """Return the pairs of kernels for one dtype; of each pair the second needs the BLAS held to one thread."""
    return tuple(serial_and_parallel(kernel, real.__name__, **_KERNEL) for kernel in (forward, backward, train))


def bind(network, real, most_chunks):
    """Return the kernels by name with a network bound to them; ``real`` is the dtype's scalar type."""
    sizes, dtype, one = np.array(network.sizes, np.int64), np.dtype(real), real(1)
    forwards, backwards, trains = _compile(real)
    rooms = {}
    loss = np.empty(1, real)

    def room(x, parallel):
        key = x.shape, parallel
        if key not in rooms:
            chunks = min(most_chunks, x.shape[0]) if parallel else 1
            rooms.clear()  # that of the last batch alone is kept
            rooms[key] = aligned_empty((chunks, room_length(network, x.shape[2])), dtype)
        return rooms[key]

    def forward_with(parallel):
        return lambda params, x, n, tape: forwards[parallel](params, sizes, x, n, tape)

    def backward_with(parallel):
        return lambda params, x, y, n, tape, gradients: backwards[parallel](
            params, sizes, x, y, n, tape, one, room(x, parallel), gradients
        )

    def train_with(parallel):
        return lambda params, x, y, n, rate, losses: trains[parallel](
            params, sizes, x, y, n, real(rate), one, room(x, parallel), losses
        )

    def step(params, x, y, n, rate):
        trains[0](params, sizes, x, y, n, real(rate), one, room(x, False), loss)
        return loss[0]

    return {
        "forward": forward_with(False),
        "forward_parallel": forward_with(True),
        "backward": backward_with(False),
        "backward_parallel": backward_with(True),
        "step": step,
        "train": train_with(False),
        "train_parallel": train_with(True),
    }
