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

from backends.numba_lanes import CONTRACT, INT32, Lanes, lanes_of, load, splat, store

VECTORS = 2
"""Vectors of rows of one tile; with 8 rows of weights, 16 sums: enough to hide the latency of two FMA units. Batches of
so few rows that half of it would be empty have short tiles of one.
"""
COUNTS = 8, 4, 2, 1
"""Features of a tile; a smaller one takes what the larger ones leave."""
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


def emit_features(builder, features, counts, emit):
    """Emit ``emit(first, count)`` for tiles that cover some features, of the largest count first."""
    integer, first = features.type, features.type(0)
    for count in counts:
        last = builder.and_(features, integer(-count))
        with cgutils.for_range_slice(builder, first, last, integer(count), integer) as (at, _):
            emit(at, count)
        first = last


def emit_products(builder, vectors, w, across, along, h, pitch, terms, z, z_pitch, features, live, finish=None):
    """Emit ``z = w h`` for some ``features`` and the first ``live`` rows, by tiles of some vectors of rows.

    The weight of feature ``o`` and term ``k`` is ``w[o * across + k * along]``; ``h`` is ``[terms, pitch]``.
    ``finish(o, total, at)``, if there is one, returns what is written at ``z[at]`` in place of a sum of feature ``o``.
    """
    integer = live.type
    wide = integer(vectors * lanes_of(z.type.pointee))
    with cgutils.for_range_slice(builder, integer(0), live, wide, integer) as (r, _):
        rows = builder.gep(h, [r])

        def tile(first, count):
            weights = [builder.gep(w, [builder.mul(across, builder.add(first, integer(o)))]) for o in range(count)]
            start = builder.add(builder.mul(first, z_pitch), r)

            def weight_at(o, k):
                return builder.gep(weights[o], [builder.mul(k, along)])

            def rows_at(k):
                return builder.gep(rows, [builder.mul(k, pitch)])

            def finished(o, total, at):
                return finish(builder.add(first, integer(o)), total, builder.add(start, at))

            to = builder.gep(z, [start])
            emit_tile(builder, count, vectors, weight_at, rows_at, terms, to, z_pitch, finish and finished)

        emit_features(builder, features, COUNTS, tile)


def _emit_gradient_tile(builder, g_rows, h_rows, live, dw, stride):
    """Emit the sums over ``live`` rows of all products of features of ``g`` and of ``h``, 1 or 4, added to ``dw``."""
    real, integer = dw.type.pointee, live.type
    lanes, inputs = lanes_of(real), len(h_rows)
    sums = _sums(builder, real, len(g_rows) * inputs)
    with cgutils.for_range_slice(builder, integer(0), live, integer(lanes), integer) as (r, _):
        loaded = [load(builder, builder.gep(row, [r]), lanes) for row in h_rows]
        for o, row in enumerate(g_rows):
            error = load(builder, builder.gep(row, [r]), lanes)
            for i in range(inputs):
                _add_product(builder, sums[o * inputs + i], error, loaded[i])
    for o in range(len(g_rows)):
        at = builder.gep(dw, [builder.mul(stride, integer(o))])
        total = _add_lanes(builder, [builder.load(sums[o * inputs + i]) for i in range(inputs)])
        store(builder, builder.fadd(load(builder, at, inputs), total), at)


@intrinsic
def _add_products(context, g, h, dw, o, i, pitch, live):
    """Do what `add_products` says."""

    def codegen(target, builder, signature, arguments):
        g, h, dw, o, i, pitch, live = arguments

        def rows(z, first, count):
            return [builder.gep(z, [builder.mul(pitch, builder.add(first, o.type(k)))]) for k in range(count)]

        def of_outputs(j, outputs):
            def tile(k, inputs):
                to = builder.gep(dw, [builder.add(builder.mul(j, i), k)])
                _emit_gradient_tile(builder, rows(g, j, outputs), rows(h, k, inputs), live, to, i)

            emit_features(builder, i, (4, 1), tile)

        emit_features(builder, o, (4, 1), of_outputs)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(g, g, g, integer, integer, integer, integer), codegen


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


@intrinsic
def _multiply(context, vectors, w, across, along, h, pitch, z, z_pitch, o, i, live):
    """Do what `multiply` says by tiles of this many vectors of rows."""
    if not isinstance(vectors, types.IntegerLiteral):
        return None

    def codegen(target, builder, signature, arguments):
        _, w, across, along, h, pitch, z, z_pitch, o, i, live = arguments
        emit_products(builder, vectors.literal_value, w, across, along, h, pitch, i, z, z_pitch, o, live)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(vectors, w, integer, integer, w, integer, w, integer, integer, integer, integer), codegen


@njit(**_INNER)
def multiply(w, across, along, h, pitch, z, z_pitch, o, i, live):
    """Write ``z = w h`` for the first ``live`` rows, ``h [i, pitch]`` and ``z [o, z_pitch]``, by `emit_products`."""
    _multiply(VECTORS, w, across, along, h, pitch, z, z_pitch, o, i, live)


@njit(**_INNER)
def multiply_short(w, across, along, h, pitch, z, z_pitch, o, i, live):
    """Do the same by tiles of one vector of rows."""
    _multiply(1, w, across, along, h, pitch, z, z_pitch, o, i, live)


@njit(**_INNER)
def add_products(g, h, dw, o, i, pitch, live):
    """Add ``g h^T`` to ``dw [o, i]`` for the first ``live`` of ``pitch`` rows."""
    _add_products(g, h, dw, o, i, pitch, live)
