"""What the entries tell, and the smaller of the spans they tell it of."""

from __future__ import annotations

import sys
from typing import Any

from jinliu.bed import Span

DAY_MS = 86_400_000
EVENTS_A_DAY = 13_000
"""Payments told a day by the world `payments`, about."""
LOAN_STEPS_A_DAY = 12_500
"""Steps of loans told a day by the world `lending` in 2022, about."""
SMALL_FROM_MS = 1_640_995_200_000  # 2022-01-01


def say(text: str) -> None:
    """A line of progress on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def counted(events: int, cpu: float, wall: float) -> dict[str, Any]:
    """The figures every entry has."""
    return {
        "cpu_us_per_event": round(cpu / events * 1e6, 4),
        "events_per_s": round(events / wall),
        "events": events,
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
    }


def small(events: int) -> Span:
    """About so many events of the world `payments`, in ticks of a day: a unit of source, shard and tick is small."""
    return _days("payments", events / EVENTS_A_DAY)


def loans(events: int) -> Span:
    """About so many events of the world `lending`, in ticks of a day."""
    return _days("lending", events / LOAN_STEPS_A_DAY)


def _days(world: str, days: float) -> Span:
    return Span(world, SMALL_FROM_MS, SMALL_FROM_MS + max(2, round(days)) * DAY_MS)
