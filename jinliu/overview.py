"""What a stack has done so far, from its metric topics alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams import metrics
from streams.plan import told
from streams.windows import nested

if TYPE_CHECKING:
    from streams.windows import Windows
    from topologies import Topology

CLOSED = ("FINAL", "INCOMPLETE")


@dataclass(slots=True)
class Newest:
    """Rows of the newest closed window; until one has closed, of the newest one (of which parts may be told)."""

    rows: dict[str, Any] = field(default_factory=dict)
    _window: tuple[bool, int] | None = None

    def take(self, name: str, row: Any) -> None:
        """The row called `name` of its window."""
        window = (row.status in CLOSED, row.window_start)
        if self._window is None or window > self._window:
            self._window, self.rows = window, {}
        if window == self._window:
            self.rows[name] = row


class Overview:
    """Counts of events and windows, and the newest rows of a few metrics.

    Parameters
    ----------
    world : Topology
    span_ms : (int, int)
        Start and end of the run, simulated UTC ms: they tell how many windows there are to close.
    """

    def __init__(self, world: Topology, span_ms: tuple[int, int]) -> None:
        self._expected: dict[tuple[str, str], Windows] = {}
        for metric in told(metrics.load(), world.event_topics).values():
            if metric.rollups:
                for windows in nested(metric.window_names(world.windows), *span_ms, world.scale.tick_ms):
                    self._expected[metric.name, windows.name] = windows
        self._closed: dict[tuple[str, str], dict[int, str]] = {key: {} for key in self._expected}
        self._begun: dict[tuple[str, str], set[int]] = {key: set() for key in self._expected}
        self._accounts: dict[tuple[str, int, str], Any] = {}
        self.rows = 0
        self.lag = 0
        self.share, self.lent = Newest(), Newest()
        """Of market-share by channel, and of default-rates by lender."""
        self.quality: Any = None
        self.sim_ms: int | None = None
        """Start of the newest finest window of market-share or default-rates that has rows: where the stream is."""

    def take(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Take in rows as (metric, row). Of rows that belong to no window of the span only their number is kept."""
        for name, row in rows:
            self.rows += 1
            if name == "accounting":
                self._accounts[row.topic, row.shard, row.source] = row
                continue
            if not self._awaits(name, row):
                continue
            self._begun[name, row.window].add(row.window_start)
            if row.status in CLOSED:
                self._closed[name, row.window][row.window_start] = row.status
            if row.window == self._finest(name):
                self._show(name, row)

    def _awaits(self, name: str, row: Any) -> bool:
        """Whether a row is of a window of the span; a metric of one's own may have none."""
        windows = self._expected.get((name, getattr(row, "window", "")))
        if windows is None:
            return False
        index = windows.index(row.window_start)
        return 0 <= index < windows.count and windows.start(index) == row.window_start

    def _show(self, name: str, row: Any) -> None:
        if name in ("market-share", "default-rates"):
            self.sim_ms = max(self.sim_ms or 0, row.window_start)
        if name == "market-share" and row.scene == "ALL":
            self.share.take(row.channel, row)
        if name == "default-rates" and row.product == "ALL" and row.vintage is None:
            self.lent.take(row.lender, row)
        if name == "payment-quality" and row.institution == row.route == "ALL":
            self.quality = max(row, self.quality or row, key=lambda each: each.window_start)

    def _finest(self, name: str) -> str:
        return next(key[1] for key in self._expected if key[0] == name)

    @property
    def complete(self) -> bool:
        """Whether every window of the span that has an end is closed in every metric."""
        return all(len(self._closed[key]) >= windows.count for key, windows in self._expected.items())

    def windows(self, status: str) -> int:
        """Closed windows with that status, over all metrics and window names."""
        return sum(found == status for closed in self._closed.values() for found in closed.values())

    @property
    def provisional(self) -> int:
        """Windows that have rows and are not closed, over all metrics and window names."""
        return sum(len(begun - self._closed[key].keys()) for key, begun in self._begun.items())

    @property
    def expected(self) -> int:
        """Windows the span has, over all metrics and window names."""
        return sum(windows.count for windows in self._expected.values())

    def total(self, field: str) -> int:
        """Sum of an accounting field over topics, shards and sources."""
        return sum(getattr(row, field) for row in self._accounts.values())

    def events(self) -> dict[str, int]:
        """Events folded by topic."""
        found: Counter[str] = Counter()
        for row in self._accounts.values():
            found[row.topic] += row.folded
        return dict(sorted(found.items()))

    def summary(self) -> dict[str, Any]:
        """The counts that `up --once --json` prints."""
        return {
            "events": self.events(),
            "dead": self.total("dead"),
            "late": self.total("late"),
            "duplicate": self.total("duplicate"),
            "windows_final": self.windows("FINAL"),
            "windows_incomplete": self.windows("INCOMPLETE"),
        }
