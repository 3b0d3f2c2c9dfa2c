"""About what each backend, idiom and peer takes a campaign of `limits` that never ran it on this machine.

Starts, compiling and calls as campaigns with cold caches showed them on 2 cores of an AMD EPYC (Zen 4) and on 2 of an
Intel Xeon (Granite Rapids): their 17 processes took 741 and 749 s, by these figures 760 and 765.

Tests: `tests/bench/limits/test_guesses.py`.
"""

from __future__ import annotations

import backends
from bench.limits.peers import PEERS
from bench.measure.guess import Guess

GUESSES = {
    "numpy": Guess(0.5),
    "numpy-idiom": Guess(0.6, slower=4),
    "numba": Guess(1.5, compile_s=2.0, group_compile_s=1.0),
    "numba-idiom": Guess(1.2, compile_s=4.0, group_compile_s=0.5, slower=25),
    "jax": Guess(2.0, group_compile_s=1.1, group_s=0.3),
    "jax-by-hand": Guess(2.0, group_compile_s=1.1, group_s=0.3),
    "jax-idiom": Guess(2.3, group_compile_s=1.1, group_s=0.3, slower=3),
    "torch": Guess(3.0),
    "torch-idiom": Guess(5.0, slower=2),
    "torch-compile": Guess(7.0, compile_s=15.0, group_compile_s=2.0, group_s=1.5, slower=1.5),
    "torch-fused": Guess(7.0, compile_s=20.0, group_compile_s=2.0, group_s=1.5, slower=1.5),
    "flax": Guess(4.0, group_compile_s=1.3, group_s=0.5, slower=3),
    "tensorflow": Guess(9.0, group_compile_s=0.4, group_s=0.4, slower=2),
    "keras-jax": Guess(7.0, group_compile_s=1.0, group_s=0.5, slower=2),
    "keras-tensorflow": Guess(9.0, group_compile_s=0.8, group_s=0.5, slower=2),
    "scikit-learn": Guess(3.0, slower=4),
    "mlx": Guess(0.5, compile_s=2.5, group_compile_s=1.0, slower=30),
}
"""By name, peers by their short one."""

OTHER = Guess(4.0, group_compile_s=1.0, group_s=0.3, slower=2)
"""Of a backend that is not in the table, such as a person's own."""


def guesses() -> dict[str, Guess]:
    """Return the guess for each backend and peer that there is, by what `backends.load` takes."""
    targets = {name: target for name, (_, target) in PEERS.items()}
    known = {targets.get(name, name): guess for name, guess in GUESSES.items()}
    return {entry.name: OTHER for entry in backends.catalogue()} | known
