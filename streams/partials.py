"""A shard's fold of one window of one rollup, as it travels on `partials.<metric>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROVISIONAL, FINAL, INCOMPLETE = "PROVISIONAL", "FINAL", "INCOMPLETE"
PARTIAL_PARTITIONS = 2


@dataclass(slots=True)
class Partial:
    """Fields as in partial.avsc, `folded` as `streams.packing` lays it out; `metric` names the topic, `index` the
    window in its table.

    The newest partial of a (rollup, topic, shard, window, window_start) replaces the former; one that is not
    PROVISIONAL is the last.
    """

    metric: str
    rollup: str
    topic: str
    shard: int
    window: str
    index: int
    window_start: int
    window_end: int
    status: str
    revision: int
    missing: Mapping[str, int] = field(default_factory=dict)
    upto: int = 0
    wall: int = 0
    folded: bytes = b""

    @property
    def key(self) -> bytes:
        """Record key."""
        return f"{self.rollup}|{self.shard}|{self.window}|{self.window_start}".encode()

    @property
    def partition(self) -> int:
        """Partition of `partials.<metric>`: all shards of a window meet there."""
        return self.index % PARTIAL_PARTITIONS

    def value(self) -> dict[str, Any]:
        """As a record of partial.avsc."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def of(cls, metric: str, value: Mapping[str, Any]) -> Partial:
        """From a decoded record; `index` is not on the wire and is -1."""
        return cls(metric=metric, index=-1, **{name: value[name] for name in FIELDS})


FIELDS = (
    "rollup",
    "topic",
    "shard",
    "window",
    "window_start",
    "window_end",
    "status",
    "revision",
    "missing",
    "upto",
    "wall",
    "folded",
)
