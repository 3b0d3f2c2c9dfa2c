"""Run the kernel of a chunk for all chunks of a batch, on one thread or on all, and the training loop.

A kernel is compiled once, as a C function, and called by its address. So neither a second network nor threads compile
it again, and the loops below are compiled once for all kernels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba_compile import compile_as, compile_c
from backends.numba_lanes import address, offset

FORWARD, BACKWARD, BOTH = 1, 2, 3
"""What a chunk is to do: write the tape; read it, and write gradients and sum of squares; both, the tape in scratch."""
LAYERS, PARAMETERS, FEATURES, WIDEST, SIZES = range(5)
"""Where a network's plan, a vector of integers, says its number of layers, of parameters, of features of a tape, the
width of its widest layer but the first, and, from `SIZES` on, the sizes of all layers.
"""
PART = 1 << 14
"""Parameters whose gradients of all chunks are added up at a time, so that their sum stays in the nearest cache."""


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
    """Return what a chunk's kernel is told: its number and that of all chunks, the phases; plan, params, the batch,
    its pitch and rows; tape, room and the length of one chunk's; the address of the BLAS's product.
    """
    integer, integers, numbers = types.intp, types.CPointer(types.int64), types.CPointer(numba.from_dtype(real))
    return types.void(
        *(integer, integer, integer, integers, numbers, numbers, integer, integer, numbers, numbers, integer, integer)
    )


def run(kernel, chunks, phases, plan, params, xy, n, tape, room, blas):
    """Run some phases of all chunks."""
    for c in prange(chunks):
        of_batch = address(plan, 0), address(params, 0), address(xy, 0), xy.shape[2], n
        call(kernel, (np.int64(c), chunks, phases, *of_batch, address(tape, 0), address(room, 0), room.shape[1], blas))


def train(kernel, finish, chunks, plan, params, xy, n, learning_rate, losses, room, blas):
    """Run ``len(losses)`` steps: all chunks, then the update."""
    for s in range(losses.shape[0]):
        for c in prange(chunks):
            of_batch = address(plan, 0), address(params, 0), address(xy, 0), xy.shape[2], n
            work = address(room, 0), address(room, 0), room.shape[1], blas
            call(kernel, (np.int64(c), chunks, BOTH, *of_batch, *work))
        of_step = address(plan, 0), address(params, 0), chunks, address(room, 0), room.shape[1], n
        call(finish, (*of_step, learning_rate, address(losses, s)))


def finish_signature(real):
    """Return what the end of a step is told: plan, params; chunks, room and the length of one; rows; rate; the loss."""
    integer, integers, numbers = types.intp, types.CPointer(types.int64), types.CPointer(numba.from_dtype(real))
    return types.void(integers, numbers, integer, numbers, integer, integer, types.float64, numbers)


def finish_kernel(real):
    """Return the function that ends a step."""

    def finish(plan, params, chunks, room, length, n, learning_rate, loss):
        """Add up gradients and squares of all chunks in their order, write the loss, take the update."""
        parameters = plan[PARAMETERS]
        rate = real(learning_rate)
        for first in range(0, parameters + 1, PART):
            last = first + PART if first + PART < parameters else parameters + 1
            for c in range(1, chunks):
                source = offset(room, c * length)
                for k in range(first, last):
                    room[k] += source[k]
            for k in range(first, last - (last > parameters)):
                params[k] -= rate * room[k]
        loss[0] = room[parameters] / (n * plan[SIZES + plan[LAYERS]])

    return finish


def plan_of(network):
    """Return the plan of a network."""
    outputs = network.sizes[1:]
    return np.array([len(outputs), network.parameter_count, sum(outputs), max(outputs), *network.sizes], np.int64)


class Loops(NamedTuple):
    """The loops for one dtype, each compiled at its first call, and the address of the end of a step."""

    run: Any
    train: Any
    finish: Any


@lru_cache
def loops(real, parallel):
    """Return the loops on one thread or on all; ``real`` is the dtype's scalar type."""
    name = f"{real.__name__}_parallel" if parallel else real.__name__
    options = {"error_model": "numpy", "parallel": parallel}
    finish = compile_c(
        finish_kernel(real), real.__name__, finish_signature(real), error_model="numpy", fastmath={"contract"}
    )
    return Loops(compile_as(run, name, **options), compile_as(train, name, **options), finish)
