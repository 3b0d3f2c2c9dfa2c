"""Products of small matrices by tiles of sums that stay in vector registers.

Matrices are feature-major, ``[features, pitch]``, of whose ``pitch`` numbers a feature the first ``live`` count, whole
tiles; weights are ``[o, i]``. In `multiply` each sum is a number of the result and a vector runs over
rows. In `add_products` each lane of a sum adds up other rows, and the lanes are added at the end.
``docs/tuning.md`` compares them with the BLAS.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba_lanes import CONTRACT, INT32, Lanes, lanes_of, load, offset, splat, store

VECTORS = 2
"""Vectors of rows of one tile; with 8 rows of weights, 16 sums: enough to hide the latency of two FMA units. Batches of
so few rows that half of it would be empty have short tiles of one.
"""
STEP_ROWS = VECTORS * 16
"""Rows come in multiples of this, a tile of the widest vectors and the smallest numbers; with short tiles, of a vector.
"""

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "fastmath": {"contract"}}


def _sums(builder, real, count):
    """Emit variables for ``count`` vectors of sums, all zero."""
    vector = ir.VectorType(real, lanes_of(real))
    sums = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for total in sums:
        builder.store(ir.Constant(vector, [0.0] * vector.count), total)
    return sums


def _add_product(builder, total, a, b):
    product = builder.fmul(a, b, flags=CONTRACT)
    builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)


def emit_tile(builder, outputs, vectors, weight_at, rows_at, count, z, z_pitch, finish=None):
    """Emit ``outputs`` sums of products for some vectors of rows, written to ``z [outputs, z_pitch]``.

    ``weight_at(o, k)`` points to the weight of output ``o`` and term ``k``, ``rows_at(k)`` to what it multiplies.
    ``finish(o, total, at)``, if there is one, returns what is written at ``z[at]`` in place of a sum of output ``o``.
    """
    real, integer = z.type.pointee, count.type
    lanes = lanes_of(real)
    sums = _sums(builder, real, outputs * vectors)
    with cgutils.for_range(builder, count) as loop:
        first = rows_at(loop.index)
        rows = [load(builder, builder.gep(first, [integer(v * lanes)]), lanes) for v in range(vectors)]
        for o in range(outputs):
            weight = splat(builder, builder.load(weight_at(o, loop.index)), lanes)
            for v in range(vectors):
                _add_product(builder, sums[o * vectors + v], weight, rows[v])
    for o in range(outputs):
        for v in range(vectors):
            at = builder.add(builder.mul(z_pitch, integer(o)), integer(v * lanes))
            total = Lanes(builder, builder.load(sums[o * vectors + v]))
            store(builder, (finish(o, total, at) if finish else total).value, builder.gep(z, [at]))


@intrinsic
def multiply_tile(context, outputs, vectors, w, across, along, h, pitch, i, z, z_pitch):
    """Write rows ``[0, outputs)`` of ``w h`` to ``z`` for some vectors of rows; the weight of output ``o`` and input
    ``k`` is ``w[o * across + k * along]``.
    """
    if not isinstance(outputs, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None
    tile, wide = outputs.literal_value, vectors.literal_value

    def codegen(target, builder, signature, arguments):
        _, _, w, across, along, h, pitch, i, z, z_pitch = arguments
        weights = [builder.gep(w, [builder.mul(across, i.type(o))]) for o in range(tile)]

        def weight_at(o, k):
            return builder.gep(weights[o], [builder.mul(k, along)])

        def rows_at(k):
            return builder.gep(h, [builder.mul(k, pitch)])

        emit_tile(builder, tile, wide, weight_at, rows_at, i, z, z_pitch)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(outputs, vectors, w, integer, integer, w, integer, integer, w, integer), codegen


@intrinsic
def gradient_tile(context, outputs, inputs, g, h, pitch, live, dw, stride):
    """Add ``g h^T`` to ``dw`` for ``outputs`` features of ``g`` and ``inputs``, 1 or 4, of ``h``."""
    if not isinstance(outputs, types.IntegerLiteral):
        return None
    tile_o, tile_i = outputs.literal_value, inputs.literal_value

    def codegen(target, builder, signature, arguments):
        _, _, g, h, pitch, live, dw, stride = arguments
        real, integer = g.type.pointee, live.type
        lanes = lanes_of(real)
        sums = _sums(builder, real, tile_o * tile_i)
        g_rows = [builder.gep(g, [builder.mul(pitch, integer(o))]) for o in range(tile_o)]
        h_rows = [builder.gep(h, [builder.mul(pitch, integer(i))]) for i in range(tile_i)]
        with cgutils.for_range_slice(builder, integer(0), live, integer(lanes), integer) as (r, _):
            loaded = [load(builder, builder.gep(row, [r]), lanes) for row in h_rows]
            for o, row in enumerate(g_rows):
                error = load(builder, builder.gep(row, [r]), lanes)
                for i in range(tile_i):
                    _add_product(builder, sums[o * tile_i + i], error, loaded[i])
        for o in range(tile_o):
            at = builder.gep(dw, [builder.mul(stride, integer(o))])
            total = _add_lanes(builder, [builder.load(sums[o * tile_i + i]) for i in range(tile_i)])
            store(builder, builder.fadd(load(builder, at, tile_i), total), at)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(outputs, inputs, g, g, integer, integer, g, integer), codegen


@intrinsic
def row_sum(context, g, live):
    """Return the sum of ``live`` numbers."""

    def codegen(target, builder, signature, arguments):
        g, live = arguments
        real, integer = g.type.pointee, live.type
        lanes = lanes_of(real)
        (total,) = _sums(builder, real, 1)
        with cgutils.for_range_slice(builder, integer(0), live, integer(lanes), integer) as (r, _):
            row = load(builder, builder.gep(g, [r]), lanes)
            builder.store(builder.fadd(builder.load(total), row), total)
        return builder.extract_element(_add_lanes(builder, [builder.load(total)]), INT32(0))

    return g.dtype(g, types.intp), codegen


def _add_lanes(builder, vectors):
    """Emit the sums over the lanes of 1, 2 or 4 vectors: one vector with as many lanes."""

    def fold(a, b, size):
        even, odd = (
            builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, size), [2 * k + first for k in range(size)]))
            for first in (0, 1)
        )
        return builder.fadd(even, odd)

    count = len(vectors)
    while len(vectors) > 1:
        vectors = [fold(a, b, a.type.count) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    (total,) = vectors
    while total.type.count > count:
        total = fold(total, total, total.type.count // 2)
    return total


@njit(inline="always")
def rounded_up(rows, step):
    """Return ``rows`` rounded up to a multiple of ``step``."""
    return (rows + step - 1) // step * step


@intrinsic
def lanes(context, pointer):
    """Return how many numbers fill a vector."""
    return types.intp(pointer), lambda target, builder, signature, arguments: ir.IntType(64)(
        lanes_of(arguments[0].type.pointee)
    )


def _multiply_by(vectors):
    """Return `multiply` by tiles of this many vectors of rows."""

    @njit(**_INNER)
    def multiply(w, across, along, h, pitch, z, z_pitch, o, i, live):
        """Write ``z = w h`` for the first ``live`` rows, ``h [i, pitch]`` and ``z [o, z_pitch]``."""
        for r in range(0, live, vectors * lanes(w)):
            j = 0
            rows = offset(h, r)
            while j + 8 <= o:
                to = offset(z, j * z_pitch + r)
                multiply_tile(8, vectors, offset(w, j * across), across, along, rows, pitch, i, to, z_pitch)
                j += 8
            if j + 4 <= o:
                to = offset(z, j * z_pitch + r)
                multiply_tile(4, vectors, offset(w, j * across), across, along, rows, pitch, i, to, z_pitch)
                j += 4
            if j + 2 <= o:
                to = offset(z, j * z_pitch + r)
                multiply_tile(2, vectors, offset(w, j * across), across, along, rows, pitch, i, to, z_pitch)
                j += 2
            if j < o:
                to = offset(z, j * z_pitch + r)
                multiply_tile(1, vectors, offset(w, j * across), across, along, rows, pitch, i, to, z_pitch)

    return multiply


multiply, multiply_short = _multiply_by(VECTORS), _multiply_by(1)


@njit(**_INNER)
def add_products(g, h, dw, o, i, pitch, live):
    """Add ``g h^T`` to ``dw [o, i]`` for the first ``live`` of ``pitch`` rows."""
    j = 0
    while j < o:
        rows = 4 if j + 4 <= o else 1
        k = 0
        while k < i:
            to = offset(dw, j * i + k)
            if rows == 4 and k + 4 <= i:
                gradient_tile(4, 4, offset(g, j * pitch), offset(h, k * pitch), pitch, live, to, i)
                k += 4
            elif rows == 4:
                gradient_tile(4, 1, offset(g, j * pitch), offset(h, k * pitch), pitch, live, to, i)
                k += 1
            elif k + 4 <= i:
                gradient_tile(1, 4, offset(g, j * pitch), offset(h, k * pitch), pitch, live, to, i)
                k += 4
            else:
                gradient_tile(1, 1, offset(g, j * pitch), offset(h, k * pitch), pitch, live, to, i)
                k += 1
        j += rows
