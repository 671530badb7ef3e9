"""Which rows of an open window stand on a metric's topic, as a row of the merge's state: what a derivation does not
give again is taken back, also by an owner that did not write it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streams import stored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.merge import Place, Standing
    from streams.windows import Windows

PREFIX = b"rows|"


def key_of(place: Place) -> bytes:
    """Record key: `rows|window|start`."""
    return PREFIX + f"{place[0]}|{place[1]}".encode()


def place_of(key: bytes, tables: Mapping[str, Windows]) -> Place:
    """The window that a record key names. Raises ValueError unless it is one of the run's."""
    name, _, start = key.removeprefix(PREFIX).decode().rpartition("|")
    place = stored.place(name, int(start), tables)
    if key_of(place) != key:
        raise ValueError(f"{key!r} is not how the key of {place} is written")
    return place


def packed(standing: Standing) -> bytes:
    """Record value."""
    return json.dumps({"keys": list(standing)}, separators=(",", ":"), ensure_ascii=False).encode()


def unpacked(document: Mapping[str, Any], place: Place, names: Sequence[str]) -> Standing:
    """What stands of a window, from a record value. names: the metric's key fields. Raises one of `stored.WRONG`."""
    standing: dict[tuple[Any, ...], None] = {}
    for values in document["keys"]:
        named = dict(zip(names, values, strict=True))
        if any(not isinstance(value, str | int | float | None) for value in values):
            raise ValueError("a key field is neither text nor number")
        if (named.get("window", place[0]), named.get("window_start", place[1])) != place:
            raise ValueError(f"a row of {named} is not of {place}")
        standing[tuple(values)] = None
    return standing
