"""Levers as the economy reads them: the value that holds on a day, out of a log of dated decisions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from schemas.errors import JinliuError


class LeverError(JinliuError):
    """A lever was given a value it cannot take."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`lever` takes `value` from the first day that starts at or after `effective_ms`."""

    lever: str
    value: Any
    effective_ms: int


def decisions(log: Iterable[Any]) -> list[Decision]:
    """Decisions from (lever, value, effective_ms) tuples or objects with these attributes; text values may be JSON."""
    found = []
    for item in log:
        lever, value, at = item[:3] if isinstance(item, tuple) else (item.lever, item.value, item.effective_ms)
        if isinstance(value, str):
            with suppress(json.JSONDecodeError):  # plain text such as NETWORK is its own value
                value = json.loads(value)
        found.append(Decision(lever, value, int(at)))
    return found


def switch(decision: Decision) -> int:
    """0 or 1 from true/false, on/off, 1/0."""
    value = decision.value.lower() if isinstance(decision.value, str) else decision.value
    if value in (True, "true", "on", "yes"):
        return 1
    if value in (False, "false", "off", "no"):
        return 0
    raise LeverError(f"lever {decision.lever}: {decision.value!r} is not a switch; use true or false")


def route(decision: Decision) -> int:
    """1 for NETWORK, 0 for DIRECT."""
    value = str(decision.value).upper()
    if value not in ("DIRECT", "NETWORK"):
        raise LeverError(f"lever {decision.lever}: {decision.value!r} is not a route; use DIRECT or NETWORK")
    return int(value == "NETWORK")


def number(decision: Decision) -> float:
    """A positive number."""
    value = decision.value
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise LeverError(f"lever {decision.lever}: {value!r} is not a positive number")
    return float(value)
