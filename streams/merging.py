"""The work of one partition of `partials.<metric>`: keep the newest partials of open windows, write the metric's rows.

Its state is the partials themselves. A transaction holds rows and, in `state.partials.<metric>`, how far the partials
are read (`upto`), which windows are open there and the offset their oldest partial lies at: a new owner reads the
partials again from that offset up to `upto` and goes on.

A metric row's record carries the header `upto`: JSON of topic/shard to the first offset of that shard that is not in
the row. Whoever measures the delay from an event to the metrics needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from schemas import wire
from schemas.errors import WireError
from streams.merge import MergeState
from streams.partials import PROVISIONAL, Partial
from streams.rowwriter import RowWriter
from streams.task import Batch
from streams.transaction import Partition, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.fetch import Chunk
    from streams.metric import Metric
    from streams.options import Options
    from streams.plan import TopicPlan
    from streams.transaction import Reader

POSITION = b"position"
UPTO_HEADER = "upto"

Place = tuple[str, int]


class _OpenWindow:
    """What the task itself knows of a window: where its partials begin, which closed, how fresh they are, and what
    they cover.
    """

    __slots__ = ("closed", "first", "upto", "wall_ms")

    def __init__(self, first: int) -> None:
        self.first = first
        self.closed: set[tuple[str, int]] = set()
        self.upto: dict[str, int] = {}
        self.wall_ms = 0


class MergeTask:
    """Merges one partition of a metric's partials (a `streams.task.Task`)."""

    def __init__(
        self, options: Options, metric: Metric, plans: Mapping[str, TopicPlan], ids: Mapping[str, int], partition: int
    ) -> None:
        self._options = options
        self._metric = metric
        self._ids = ids
        self._partition = partition
        self._state = MergeState(metric, plans)
        self._expected = sum(plans[rollup.topic].shards for rollup in metric.rollups)
        self._open: dict[Place, _OpenWindow] = {}
        self._next = 0
        self._taken = 0
        self._provisional_ms = 0
        self._owed = False
        self._writer = RowWriter(metric, ids, options.topic(f"metrics.{metric.name}"))
        self.topic = options.topic(f"partials.{metric.name}")
        self.state_topic = options.topic(f"state.partials.{metric.name}")

    @property
    def next_offset(self) -> int:
        """First offset not merged yet."""
        return self._next

    def restore(self, rows: Mapping[bytes, bytes], reader: Reader) -> None:
        """Read the partials of the windows that were open again, up to where the last transaction had read."""
        if POSITION not in rows:
            return
        position = json.loads(rows[POSITION])
        open_windows = {(window, start) for window, start in position["open"]}
        for batch in reader.read(Partition(self.topic, self._partition), position["from"], position["upto"]):
            for message in batch:
                value, offset = message.value(), message.offset()
                if value is not None and offset is not None:
                    partial = self._decoded(value, offset)
                    if (partial.window, partial.window_start) in open_windows:
                        self._put(partial, offset)
        self._next = self._taken = position["upto"]
        self._owed = True  # provisional rows of these windows may not have been written

    def fold(self, chunk: Chunk) -> int:
        """Take the partials of a chunk; returns how many there were."""
        for offset, _, value in chunk.records:
            if value is not None:
                self._put(self._decoded(value, offset), offset)
        self._next = chunk.last + 1
        self._owed = self._owed or bool(chunk.records)
        return len(chunk.records)

    def _decoded(self, value: bytes, offset: int) -> Partial:
        name, fields = wire.decode(value, self._ids)
        if name != "partial":
            raise WireError(f"{self.topic}/{self._partition} holds a {name!r} record at offset {offset}, not a partial")
        return Partial.of(self._metric.name, fields)

    def _put(self, partial: Partial, offset: int) -> None:
        place = (partial.window, partial.window_start)
        window = self._open.get(place)
        if window is None:
            window = self._open[place] = _OpenWindow(offset)
        window.wall_ms = max(window.wall_ms, partial.wall)
        shard = f"{partial.topic}/{partial.shard}"
        window.upto[shard] = max(window.upto.get(shard, 0), partial.upto)
        if partial.status != PROVISIONAL:
            window.closed.add((partial.rollup, partial.shard))
        self._state.put(partial)

    def take(self, now_ms: int, final: bool) -> Batch | None:
        """Rows of closed windows at once, provisional ones at most every `provisional_ms`."""
        due = final or now_ms - self._provisional_ms >= self._options.provisional_ms
        rows: list[Any] = self._state.take(due and self._owed)
        if due:
            self._provisional_ms, self._owed = now_ms, False
        if not rows and not (due and self._next > self._taken):
            return None
        delays = tuple(now_ms - self._open[row.window, row.window_start].wall_ms for row in rows)
        places = dict.fromkeys((row.window, row.window_start) for row in rows)
        covered = {place: json.dumps(self._open[place].upto).encode() for place in places}
        for place in [place for place, window in self._open.items() if len(window.closed) == self._expected]:
            del self._open[place]
        self._taken = self._next
        position = self._position()
        return Batch(self._next, lambda: self._records(rows, covered, position), rows=len(rows), delays_ms=delays)

    def _position(self) -> bytes:
        first = min((window.first for window in self._open.values()), default=self._next)
        return json.dumps({"upto": self._next, "from": first, "open": sorted(self._open)}).encode()

    def _records(self, rows: list[Any], covered: Mapping[Place, bytes], position: bytes) -> Iterator[Record]:
        yield Record(self.state_topic, self._partition, POSITION, position)
        for row in rows:
            upto = covered[row.window, row.window_start]
            yield self._writer.record(row)._replace(headers=((UPTO_HEADER, upto),))
