"""The matrix product of the BLAS, called by its address from compiled code; it can add to its result and takes pitches.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from backends.base import BackendUnavailable
from backends.numba_lanes import INT32


def gemm_address(dtype: str) -> int:
    """Return the address of scipy's ``sgemm`` or ``dgemm``.

    Raises:
        BackendUnavailable: scipy cannot be imported.
    """
    try:
        return int(get_cython_function_address("scipy.linalg.cython_blas", {"float32": "sgemm"}.get(dtype, "dgemm")))
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'numba' multiplies networks of this size by the BLAS of scipy: {error}; pip install scipy"
        ) from error


def call_gemm(builder: Any, function: Any, transpose_a: Any, transpose_b: Any, *rest: Any) -> None:
    """Build the call of a BLAS ``gemm``, which takes a pointer to each argument; the rest is that of `gemm`."""
    m, n, k, a, lda, b, ldb, beta, c, ldc = rest
    real, letter = a.type.pointee, ir.IntType(8)

    def at(value: Any) -> Any:
        slot = cgutils.alloca_once(builder, value.type)
        builder.store(value, slot)
        return slot

    def letter_of(transpose: Any) -> Any:
        return at(builder.select(builder.trunc(transpose, ir.IntType(1)), letter(ord("T")), letter(ord("N"))))

    def size(value: Any) -> Any:
        return at(builder.trunc(value, INT32))

    passed = [
        letter_of(transpose_a), letter_of(transpose_b), size(m), size(n), size(k), at(real(1.0)),
        a, size(lda), b, size(ldb),
        at(builder.sitofp(beta, real)), c, size(ldc),
    ]  # fmt: skip
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
    builder.call(builder.inttoptr(function, kind.as_pointer()), passed)


@intrinsic
def gemm(
    context: Any,
    function: Any,
    transpose_a: Any,
    transpose_b: Any,
    m: Any,
    n: Any,
    k: Any,
    a: Any,
    lda: Any,
    b: Any,
    ldb: Any,
    beta: Any,
    c: Any,
    ldc: Any,
) -> Any:
    """Compute ``c [m, n] = a b + beta c``, column-major as the BLAS has it; ``transpose_a`` is 1 to take ``a^T``."""

    def codegen(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call_gemm(builder, *arguments)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(
        integer, integer, integer, integer, integer, integer, a, integer, a, integer, integer, a, integer
    ), codegen
