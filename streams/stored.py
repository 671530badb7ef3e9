"""Rows of the state topics as they are read back: whoever reaches the broker can write there too.

A row whose key the plan does not know is passed over with a warning. One whose key it knows and that makes no sense is
a StateMismatch that says which topic, partition and key, what is wrong and what to do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from streams.errors import StateMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.metric import Int64
    from streams.windows import Windows

log = structlog.get_logger("streams.state")

INT64_MAX = 2**63 - 1
WRONG = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
"""What strangers' JSON raises where it is taken for ours."""


def ignored(where: str, key: bytes, reason: str) -> None:
    """Say that a row is passed over. where: topic/partition."""
    topic, _, partition = where.rpartition("/")
    log.warning("stored row ignored", topic=topic, partition=int(partition), key=repr(key), reason=reason)


def mismatch(where: str, key: bytes, what: object) -> StateMismatch:
    """The error for a row that makes no sense."""
    return StateMismatch(f"{where}, key {key!r}: {what}: use a new prefix or data directory")


def document(where: str, key: bytes, text: bytes) -> dict[str, Any]:
    """A stored JSON object. Raises StateMismatch."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise mismatch(where, key, f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise mismatch(where, key, "not a JSON object")
    return found


def integer(value: Any, low: int = 0, high: int = INT64_MAX) -> int:
    """The value itself. Raises ValueError unless it is an integer, low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{str(value)[:40]!r} is no integer from {low} to {high}")
    return value


def place(window: Any, start: Any, tables: Mapping[str, Windows]) -> tuple[str, int]:
    """A window by name and start (UTC ms). Raises ValueError unless it is one of the run's."""
    windows = tables.get(window) if isinstance(window, str) else None
    if windows is not None:
        index = windows.index(integer(start, -INT64_MAX))
        if 0 <= index < windows.count and windows.start(index) == start:
            return window, start
    raise ValueError(f"{str(window)[:40]!r} has no window that starts at {str(start)[:40]}")


def check_meta(
    meta: Mapping[str, Any],
    arrays: Mapping[str, Int64],
    tables: Mapping[str, Windows],
    rollups: Sequence[Sequence[Windows]],
    roster: Sequence[str],
) -> None:
    """Whether a shard's `meta` has the shapes that are adopted from it. Raises one of WRONG.

    arrays: name -> array of the shape it must have. tables: windows by name. rollups: windows of each, finest first.
    """
    integer(meta["next_offset"])
    integer(meta["wall_ms"])
    for name, like in arrays.items():
        found = np.array(meta[name])
        if found.shape != like.shape or found.dtype != like.dtype:
            raise ValueError(f"{name} is no table of integers of shape {like.shape}")
    for what, least in (("missing", 0), ("since", -1)):
        for name, windows in meta[what].items():
            for index, named in windows.items():
                integer(int(index), least, tables[name].count)
                for source, count in named.items():
                    integer(count)
                    if source not in roster:
                        raise ValueError(f"{what} names the source {source!r}, which the run has not")
    if [len(levels) for levels in meta["revisions"]] != [len(levels) for levels in rollups]:
        raise ValueError("revisions are not one table a rollup and window")
    for levels, known in zip(meta["revisions"], rollups, strict=True):
        for level, table in zip(levels, known, strict=True):
            for index, count in level.items():
                integer(int(index), 0, table.count - 1)
                integer(count, 1)
