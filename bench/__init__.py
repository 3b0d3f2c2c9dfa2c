"""Measure the backends, compare them, and recommend one: the instrument and what it concludes.

    bench.recommend("17-33-3", batch=5000, steps=1000).backend

Importing this package imports neither a framework nor pandas; what it offers is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.advice.recommendation import Recommendation, recommend

__all__ = ["Recommendation", "recommend"]


def __getattr__(name: str) -> Any:
    """Load what this package offers when it is asked for."""
    if name in __all__:
        from bench.advice import recommendation

        return getattr(recommendation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
