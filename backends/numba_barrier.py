"""A barrier for threads inside compiled code: each waits until all have arrived, and then sees what the others wrote.

It is one counter that only grows. A waiting thread spins on it, which costs less than a microsecond, and after a while
yields to other threads, so that more threads than cores are slow but make progress. A second number ends all waiting if
one of the threads will not come.

Tests: `tests/backends/test_numba_team.py`.
"""

import ctypes
import os

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from backends.numba_lanes import INT64, offset

ARRIVALS, STOP, LENGTH = 0, 8, 16
"""Positions in a barrier, which is integers in two cache lines: the number of arrivals, and whether to stop waiting."""
SPINS = 4096
"""How often a thread looks at the counter before it lets other threads run: some 10 us."""


def new_barrier():
    """Return a barrier."""
    return np.zeros(LENGTH, np.int64)


def yield_address():
    """Return the address of the system call by which a thread yields its core."""
    system = ctypes.windll.kernel32.SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield
    return ctypes.cast(system, ctypes.c_void_p).value


@intrinsic
def _arrive(context, counter):
    """Add one to a counter atomically; return its old value."""

    def codegen(target, builder, signature, arguments):
        return builder.atomic_rmw("add", arguments[0], ir.Constant(INT64, 1), "acq_rel")

    return types.int64(counter), codegen


@intrinsic
def _look(context, counter):
    """Return the present value of a counter, which other threads change."""

    def codegen(target, builder, signature, arguments):
        return builder.load_atomic(arguments[0], "acquire", 8)

    return types.int64(counter), codegen


@intrinsic
def _let_others_run(context, function):
    """Call the function whose address this is."""

    def codegen(target, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return target.get_dummy_value()

    return types.void(function), codegen


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def meet(barrier, team, yield_address):
    """Wait until ``team`` threads have called this as often as the caller; return whether they are to end instead.

    ``yield_address`` is what the function of that name returns.
    """
    if team == 1:
        return False
    goal = (_arrive(barrier) // team + 1) * team
    looks = 0
    while _look(barrier) < goal:
        if _look(offset(barrier, STOP)):
            return True
        looks += 1
        if looks > SPINS:
            _let_others_run(yield_address)
    return False
