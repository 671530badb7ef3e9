"""The merge of a metric: per window the newest partial of every shard, summed, and the rows that derive from the
sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.errors import DefinitionError
from streams.metric import Folded, Merged, Metric, Window
from streams.openwindows import BoundRollup
from streams.partials import FINAL, INCOMPLETE, PROVISIONAL, Partial
from streams.plan import TopicPlan


@dataclass(slots=True)
class _OpenWindow:
    window: Window
    partials: dict[tuple[str, int], Partial] = field(default_factory=dict)
    changed: bool = True


class MergeState:
    """Merging replaces, never adds: the result is a function of the newest partials, in whatever order shards write
    them.

    One instance may see all windows of a metric or any subset of them (one partition of `partials.<metric>`).
    """

    def __init__(self, metric: Metric, plans: Mapping[str, TopicPlan]) -> None:
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
        self._open: dict[tuple[str, int], _OpenWindow] = {}
        self._done: dict[str, set[int]] = {}

    def put(self, partial: Partial) -> None:
        """Take a partial; an older revision than the one held, or one of a window that is done, changes nothing."""
        place = (partial.window, partial.window_start)
        if partial.window_start in self._done.get(partial.window, ()):
            return
        window = self._open.get(place)
        if window is None:
            window = self._open[place] = _OpenWindow(Window(partial.window, partial.window_start, partial.window_end))
        held = window.partials.get((partial.rollup, partial.shard))
        if held is None or held.revision < partial.revision:
            window.partials[partial.rollup, partial.shard] = partial
            window.changed = True

    @property
    def open(self) -> int:
        """Windows held."""
        return len(self._open)

    def take(self, provisional: bool = True) -> list[Any]:
        """Rows of windows that closed since the last take, and with `provisional` of open windows that changed; by
        window and time.

        Closed windows are forgotten.
        """
        rows: list[Any] = []
        for place in sorted(self._open):
            window = self._open[place]
            closed = len(window.partials) == self._expected and all(
                p.status != PROVISIONAL for p in window.partials.values()
            )
            if closed or (provisional and window.changed):
                rows.extend(self._rows(window, closed))
                window.changed = False
            if closed:
                del self._open[place]
                self._done.setdefault(place[0], set()).add(place[1])
        return rows

    def _rows(self, window: _OpenWindow, closed: bool) -> list[Any]:
        folded = {name: Folded(bound.layout) for name, bound in self._bound.items()}
        for (rollup, _), partial in window.partials.items():
            folded[rollup].add(partial.folded)
        merged = Merged(self._world, folded)
        status = PROVISIONAL
        if closed:
            status = FINAL if all(p.status == FINAL for p in window.partials.values()) else INCOMPLETE
        revision = sum(p.revision for p in window.partials.values())
        missing = _missing(window.partials.values())
        rows = list(self._derive(window.window, merged))
        for row in rows:
            row.window, row.window_start, row.window_end = window.window.name, window.window.start, window.window.end
            row.status, row.revision, row.missing = status, revision, missing
        return rows


def _missing(partials: Any) -> int:
    """Events known missing: rollups of one topic and shard miss the same ones, so they count once."""
    counts: dict[tuple[str, int, str], int] = {}
    for partial in partials:
        for source, count in partial.missing.items():
            place = (partial.topic, partial.shard, source)
            counts[place] = max(counts.get(place, 0), count)
    return sum(counts.values())
