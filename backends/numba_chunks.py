"""Run the kernel of a chunk for all chunks of a batch, on one thread or on all, and the training loop.

A kernel is compiled once, as a C function, and called by its address. So it is compiled neither for a second network
nor again for threads, and the loops below are compiled once for all kernels.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba_compile import compile_as, compile_c
from backends.numba_lanes import address, offset
from backends.numba_optimizers import advance, factors_of

FORWARD, BACKWARD, BOTH = 1, 2, 3
"""What a chunk is to do: write the tape; read it, and write gradients and sum of squares; both, the tape in scratch."""
LAYERS, PARAMETERS, FEATURES, WIDEST, TERMS, BLAS, SIZES = range(7)
"""Where a network's plan, a vector of integers, says its number of layers, of parameters, of features of a tape, the
width of its widest layer but the first, the terms of the loss of one row, the address of the BLAS's product or 0, and,
from `SIZES` on, the sizes of all layers.
"""
KERNEL, FINISH, PLAN, PARAMS, UPDATES, SETTINGS, ROWS, TASK = range(8)
"""Where a vector of integers tells `train` the addresses of the kernel of a chunk, of the end of a step, and of the
first numbers of plan, parameters, number of updates, settings and rows; from `TASK` on, the batch's task.
"""
PART = 1 << 14
"""Parameters whose gradients of all chunks are added up at a time, so that their sum stays in the L1 cache."""

OF_ANOTHER_NETWORK = (
    "params or batch were placed by a backend of another network or optimizer: place them with this one"
)

_UPDATE = {"error_model": "numpy", "fastmath": {"contract"}}


@intrinsic
def call(context, function, arguments):
    """Call a C function that returns nothing, by its address."""

    def codegen(target, builder, signature, values):
        function, arguments = values
        passed = cgutils.unpack_tuple(builder, arguments)
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        builder.call(builder.inttoptr(function, kind.as_pointer()), passed)
        return target.get_dummy_value()

    return types.void(function, arguments), codegen


def chunk_signature(real):
    """Return the types of the arguments of a chunk's kernel.

    They are the number of the chunk, the number of chunks, the phases; plan, params, the batch, its pitch and rows, and
    the rows that these are a share of; tape, scratch, and the length of a chunk's part of it.
    """
    integer, integers, numbers = types.intp, types.CPointer(types.int64), types.CPointer(numba.from_dtype(real))
    return types.void(
        *(integer, integer, integer, integers, numbers, numbers, integer, integer, integer, numbers, numbers, integer)
    )


@njit(inline="always")
def check(plan, params, xy):
    """Refuse parameters and rows of another network: a kernel takes their addresses and believes the plan.

    Behind the parameters are the moments of the optimizer, each as long.
    """
    features = plan[SIZES] + plan[SIZES + plan[LAYERS]]
    if params.size % plan[PARAMETERS] != 0 or (xy.shape[1] != features and xy.shape[2] != features):
        raise ValueError(OF_ANOTHER_NETWORK)


def run(kernel, phases, plan, task, params, xy, tape, scratch):
    """Run some phases of all chunks of a batch."""
    check(plan, params, xy)
    chunks, pitch, n, of = task[0], task[2], task[3], task[5]
    for c in prange(chunks):
        of_batch = address(plan, 0), address(params, 0), address(xy, 0), pitch, n, of
        call(kernel, (np.int64(c), chunks, phases, *of_batch, address(tape, 0), address(scratch, 0), scratch.shape[1]))


def message(kernel, plan, task, params, xy, scratch, message):
    """Write the gradients of a batch or a share, and its loss last, added up over its chunks as `finish` does."""
    check(plan, params, xy)
    chunks, pitch, n, of = task[0], task[2], task[3], task[5]
    for c in prange(chunks):
        of_batch = address(plan, 0), address(params, 0), address(xy, 0), pitch, n, of
        work = address(scratch, 0), address(scratch, 0), scratch.shape[1]
        call(kernel, (np.int64(c), chunks, BOTH, *of_batch, *work))
    parameters = plan[PARAMETERS]
    total = scratch[0]
    for first in range(0, parameters + 1, PART):
        last = min(first + PART, parameters + 1)
        for c in range(1, chunks):
            source = scratch[c]
            for k in range(first, last):
                total[k] += source[k]
        for k in range(first, last):
            message[k] = total[k]
    message[parameters] /= of * plan[TERMS]


def train(told, learning_rate, losses, scratch):
    """Run ``len(losses)`` steps, each on the next part of the rows: all its chunks, then the update.

    ``told`` is of `told_of`: one array in place of six, each of which takes Python 60 ns, more just after a step.
    """
    task = told[TASK:]
    chunks, stride, pitch, n, rows_per_step, of = task[0], task[1], task[2], task[3], task[4], task[5]
    part = 0
    for s in range(losses.shape[0]):
        rows = n - part * rows_per_step
        rows = rows_per_step if rows_per_step < rows else rows
        whole = rows if rows < n else of
        xy = told[ROWS] + part * stride * losses.itemsize
        for c in prange(chunks):
            of_batch = told[PLAN], told[PARAMS], xy, pitch, rows, whole
            work = address(scratch, 0), address(scratch, 0), scratch.shape[1]
            call(told[KERNEL], (np.int64(c), chunks, BOTH, *of_batch, *work))
        of_step = told[PLAN], told[PARAMS], told[UPDATES], told[SETTINGS]
        of_chunks = chunks, address(scratch, 0), scratch.shape[1], whole
        call(told[FINISH], (*of_step, *of_chunks, learning_rate, address(losses, s)))
        part += 1
        if part * rows_per_step >= n:
            part = 0


def finish_signature(real):
    """Return the types of the arguments of `finish_kernel`.

    They are plan, params, number of updates, settings; chunks, scratch, and the length of a chunk's part of it; rows of
    the whole batch; rate; where the loss goes.
    """
    integer, integers, numbers = types.intp, types.CPointer(types.int64), types.CPointer(numba.from_dtype(real))
    return types.void(
        *(integers, numbers, integers, types.CPointer(types.float64)),
        *(integer, numbers, integer, integer, types.float64, numbers),
    )


def finish_kernel(real, optimizer):
    """Return the function that ends a step."""

    def finish(plan, params, updates, settings, chunks, scratch, length, rows, learning_rate, loss):
        """Add up gradients and squares of all chunks in their order, write the loss, take the update."""
        parameters = plan[PARAMETERS]
        rate = real(learning_rate)
        updates[0] += 1
        factors = factors_of(optimizer, real, settings, updates[0])
        for first in range(0, parameters + 1, PART):
            last = first + PART if first + PART < parameters else parameters + 1
            for c in range(1, chunks):
                source = offset(scratch, c * length)
                for k in range(first, last):
                    scratch[k] += source[k]
            last = last if last < parameters else parameters
            advance(optimizer, factors, offset(params, first), offset(scratch, first), parameters, last - first, rate)
        loss[0] = scratch[parameters] / (rows * plan[TERMS])

    return finish


def update_kernel(real, optimizer):
    """Return the update alone."""

    def update(params, updates, settings, gradients, learning_rate):
        parameters = gradients.shape[0]
        if params.size % parameters != 0:
            raise ValueError(OF_ANOTHER_NETWORK)
        updates[0] += 1
        to, by = address(params, 0), address(gradients, 0)
        factors = factors_of(optimizer, real, settings, updates[0])
        advance(optimizer, factors, to, by, parameters, parameters, real(learning_rate))

    return update


def plan_of(network, blas):
    """Return the plan of a network."""
    outputs = network.sizes[1:]
    totals = len(outputs), network.parameter_count, sum(outputs), max(outputs), network.loss_terms(1), blas
    return np.array([*totals, *network.sizes], np.int64)


def told_of(kernel, finish, plan, params, updates, settings, xy, task):
    """Return what `train` is told of a batch and parameters, for as long as the arrays are kept.

    Raises:
        ValueError: parameters or rows are of another network: a kernel takes their addresses and believes the plan.
    """
    features = plan[SIZES] + plan[SIZES + plan[LAYERS]]
    if params.size % plan[PARAMETERS] != 0 or features not in xy.shape[1:]:
        raise ValueError(OF_ANOTHER_NETWORK)
    arrays = plan, params, updates, settings, xy
    return np.array([kernel, finish, *(array.ctypes.data for array in arrays), *task], np.int64)


class Loops(NamedTuple):
    """The loops for one dtype, each compiled at its first call."""

    run: Any
    train: Any
    message: Any


@lru_cache
def loops(real, parallel):
    """Return the loops on one thread or on all; ``real`` is the dtype's scalar type."""
    name = f"{real.__name__}_parallel" if parallel else real.__name__
    options = {"error_model": "numpy", "parallel": parallel}
    return Loops(*(compile_as(loop, name, **options) for loop in (run, train, message)))


@lru_cache
def finish_of(real, optimizer):
    """Return what compiles the end of a step and returns its address."""
    name = f"{real.__name__}_{optimizer}"
    return compile_c(finish_kernel(real, optimizer), name, finish_signature(real), **_UPDATE)


@lru_cache
def update_of(real, optimizer):
    """Return the update alone."""
    return compile_as(update_kernel(real, optimizer), f"{real.__name__}_{optimizer}", **_UPDATE)
