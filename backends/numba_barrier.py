"""A barrier for threads inside compiled code: each waits until all have arrived, and then sees what the others wrote.

It is one counter that only grows. A waiting thread spins on it, which costs less than a microsecond, and after a while
yields to other threads, so that more threads than cores are slow but make progress. A second number ends all waiting if
one of the threads will not come.

A thread that is done may linger for the next call, which it then begins at once: the system takes some 50 us to wake a
thread. Each has a number of its own for that.

Tests: `tests/backends/test_numba_team.py`.
"""

import ctypes
import os
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from backends.numba_compile import compile_as
from backends.numba_lanes import INT64, address, offset

ARRIVALS, STOP, CALLS, LINE = 0, 8, 16, 8
"""Positions in a barrier: the number of arrivals, whether to stop waiting, and of each thread whether it is called
again. Each number has a cache line of its own.
"""
NOTHING, CALLED, GONE = 0, 1, 2
"""What the number of a thread says: the caller exchanges it for `CALLED`, a thread that lingers no more for `GONE`."""
SPINS = 4096
"""How often a thread looks at the counter before it lets other threads run: some 10 us."""
LINGERING = 16 * SPINS
"""How often it looks for the next call before it goes: some 150 us, less than OpenMP's threads do."""


def new_barrier(team):
    """Return a barrier for ``team`` threads."""
    return np.zeros(CALLS + LINE * team, np.int64)


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
def _exchange(context, counter, value):
    """Write a value atomically; return the one that was there."""

    def codegen(target, builder, signature, arguments):
        return builder.atomic_rmw("xchg", arguments[0], arguments[1], "acq_rel")

    return types.int64(counter, types.int64), codegen


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


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def linger(barrier, me):
    """Wait for the next call; return whether it has come, or False after a while and if all waiting is to end."""
    own = offset(barrier, CALLS + LINE * me)
    looks = 0
    while _look(own) != CALLED and looks < LINGERING:
        if _look(offset(barrier, STOP)):
            return False
        looks += 1
    called = _exchange(own, GONE) == CALLED
    if called:
        _exchange(own, NOTHING)
    return called


def call_kernel(barrier, me):
    """Call a thread that may linger; return whether it has gone, and has to be started."""
    own = address(barrier, CALLS + LINE * me)
    gone = _exchange(own, CALLED) == GONE
    if gone:
        _exchange(own, NOTHING)
    return gone


@lru_cache
def call_again():
    """Return `call_kernel`, compiled."""
    return compile_as(call_kernel, "call", error_model="numpy")
