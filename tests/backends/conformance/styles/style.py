"""What a style is: a plain backend that says what it lacks."""

from __future__ import annotations

from backends.conformance.plain import Plain


class Style(Plain):
    """A right backend; of ``share`` of the cases, where each of them takes long."""

    share = 1.0

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot run here; nothing where it can."""
        return ""
