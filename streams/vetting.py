"""What may be on `partials.<metric>`: a record that can be no partial of this run is refused, never fatal.

Anybody who reaches the broker can write there. Every field that would raise or spoil a row later is held against the
plan, so that what passes can be merged. (A partial forged with figures in range is a partial: Kafka's access rules, not
this module, keep strangers out. The proof finds it.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas import wire
from schemas.errors import JinliuError
from streams.bitmaps import counted
from streams.errors import StateMismatch, StreamsError, SumOverflow
from streams.measures import COUNT
from streams.packing import unpack_into
from streams.partials import FINAL, INCOMPLETE, PARTIAL_PARTITIONS, Partial
from streams.rollup import ADD, OR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.metric import Int64, Metric
    from streams.openwindows import BoundRollup
    from streams.plan import TopicPlan
    from streams.windows import Windows

COUNT_MAX = 2**48
"""Revisions, offsets and missing events: far beyond any log, and sums of them stay in int64."""


class Refused(StreamsError):
    """A record that is no partial of this run; the message is the reason alone."""


class Vetted(NamedTuple):
    """A partial that can be merged. magnitude: the greatest sum of absolute cells over its additive measures."""

    partial: Partial
    magnitude: float


@dataclass(slots=True)
class _Rules:
    """What the plan says of one rollup."""

    topic: str
    shards: int
    sources: frozenset[str]
    bound: BoundRollup
    windows: Mapping[str, Windows]
    row: Int64 = field(init=False)

    def __post_init__(self) -> None:
        self.row = np.zeros(self.bound.layout.width, np.int64)


class Vetting:
    """Reads the records of one partition of a metric's partials."""

    def __init__(self, metric: Metric, plans: Mapping[str, TopicPlan], ids: Mapping[str, int], partition: int) -> None:
        """ids: record name -> schema id on the wire."""
        self._metric, self._ids, self._partition = metric.name, ids, partition
        self._rules: dict[str, _Rules] = {}
        for topic in metric.topics():
            plan = plans[topic]
            for bound in plan.rollups:
                if bound.metric == metric.name:
                    windows = {each.name: each for each in bound.windows}
                    self._rules[bound.name] = _Rules(topic, plan.shards, frozenset(plan.roster), bound, windows)

    def read(self, key: bytes | None, value: bytes | None) -> Vetted:
        """The partial in a record. Raises Refused with the reason."""
        partial = self._decoded(value)
        rules = self._rules.get(partial.rollup)
        if rules is None:
            raise Refused(f"metric {self._metric!r} has no rollup {partial.rollup!r}")
        if partial.topic != rules.topic or not 0 <= partial.shard < rules.shards:
            raise Refused(f"rollup {partial.rollup!r} has no shard {partial.topic}/{partial.shard}")
        self._check_window(rules, partial)
        if key != partial.key:
            raise Refused(f"the record's key is {key!r}, not the partial's {partial.key!r}")
        _check_told(rules, partial)
        return Vetted(partial, _magnitude(rules, partial))

    def _decoded(self, value: bytes | None) -> Partial:
        if value is None:
            raise Refused("the record has no value")
        try:
            name, fields = wire.decode(value, self._ids)
        except JinliuError as error:
            raise Refused(str(error)) from error
        if name != "partial":
            raise Refused(f"a {name!r} record, not a partial")
        return Partial.of(self._metric, fields)

    def _check_window(self, rules: _Rules, partial: Partial) -> None:
        """The window is one of the run's, and of this partition."""
        windows = rules.windows.get(partial.window)
        if windows is None:
            raise Refused(f"metric {self._metric!r} has no window {partial.window!r}")
        index = windows.index(partial.window_start)
        inside = 0 <= index < windows.count
        if not inside or (partial.window_start, partial.window_end) != (windows.start(index), windows.end(index)):
            raise Refused(f"[{partial.window_start}, {partial.window_end}) is no window {partial.window!r} of the run")
        if index % PARTIAL_PARTITIONS != self._partition:
            raise Refused(f"its window belongs to partition {index % PARTIAL_PARTITIONS}")


def _check_told(rules: _Rules, partial: Partial) -> None:
    """What it says of itself can be so."""
    if not 1 <= partial.revision <= COUNT_MAX or not 0 <= partial.upto <= COUNT_MAX:
        raise Refused(f"revision {partial.revision} or upto {partial.upto} is out of range")
    for source, count in partial.missing.items():
        if source not in rules.sources or not 0 <= count <= COUNT_MAX:
            raise Refused(f"{count} events missing of source {source!r} cannot be")
    if (partial.status == FINAL and partial.missing) or (partial.status == INCOMPLETE and not partial.missing):
        raise Refused(f"it is {partial.status} and names {len(partial.missing)} sources with events missing")


def _magnitude(rules: _Rules, partial: Partial) -> float:
    """The greatest sum of absolute cells of an additive measure. Raises Refused for cells that cannot be.

    An event adds one to one cell of a count, sets one bit of the people's bitmaps and at most one of each slice of
    their weight, so none of them exceeds the offsets folded.
    """
    if not partial.folded:
        return 0.0
    row, layout = rules.row, rules.bound.layout
    row.fill(0)
    try:
        unpack_into(layout, row, partial.folded)
    except (StateMismatch, SumOverflow) as error:
        raise Refused(str(error)) from error
    greatest = 0.0
    for name, part in layout.parts.items():
        cells = row[part.offset : part.offset + part.size]
        if part.op == OR:
            people = counted(cells.view(np.uint64).reshape(part.shape))
            cells_end = len(people) - part.slices
            if max(int(people[:cells_end].sum()), int(people[cells_end:].max(initial=0))) > partial.upto:
                raise Refused(f"measure {name!r} counts more people than records were folded")
        if part.op != ADD:
            continue
        total = float(np.abs(cells.astype(np.float64)).sum())
        if layout.rollup.measures[name].kind == COUNT and (total > partial.upto or int(cells.min()) < 0):
            raise Refused(f"measure {name!r} counts fewer than no records, or more than were folded")
        greatest = max(greatest, total)
    return greatest
