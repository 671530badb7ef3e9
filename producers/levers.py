"""Levers as the economy reads them: the value that holds on a day, out of a log of dated decisions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from schemas.errors import JinliuError

if TYPE_CHECKING:
    from topologies import Lever, Topology

log = logging.getLogger(__name__)


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


def share(decision: Decision) -> float:
    """A number from 0 to 1."""
    value = decision.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise LeverError(f"lever {decision.lever}: {value!r} is not a share; use a number from 0 to 1")
    return float(value)


@dataclass(frozen=True, slots=True)
class Acts:
    """How the economy reads a lever: its value where no decision holds, and a decision's as a number."""

    default: float
    read: Callable[[Decision], float]


ACTING: dict[str, Acts] = {
    "route": Acts(0, route),
    "network-capacity": Acts(60.0, number),
    "device-step": Acts(1, switch),
    "federated": Acts(0, switch),
    "data-sharing": Acts(0, switch),
    "credit-system-access": Acts(0, switch),
    "joint-loan-cap": Acts(1.0, share),
    "partner-floor": Acts(0.0, share),
    "fee-bargaining": Acts(1, switch),
    "loan-rate-cap": Acts(1.0, share),
    "protocol-conversion": Acts(0, switch),
}
"""The levers that the economy reads. Every other one of a topology is recorded and checked, and moves nothing."""


def decided_in_vain(topology: Topology) -> tuple[str, ...]:
    """Levers that nothing acts on, where the topology decides them otherwise than the packaged baseline does."""
    idle = {name: lever for name, lever in topology.levers.items() if name not in ACTING}
    if not idle:
        return ()
    import topologies

    known = topologies.load("china").levers
    return tuple(name for name, lever in idle.items() if name not in known or _path(lever) != _path(known[name]))


def _path(lever: Lever) -> tuple[Any, ...]:
    """What a lever is over time."""
    return (lever.baseline, *((decision.effective, decision.value) for decision in lever.decisions))


def tell_idle(names: Iterable[str]) -> None:
    """Warn, once a process, of each of these levers that nothing acts on."""
    for name in names:
        if name not in ACTING:
            _warn(name)


@cache
def _warn(lever: str) -> None:
    log.warning("lever %s is recorded but nothing acts on it yet; those that act: %s", lever, ", ".join(ACTING))
