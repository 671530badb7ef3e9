"""Limits crossed and rules broken: records of topic `alerts`, in the transaction that holds what they are of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from schemas import wire
from streams.transaction import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC = "alerts"


@dataclass(frozen=True, slots=True)
class Alert:
    """A record `alert`, field by field: event_time in UTC ms; topic, shard and offset say where the event lies."""

    rule: str
    event_time: int
    topic: str
    shard: int
    offset: int
    subject: str
    institution: str
    value: float | None
    limit: float | None
    text: str

    def record(self, topic: str, ids: Mapping[str, int]) -> Record:
        """The record of the topic of alerts with this full name."""
        return Record(topic, 0, self.rule.encode(), wire.encode("alert", asdict(self), ids))
