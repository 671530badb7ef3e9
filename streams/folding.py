"""The work of an event topic's shard: fold chunks, write state, partials, dead letters, alerts and accounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import wire
from schemas.decode import Decoder
from streams import metrics
from streams.alerts import TOPIC as ALERTS
from streams.deadletters import dead_records
from streams.rowwriter import RowWriter
from streams.shard import ShardState
from streams.task import Batch
from streams.transaction import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.fetch import Chunk
    from streams.options import Options
    from streams.plan import TopicPlan
    from streams.shard import Changes
    from streams.transaction import Reader

ACCOUNTING = "accounting"
"""The metric that the engine writes itself: what became of every record, by source, topic and shard."""


def decoder_of(plan: TopicPlan, ids: Mapping[str, int]) -> Decoder:
    """The column decoder of an event topic."""
    spec = plan.decoder
    return Decoder({name: ids[name] for name in spec.records}, spec.vocabularies, spec.columns)


class FoldTask:
    """Folds one partition of an event topic (a `streams.task.Task`)."""

    def __init__(self, options: Options, plan: TopicPlan, ids: Mapping[str, int], shard: int) -> None:
        self._options = options
        self._plan = plan
        self._ids = ids
        self._shard = shard
        self._state = ShardState(plan, shard)
        self._accounting = RowWriter(metrics.load()[ACCOUNTING], ids, options.topic(f"metrics.{ACCOUNTING}"))
        self._provisional_ms = 0
        self._owed = False
        self.topic = options.topic(plan.topic)
        self.state_topic = options.topic(f"state.{plan.topic}")

    @property
    def next_offset(self) -> int:
        """First offset not folded yet."""
        return self._state.next_offset

    def restore(self, rows: Mapping[bytes, bytes], reader: Reader) -> None:
        """Take up the state as it was stored. Raises StateMismatch if it is another run's."""
        self._state = ShardState.restore(self._plan, self._shard, rows)
        self._owed = True  # what was folded before the former owner ended may not be in a partial yet

    def fold(self, chunk: Chunk) -> int:
        """Fold the rows of a chunk; returns how many there were."""
        assert chunk.rows is not None, f"{chunk.topic}/{chunk.partition}: a chunk without rows"
        self._state.fold(chunk.rows, chunk.first, chunk.last)
        self._owed = True
        return chunk.rows.n

    def take(self, now_ms: int, final: bool) -> Batch | None:
        """Everything that changed; partials of open windows at most every `provisional_ms`."""
        due = final or now_ms - self._provisional_ms >= self._options.provisional_ms
        provisional = due and self._owed
        if not self._state.dirty and not provisional:
            return None
        if provisional:
            self._provisional_ms, self._owed = now_ms, False
        changes = self._state.take(provisional)
        return Batch(
            changes.upto,
            lambda: self._records(changes),
            dead=len(changes.dead),
            rows=len(changes.accounting),
        )

    def _records(self, changes: Changes) -> Iterator[Record]:
        prefix = self._options.prefix
        for key, value in changes.state:
            yield Record(self.state_topic, self._shard, key, value)
        for partial in changes.partials:
            value = wire.encode("partial", partial.value(), self._ids)
            yield Record(f"{prefix}partials.{partial.metric}", partial.partition, partial.key, value)
        for letter in changes.dead:
            yield from dead_records(letter, self.topic)
        for alert in changes.alerts:
            yield alert.record(f"{prefix}{ALERTS}", self._ids)
        for row in changes.accounting:
            yield self._accounting.record(row)
