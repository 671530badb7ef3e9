"""The merge of a metric: per window the newest partial of every shard, summed, and the rows that derive from the
sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams.errors import DefinitionError
from streams.metric import Folded, Merged, Metric, Window
from streams.openwindows import BoundRollup
from streams.partials import FINAL, INCOMPLETE, PARTIAL_PARTITIONS, PROVISIONAL, Partial
from streams.plan import TopicPlan
from streams.rows import by_source

if TYPE_CHECKING:
    from streams.windows import Windows


Place = tuple[str, int]
"""A window's name and start, UTC ms."""
Key = tuple[Any, ...]
"""The key fields of a row."""
Standing = Mapping[Key, None]
"""Keys of the rows of an open window that stand on the metric's topic, in the order they were given."""


@dataclass(slots=True)
class _OpenWindow:
    window: Window
    partials: dict[tuple[str, int], Partial] = field(default_factory=dict)
    changed: bool = True


@dataclass(slots=True)
class Done:
    """Numbers of the windows of one name that are done: those below `floor`, and `above`.

    Shards close windows in order, so `above` is empty but where a window was passed over. The floor moves by `step`,
    since a partition holds every `step`th window.
    """

    floor: int = 0
    step: int = 1
    above: set[int] = field(default_factory=set)

    def add(self, index: int) -> None:
        self.above.add(index)
        while self.floor in self.above:
            self.above.remove(self.floor)
            self.floor += self.step

    def __contains__(self, index: int) -> bool:
        return index < self.floor or index in self.above


class MergeState:
    """Merging replaces, never adds: the result is a function of the newest partials, in whatever order shards write
    them.

    One instance may see all windows of a metric or any subset of them (one partition of `partials.<metric>`).
    """

    def __init__(self, metric: Metric, plans: Mapping[str, TopicPlan], partition: int | None = None) -> None:
        """partition: of `partials.<metric>`, where only its windows are put."""
        if metric.derive is None:
            raise DefinitionError(f"metric {metric.name!r} has no rollups, so there is nothing to merge")
        self.metric, self._derive = metric, metric.derive
        self._bound: dict[str, BoundRollup] = {}
        self._expected = 0
        for topic in metric.topics():
            for bound in plans[topic].rollups:
                if bound.metric == metric.name:
                    self._bound[bound.name] = bound
                    self._expected += plans[topic].shards
        self._world = plans[metric.topics()[0]].world
        self._open: dict[Place, _OpenWindow] = {}
        self._standing: dict[Place, Standing] = {}
        self._withdrawn: list[Key] = []
        self.tables: dict[str, Windows] = {w.name: w for bound in self._bound.values() for w in bound.windows}
        first, step = (0, 1) if partition is None else (partition, PARTIAL_PARTITIONS)
        self.done = {name: Done(first, step) for name in self.tables}

    def put(self, partial: Partial) -> bool:
        """Take a partial; whether it was new. An older revision than the one held, a provisional one behind a closed
        one and one of a window that is done change nothing.
        """
        place = (partial.window, partial.window_start)
        if self.tables[partial.window].index(partial.window_start) in self.done[partial.window]:
            return False
        window = self._open.get(place)
        if window is None:
            window = self._open[place] = _OpenWindow(Window(partial.window, partial.window_start, partial.window_end))
        held = window.partials.get((partial.rollup, partial.shard))
        new = held is None or (
            held.revision < partial.revision and not (held.status != PROVISIONAL and partial.status == PROVISIONAL)
        )
        if new:
            window.partials[partial.rollup, partial.shard] = partial
            window.changed = True
        return new

    def holds(self, place: Place) -> bool:
        """Whether the window (name, start) is open here: something of it came, and not all that closes it."""
        return place in self._open

    @property
    def open(self) -> int:
        """Windows held."""
        return len(self._open)

    def take(self, provisional: bool = True) -> list[Any]:
        """Rows of windows that closed since the last take, and with `provisional` of open windows that changed; by
        window and time.

        Closed windows are forgotten. Rows of a window that this take does not give again are `withdrawn`.
        """
        rows: list[Any] = []
        for place in sorted(self._open):
            window = self._open[place]
            closed = len(window.partials) == self._expected and all(
                p.status != PROVISIONAL for p in window.partials.values()
            )
            if closed or (provisional and window.changed):
                made = self._rows(window, closed)
                rows.extend(made.values())
                window.changed = False
                self._withdrawn += [key for key in self._standing.pop(place, ()) if key not in made]
                if not closed:
                    self._standing[place] = dict.fromkeys(made)
            if closed:
                del self._open[place]
                self.done[place[0]].add(self.tables[place[0]].index(place[1]))
        return rows

    def withdrawn(self) -> list[Key]:
        """Keys of rows that an earlier take gave and the newest of their window did not; told once."""
        gone, self._withdrawn = self._withdrawn, []
        return gone

    def standing(self) -> Mapping[Place, Standing]:
        """By open window, what `take` gave last; a new mapping with every take of a window."""
        return self._standing

    def adopt(self, place: Place, standing: Standing) -> None:
        """Take over what stands of an open window that another owner gave."""
        self._standing[place] = standing

    def _rows(self, window: _OpenWindow, closed: bool) -> dict[Key, Any]:
        folded = {name: Folded(bound.layout) for name, bound in self._bound.items()}
        for (rollup, _), partial in window.partials.items():
            folded[rollup].add(partial.folded)
        merged = Merged(self._world, folded)
        status = PROVISIONAL
        if closed:
            status = FINAL if all(p.status == FINAL for p in window.partials.values()) else INCOMPLETE
        revision = sum(p.revision for p in window.partials.values())
        missing = _missing(window.partials.values())
        sources = by_source(missing)
        rows = list(self._derive(window.window, merged))
        for row in rows:
            row.window, row.window_start, row.window_end = window.window.name, window.window.start, window.window.end
            row.status, row.revision = status, revision
            row.missing, row.missing_sources = sum(missing.values()), sources
        return _by_key(self.metric, rows)


def _by_key(metric: Metric, rows: list[Any]) -> dict[Key, Any]:
    """Raises DefinitionError where two rows of a window have one key: compaction would keep the last of them only."""
    seen: dict[Key, Any] = {}
    for row in rows:
        key = metric.key_of(row)
        if key in seen:
            named = ", ".join(f"{name} {value!r}" for name, value in zip(metric.key, key, strict=True))
            raise DefinitionError(
                f"metric {metric.name!r}: derive yields two rows with the key {named}; give `key` the fields that tell "
                "them apart"
            )
        seen[key] = row
    return seen


def _missing(partials: Any) -> dict[str, int]:
    """Events known missing by source: rollups of one topic and shard miss the same ones, so they count once."""
    counts: dict[tuple[str, int, str], int] = {}
    for partial in partials:
        for source, count in partial.missing.items():
            place = (partial.topic, partial.shard, source)
            counts[place] = max(counts.get(place, 0), count)
    missing: dict[str, int] = {}
    for (_, _, source), count in counts.items():
        missing[source] = missing.get(source, 0) + count
    return missing
