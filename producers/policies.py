"""The log of dated decisions, as every source reads it: levers in force, and the horizon.

All of it is a function of the order in the one-partition topic `policies`: a lever that stands behind a horizon which
had already reached its date is void for everybody, a copy of an earlier record says nothing new.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

HORIZON = "horizon"
TOPOLOGY, LIVE, CLOCK = "TOPOLOGY", "LIVE", "CLOCK"
_FIRST_MS = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Decision:
    """One record of `policies`. `value` is JSON text, `effective_ms` simulated UTC milliseconds."""

    lever: str
    value: str
    effective_ms: int
    origin: str

    def record(self) -> dict[str, Any]:
        return {"lever": self.lever, "value": self.value, "effective_from": self.effective_ms, "origin": self.origin}

    def key(self) -> bytes:
        return self.lever.encode()

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Decision":
        """From the fields of a policy record."""
        return cls(record["lever"], record["value"], record["effective_from"], record["origin"])


@dataclass(frozen=True, slots=True)
class Anchor:
    """Ties simulated to wall time: at wall_ms it was at_ms, and `speed` simulated seconds pass per second
    (None: max)."""

    at_ms: int
    wall_ms: int
    speed: float | None

    def now_ms(self, wall_ms: int) -> float:
        """Simulated time at wall_ms; infinity at full speed, and no earlier than an int64 can say at a forged one."""
        if self.speed is None:
            return float("inf")
        return max(float(_FIRST_MS), self.at_ms + (wall_ms - self.wall_ms) * self.speed)

    def text(self) -> str:
        return json.dumps({"at": self.at_ms, "wall": self.wall_ms, "speed": self.speed})

    @classmethod
    def read(cls, text: str) -> "Anchor":
        """From its text. Raises ValueError, KeyError, TypeError, OverflowError or RecursionError for what is none."""
        found = json.loads(text)
        return cls(_time_ms(found["at"]), _time_ms(found["wall"]), _speed(found["speed"]))


def _time_ms(value: Any) -> int:
    """A time as records hold it, an int64."""
    if isinstance(value, bool) or not isinstance(value, int) or not _FIRST_MS <= value < 1 << 63:
        raise ValueError("no time in ms")
    return value


def _speed(value: Any) -> float | None:
    """Simulated seconds per second, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("no speed")
    return float(value)


class PolicyLog:
    """What the records so far amount to.

    `horizon_ms` is the simulated time no source may pass (None before the first horizon record), `anchor` that of the
    last horizon record, `decisions` the levers that take effect, in log order and without copies.
    """

    def __init__(self) -> None:
        self.horizon_ms: int | None = None
        self.anchor: Anchor | None = None
        self.decisions: list[Decision] = []
        self._seen: set[Decision] = set()
        self._last: dict[tuple[str, int], Decision] = {}

    def add(self, decision: Decision) -> bool:
        """Take the next record of the log; whether it is a lever that takes effect."""
        if decision.lever == HORIZON:
            self._move(decision)
            return False
        # Several processes may write the topology's decisions; a live lever may well be moved back to where it was.
        place = (decision.lever, decision.effective_ms)
        if (decision in self._seen) if decision.origin == TOPOLOGY else (self._last.get(place) == decision):
            return False
        self._seen.add(decision)
        self._last[place] = decision
        if self.horizon_ms is not None and decision.effective_ms <= self.horizon_ms:
            log.warning(
                "policy %s = %s from %d is void: the horizon had reached %d before it was written",
                decision.lever, decision.value, decision.effective_ms, self.horizon_ms,
            )  # fmt: skip
            return False
        self.decisions.append(decision)
        return True

    def _move(self, decision: Decision) -> None:
        if decision.origin != CLOCK:
            log.warning("a horizon that was not written by the clock is ignored: %s", decision)
            return
        try:
            anchor = Anchor.read(decision.value)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            log.warning("a horizon with an unreadable anchor is ignored: %.200s", decision)
            return
        reached = decision.effective_ms
        self.horizon_ms = reached if self.horizon_ms is None else max(self.horizon_ms, reached)
        self.anchor = anchor
