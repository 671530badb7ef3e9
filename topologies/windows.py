"""Names of tumbling windows and ticks, and which are unions of which."""

from __future__ import annotations

import re

FIXED_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
CALENDAR = ("month", "year")
NAMES = "second, minute, hour, day, month, year, or a number with a unit such as 500ms, 10s, 15m, 6h, 7d"
DAY_MS = FIXED_MS["day"]
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}


def length_ms(name: str) -> int | None:
    """Length of a window in milliseconds, None for a month or a year. Raises ValueError for another name."""
    if name in CALENDAR:
        return None
    if name in FIXED_MS:
        return FIXED_MS[name]
    found = re.fullmatch(r"([1-9][0-9]{0,8})(ms|s|m|h|d)", name)
    if not found:
        raise ValueError(f"no window {name!r}")
    return int(found[1]) * _UNIT_MS[found[2]]


def union_of(coarse: str, fine: str) -> bool:
    """Whether every window `coarse` is a union of windows `fine`, both aligned to the epoch or the calendar."""
    long, short = length_ms(coarse), length_ms(fine)
    if short is None:
        return coarse == fine or (coarse, fine) == ("year", "month")
    return (DAY_MS if long is None else long) % short == 0
