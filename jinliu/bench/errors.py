"""What can go wrong in a bench."""

from __future__ import annotations

from schemas.errors import JinliuError


class BenchError(JinliuError):
    """An entry is unknown, did not end in time, or found a wrong result."""
