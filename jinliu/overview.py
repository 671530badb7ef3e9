"""What a stack has done so far, from its metric topics alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from streams import metrics
from streams.windows import nested

if TYPE_CHECKING:
    from topologies import Topology

CLOSED = ("FINAL", "INCOMPLETE")


class Overview:
    """Counts of events and windows, and the newest rows of a few metrics.

    Parameters
    ----------
    world : Topology
    span_ms : (int, int)
        Start and end of the run, simulated UTC ms: they tell how many windows there are to close.
    """

    def __init__(self, world: Topology, span_ms: tuple[int, int]) -> None:
        self._expected: dict[tuple[str, str], int] = {}
        for metric in metrics.load().values():
            if metric.rollups:
                names = tuple(
                    world.windows.get(metric.name) or metric.windows or world.windows.get("default") or ("day",)
                )
                for windows in nested(names, *span_ms, world.scale.tick_ms):
                    self._expected[metric.name, windows.name] = windows.count
        self._closed: dict[tuple[str, str], dict[int, str]] = {key: {} for key in self._expected}
        self._accounts: dict[tuple[str, int, str], Any] = {}
        self.rows = 0
        self.lag = 0
        self.share: dict[str, Any] = {}
        self.share_window: tuple[str, int] | None = None
        self.quality: Any = None

    def take(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Take in rows as (metric, row)."""
        for name, row in rows:
            self.rows += 1
            if name == "accounting":
                self._accounts[row.topic, row.shard, row.source] = row
                continue
            if row.status in CLOSED:
                self._closed[name, row.window][row.window_start] = row.status
            if name == "market-share" and row.scene == "ALL":
                window = (row.window, row.window_start)
                if self._newer(name, window):
                    self.share_window, self.share = window, {}
                if window == self.share_window:
                    self.share[row.channel] = row
            if name == "payment-quality" and (self.quality is None or row.window_start >= self.quality.window_start):
                self.quality = row

    def _newer(self, name: str, window: tuple[str, int]) -> bool:
        """Whether a window is later than the one shown; of two lengths the finest is shown."""
        finest = next(key[1] for key in self._expected if key[0] == name)
        return window[0] == finest and (self.share_window is None or window[1] > self.share_window[1])

    @property
    def sim_ms(self) -> int | None:
        """Start of the newest finest window of market-share that has rows."""
        return self.share_window[1] if self.share_window else None

    @property
    def complete(self) -> bool:
        """Whether every window of the span that has an end is closed in every metric."""
        return all(len(self._closed[key]) >= count for key, count in self._expected.items())

    def windows(self, status: str) -> int:
        """Closed windows with that status, over all metrics and window names."""
        return sum(found == status for closed in self._closed.values() for found in closed.values())

    @property
    def expected(self) -> int:
        """Windows the span has, over all metrics and window names."""
        return sum(self._expected.values())

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
