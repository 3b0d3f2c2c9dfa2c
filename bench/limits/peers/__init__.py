"""The same step by packages that are not backends of this project, so that those can be held against someone.

They are a separate extra (``pip install -e '.[all,peers]'``, or ``nox -s peers``). What each is, and the work it
does, is in its module; all pass the same conformance as a backend before they are timed.

Not among them: tinygrad, which computes on a CPU through a clang or LLVM of the system, and has no device without one;
mlpack, whose networks are C++ templates that its Python package does not hold.
"""

from __future__ import annotations

from backends.installed import is_installed

PEERS = {
    "flax": ("flax", "bench.limits.peers.flax_peer:FlaxPeer"),
    "tensorflow": ("tensorflow", "bench.limits.peers.tensorflow_peer:TensorFlowPeer"),
    "keras-jax": ("keras", "bench.limits.peers.keras_on_jax:KerasOnJax"),
    "keras-tensorflow": ("keras", "bench.limits.peers.keras_on_tensorflow:KerasOnTensorFlow"),
    "scikit-learn": ("sklearn", "bench.limits.peers.sklearn_peer:SklearnPeer"),
    "mlx": ("mlx", "bench.limits.peers.mlx_peer:MlxPeer"),
}
"""Name, module that must be installed, and what `backends.load` takes."""

BUILT_IN_PEERS = ("torch-idiom", "torch-compile", "jax-idiom")
"""Idioms that are peers as well: what users of torch and of optax run today."""


def installed() -> dict[str, str]:
    """Return what `backends.load` takes for each peer that is installed, by name."""
    return {name: target for name, (module, target) in PEERS.items() if is_installed(module)}


def missing() -> dict[str, str]:
    """Return the module that each of the other peers lacks."""
    return {name: module for name, (module, _) in PEERS.items() if not is_installed(module)}


def short_name(backend: str) -> str:
    """Return the name of a peer for what `backends.load` takes; of any other backend, its own."""
    return next((name for name, (_, target) in PEERS.items() if target == backend), backend)
