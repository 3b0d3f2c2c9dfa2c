"""Slow-downs planted in the source of a backend, to see whether a gate finds them.

The source file of a copy gets some lines at its end, which let every single step take a share longer. With
`SLOW_FROM` in the environment every step takes half as long again from a moment on, as on a machine that slows down to
two thirds of its speed.

Tests: `tests/bench/verdicts/test_gate_trials.py`.
"""

from __future__ import annotations

from pathlib import Path

from backends import find
from bench.basics.errors import UsageError

SLOW_FROM = "BACKPROP_BENCH_SLOW_FROM"
"""The variable that holds the moment, by the monotonic clock, which all processes of a machine share."""

SLOWED = 1.5
"""Times as long as before: a machine at two thirds of its speed."""

LINES = '''

# Planted on purpose, by `python -m bench certify --gates`.
def _planted(step, share):
    import os
    from time import perf_counter

    slow_from = float(os.environ.get("{variable}", "inf"))

    def planted(self, *arguments):
        begun = perf_counter()
        stepped = step(self, *arguments)
        self.synchronize()
        now = perf_counter()
        wait_s = (now - begun) * ((1 + share) * (1 if now < slow_from else {slowed}) - 1) - _planted.cost_s
        while perf_counter() - now < wait_s:
            pass
        return stepped

    return planted


def _cost_s():
    """Return what these lines take by themselves, so that they add the share and no more."""
    from time import perf_counter

    class Idle:
        def synchronize(self):
            pass

    def step(self):
        pass

    def least_s(call):
        idle, times_s = Idle(), []
        for _ in range(20):
            begun = perf_counter()
            for _ in range(200):
                call(idle)
            times_s.append((perf_counter() - begun) / 200)
        return min(times_s)

    return least_s(_planted(step, 0.0)) - least_s(step)


_planted.cost_s = 0.0
_planted.cost_s = _cost_s()
{owner}.step = _planted({owner}.step, {share!r})
'''


def plant(folder: Path, backend: str, share: float) -> None:
    """Let each single step of a backend take longer.

    Args:
        folder: of a copy of the package that brings it.
        backend: its name, as `backends.load` takes it.
        share: of its time that a step takes longer; 0 plants what `SLOW_FROM` asks for alone.

    Raises:
        UsageError: the copy has no such module.
    """
    owner = find(backend)
    source = folder.joinpath(*owner.__module__.split(".")).with_suffix(".py")
    if not source.is_file():
        raise UsageError(f"backend {backend!r}: no {source.name} to plant a slow-down in; choose another --backend")
    lines = LINES.format(variable=SLOW_FROM, slowed=SLOWED, owner=owner.__name__, share=share)
    source.write_text(source.read_text(encoding="utf-8") + lines, encoding="utf-8")
