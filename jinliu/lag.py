"""How far the processors are behind, from the offsets their group commits behind its transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from jinliu import topics

if TYPE_CHECKING:
    from topologies import Topology

FOLDED = ("partials.",)


class Lag:
    """Records between what a prefix's processors have committed and the end of the event and partial topics."""

    def __init__(self, broker: str, prefix: str, world: Topology) -> None:
        self._group = f"{prefix}jinliu"
        self._admin = KafkaAdminClient(bootstrap_servers=broker, client_id="jinliu-lag")
        self._consumer = KafkaConsumer(bootstrap_servers=broker, group_id=None, client_id="jinliu-lag")
        self._places = [
            TopicPartition(prefix + spec.name, number)
            for spec in topics.specs(world)
            if spec.name in world.event_topics or spec.name.startswith(FOLDED)
            for number in range(spec.partitions)
        ]

    def records(self, limit_s: float | None = None) -> int:
        """The lag now, as `behind` has it by partition."""
        return sum(self.behind(limit_s).values())

    def behind(self, limit_s: float | None = None) -> dict[str, int]:
        """Records behind by "topic/partition", only those that are; without a committed offset from the beginning.

        Raises KafkaTimeoutError without an answer within `limit_s` (by default kafka-python's 30 s).
        """
        # Commits first: what is written between the two looks then counts as lag, never as caught up.
        try:
            committed = self._admin.list_group_offsets(self._group).get(self._group, {})
        except kafka.errors.KafkaError as error:
            if not getattr(error, "retriable", False):
                raise
            committed = {}  # the group's coordinator is only just coming up
        ends: dict[Any, int] = self._consumer.end_offsets(
            self._places, timeout_ms=None if limit_s is None else round(limit_s * 1000)
        )
        lags = {place: end - (committed[place].offset if place in committed else 0) for place, end in ends.items()}
        return {f"{place.topic}/{place.partition}": lag for place, lag in lags.items() if lag > 0}

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
