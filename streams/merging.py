"""The work of one partition of `partials.<metric>`: keep the newest partials of open windows, write the metric's rows.

Its state is the partials themselves. A transaction holds rows and, in `state.partials.<metric>`, how far the partials
are read (`upto`), which windows are open there and the offset their oldest partial lies at: a new owner reads the
partials again from that offset up to `upto` and goes on. `done` says which windows are closed for good, by name: the
floor below which all are, and the numbers of others.

Rows that a derivation of an open window gave and a later one of it does not (a ranking, a stock that came to nothing)
are taken back by tombstones in the same transaction. `state.partials.<metric>` also holds, by open window, which rows
stand (`streams.standing`), since a new owner could not derive them again: they may come from partials that newer ones
have replaced. A closed row that crosses a limit raises an alert in the same transaction, hence once, as the row itself.

A record that can be no partial of the run (`streams.vetting`) is passed over: a warning names it, and it is counted.

A metric row's record carries the header `upto`: JSON of topic/shard to the first offset of that shard that is not in
the row. Whoever measures the delay from an event to the metrics needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog

from streams import alerts, standing, stored
from streams.merge import MergeState
from streams.metric import SUM_MAX
from streams.rowwriter import RowWriter
from streams.task import Batch
from streams.telemetry import PARTIALS_REFUSED
from streams.transaction import Partition, Record
from streams.vetting import Refused, Vetting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.fetch import Chunk
    from streams.merge import Key, Place, Standing
    from streams.metric import Metric
    from streams.options import Options
    from streams.plan import TopicPlan
    from streams.transaction import Reader
    from streams.vetting import Vetted

log = structlog.get_logger("streams.merging")

POSITION = b"position"
UPTO_HEADER = "upto"


class _OpenWindow:
    """What the task itself knows of a window: where its partials begin, how great their sums are, how fresh they are,
    and what they cover.
    """

    __slots__ = ("first", "magnitudes", "upto", "wall_ms")

    def __init__(self, first: int) -> None:
        self.first = first
        self.magnitudes: dict[str, dict[int, float]] = {}
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
        self._vetting = Vetting(metric, plans, ids, partition)
        self._state = MergeState(metric, plans, partition)
        self._open: dict[Place, _OpenWindow] = {}
        self._stored: dict[Place, Standing] = {}
        self._next = 0
        self._taken = 0
        self._known_end = 0
        self._provisional_ms = 0
        self._owed = False
        self._writer = RowWriter(metric, ids, options.topic(f"metrics.{metric.name}"))
        self._alerts = options.topic(alerts.TOPIC)
        self.topic = options.topic(f"partials.{metric.name}")
        self.state_topic = options.topic(f"state.partials.{metric.name}")

    @property
    def next_offset(self) -> int:
        """First offset not merged yet."""
        return self._next

    def restore(self, rows: Mapping[bytes, bytes], reader: Reader) -> None:
        """Read the partials of the windows that were open again, up to where the last transaction had read.

        Raises StateMismatch if the stored position makes no sense or lies behind the end of the partials.
        """
        where = f"{self.state_topic}/{self._partition}"
        for key in rows:
            if key != POSITION and (POSITION not in rows or not key.startswith(standing.PREFIX)):
                stored.ignored(where, key, "the merge stores nothing under this key")
        if POSITION not in rows:
            return
        place = Partition(self.topic, self._partition)
        _, end = reader.bounds(place)
        self._known_end = end  # compaction may have dropped what newer partials in front of it replace
        try:
            first, upto, open_windows = self._adopted(stored.document(where, POSITION, rows[POSITION]), end)
        except stored.WRONG as error:
            raise stored.mismatch(where, POSITION, f"{type(error).__name__}: {error}") from error
        for key in sorted(rows):
            if key.startswith(standing.PREFIX):
                self._adopt_standing(where, key, rows[key])
        for batch in reader.read(place, first, upto):
            for message in batch:
                offset = message.offset()
                if offset is not None:
                    self._read(offset, message.key(), message.value(), open_windows)
        self._next = self._taken = upto
        self._owed = True  # provisional rows of these windows may not have been written

    def _adopted(self, position: Mapping[str, Any], end: int) -> tuple[int, int, frozenset[Place]]:
        """From, upto and open windows of a stored position; takes over what is done. end: of the partials.

        Raises one of `stored.WRONG`.
        """
        upto = stored.integer(position["upto"], 0, end)
        first = stored.integer(position["from"], 0, upto)
        tables = self._state.tables
        open_windows = frozenset(stored.place(window, start, tables) for window, start in position["open"])
        for name, (floor, *above) in position.get("done", {}).items():
            done = self._state.done[name]
            done.floor = stored.integer(floor, done.floor, tables[name].count + done.step)
            done.above = {stored.integer(index, done.floor + 1, tables[name].count - 1) for index in above}
        return first, upto, open_windows

    def _adopt_standing(self, where: str, key: bytes, value: bytes) -> None:
        """Take over what stands of an open window. Raises StateMismatch."""
        tables, done = self._state.tables, self._state.done
        try:
            place = standing.place_of(key, tables)
        except ValueError as error:
            stored.ignored(where, key, str(error))
            return
        if tables[place[0]].index(place[1]) in done[place[0]]:
            stored.ignored(where, key, "its window is closed")
            return
        try:
            rows = standing.unpacked(stored.document(where, key, value), place, self._metric.key)
        except stored.WRONG as error:
            raise stored.mismatch(where, key, f"{type(error).__name__}: {error}") from error
        self._state.adopt(place, rows)
        self._stored[place] = rows

    def fold(self, chunk: Chunk) -> int:
        """Take the partials of a chunk; returns how many records there were."""
        for offset, key, value in chunk.records:
            self._read(offset, key, value)
        self._next = chunk.last + 1
        self._owed = self._owed or bool(chunk.records)
        return len(chunk.records)

    def _read(self, offset: int, key: bytes | None, value: bytes | None, only: frozenset[Place] | None = None) -> None:
        """Take a record, or refuse it. only: windows to take, all by default."""
        try:
            vetted = self._vetting.read(key, value)
            if only is None or (vetted.partial.window, vetted.partial.window_start) in only:
                self._put(vetted, offset)
        except Refused as error:
            PARTIALS_REFUSED.labels(self.topic).inc()
            log.warning(
                "partial refused", topic=self.topic, partition=self._partition, offset=offset, reason=str(error)
            )

    def _put(self, vetted: Vetted, offset: int) -> None:
        """Merge a partial. Raises Refused if a sum over the shards could leave int64 with it."""
        partial, magnitude = vetted
        place = (partial.window, partial.window_start)
        window = self._open.get(place) or _OpenWindow(offset)
        magnitudes = window.magnitudes.setdefault(partial.rollup, {})
        others = sum(found for shard, found in magnitudes.items() if shard != partial.shard)
        if others + magnitude > SUM_MAX:
            raise Refused("with it the sums of its window would leave int64")
        if not self._state.put(partial):
            return
        magnitudes[partial.shard] = magnitude
        self._open[place] = window
        window.wall_ms = max(window.wall_ms, partial.wall)
        shard = f"{partial.topic}/{partial.shard}"
        window.upto[shard] = max(window.upto.get(shard, 0), partial.upto)

    def take(self, now_ms: int, final: bool) -> Batch | None:
        """Rows of closed windows at once, provisional ones at most every `provisional_ms`."""
        due = final or now_ms - self._provisional_ms >= self._options.provisional_ms
        provisional = due and self._owed and self._next >= self._known_end
        rows: list[Any] = self._state.take(provisional)
        gone = self._state.withdrawn()
        if due:
            self._provisional_ms = now_ms
        if provisional:
            self._owed = False
        if not rows and not gone and not (due and self._next > self._taken):
            return None
        delays = tuple(now_ms - self._open[row.window, row.window_start].wall_ms for row in rows)
        places = dict.fromkeys((row.window, row.window_start) for row in rows)
        covered = {place: json.dumps(self._open[place].upto).encode() for place in places}
        for place in [place for place in self._open if not self._state.holds(place)]:
            del self._open[place]
        self._taken = self._next
        position, moved = self._position(), self._moved()
        return Batch(
            self._next,
            lambda: self._records(rows, covered, gone, position, moved),
            rows=len(rows),
            delays_ms=delays,
        )

    def _moved(self) -> list[tuple[Place, Standing | None]]:
        """Windows of which other rows stand than is stored; None where nothing is to be stored any more."""
        now = self._state.standing()
        moved: list[tuple[Place, Standing | None]] = []
        for place in sorted(now.keys() | self._stored.keys()):
            rows, held = now.get(place) or None, self._stored.get(place)
            if rows is held:
                continue
            if rows is None or held is None or rows.keys() != held.keys():
                moved.append((place, rows))
            if rows is None:
                del self._stored[place]
            else:
                self._stored[place] = rows
        return moved

    def _position(self) -> bytes:
        first = min((window.first for window in self._open.values()), default=self._next)
        done = {name: [each.floor, *sorted(each.above)] for name, each in self._state.done.items()}
        return json.dumps({"upto": self._next, "from": first, "open": sorted(self._open), "done": done}).encode()

    def _records(
        self,
        rows: list[Any],
        covered: Mapping[Place, bytes],
        gone: list[Key],
        position: bytes,
        moved: list[tuple[Place, Standing | None]],
    ) -> Iterator[Record]:
        yield Record(self.state_topic, self._partition, POSITION, position)
        for place, stand in moved:
            value = None if stand is None else standing.packed(stand)
            yield Record(self.state_topic, self._partition, standing.key_of(place), value)
        for row in rows:
            upto = covered[row.window, row.window_start]
            yield self._writer.record(row)._replace(headers=((UPTO_HEADER, upto),))
            for alert in alerts.raised(self._metric, row):
                yield alert.record(self._alerts, self._ids)
        for key in gone:
            yield self._writer.tombstone(key)
