"""What institutions do beside payments and loans: the totals of their months, decisions, releases, certification."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import releases
from producers.block import Block, Numbering
from producers.economy import CHANNEL
from producers.months import Months
from producers.philox import seed_word, stream
from producers.scalar import added, word

if TYPE_CHECKING:
    from producers.economy import Economy

DAY_MS = 86_400_000
KINDS = (
    "REVENUE", "RESEARCH_SPEND", "PROPOSAL", "DECISION", "RELEASE", "CERTIFICATION", "PLATFORM_FEES", "BRANCH_COST",
    "LABOUR_COST", "OTHER_COST", "FINE", "CREDIT_RECORDS", "ADULTS", "ACQUISITION_OWN", "ACQUISITION_PLATFORM",
)  # fmt: skip
Found = tuple[int, int, int, int | None, int | None, int | None]
"""Time, institution, kind, amount in fen, days, count."""
_OPENS_MS = 9 * 3_600_000
_OFFICE_MS = 8 * 3_600_000


class OperationEmitter:
    """The operations of one source (a `producers.block.Emitter`); an institution's index in the topology modulo shards
    is its shard.
    """

    def __init__(self, economy: Economy, source: str) -> None:
        topology = economy.topology
        self._economy = economy
        self._told = next(s.institutions for s in topology.sources if s.name == source)
        self._codes = {institution.id: n for n, institution in enumerate(topology.institutions)}
        self._banks = {bank: b for b, bank in enumerate(topology.banks)}
        self._numbering = Numbering(topology, "operations", source)
        self._known: tuple[int, list[releases.Step]] = (0, [])
        self._entries = Months(economy)

    def vocabularies(self) -> Mapping[str, tuple[str, ...]]:
        return {"institution": tuple(self._codes)}

    def block(self, shard: int, first: int, ticks: int, seq: int) -> Block:
        tick_ms = self._economy.topology.scale.tick_ms
        rows = self.rows(shard, first * tick_ms, (first + ticks) * tick_ms)
        return self._numbering.block(shard, first, ticks, seq, rows, "amount_fen")

    def _steps(self, days: int) -> list[releases.Step]:
        """Steps of this source's institutions over the first `days` days."""
        if days > self._known[0]:
            start = self._economy.start_ms // DAY_MS
            found = releases.steps(self._economy.topology, self._economy.seed, start, start + days)
            self._known = (days, [s for s in found if s.institution in self._told])
        return self._known[1]

    def rows(self, shard: int, start_ms: int, end_ms: int) -> dict[str, NDArray[Any]]:
        """Columns of the operations in [start_ms, end_ms), in time order; without source and seq."""
        shards = self._economy.topology.scale.shards
        mine = [name for name in self._told if self._codes[name] % shards == shard]
        found: list[Found] = []
        first, last = start_ms // DAY_MS, -(-end_ms // DAY_MS)
        for step in self._steps(max(1, last - self._economy.start_ms // DAY_MS)):
            if step.institution in mine and first <= step.day < last:
                at = step.day * DAY_MS + self._time_of_day(step.institution, step.day, step.kind)
                found.append((at, self._codes[step.institution], KINDS.index(step.kind), None, step.days, None))
        for name in mine:
            if name not in self._banks and name not in CHANNEL:
                continue  # no mechanism gives it revenue
            found += self._months(name, first, last)
            if name in self._banks:
                found += self._beside(name, first, last)
        found = sorted((row for row in found if start_ms <= row[0] < end_ms), key=lambda row: row[:3])
        columns = list(zip(*found, strict=True)) if found else [(), (), (), (), (), ()]
        amounts, days, counts = columns[3:]
        return {
            "event_time": np.array(columns[0], dtype=np.int64),
            "institution": np.array(columns[1], dtype=np.int16),
            "kind": np.array(columns[2], dtype=np.int8),
            "amount_fen": np.array([a or 0 for a in amounts], dtype=np.int64),
            "amount_fen?": np.array([a is not None for a in amounts], dtype=np.bool_),
            "days": np.array([d or 0 for d in days], dtype=np.int32),
            "days?": np.array([d is not None for d in days], dtype=np.bool_),
            "count": np.array([c or 0 for c in counts], dtype=np.int64),
            "count?": np.array([c is not None for c in counts], dtype=np.bool_),
        }

    def _time_of_day(self, institution: str, day: int, kind: str) -> int:
        """A moment of the working day, of the institution's own stream."""
        drawn = word(seed_word(self._economy.seed), stream("operations", institution, kind), day)
        return _OPENS_MS + ((drawn * _OFFICE_MS) >> 64)

    def _beside(self, name: str, first: int, last: int) -> list[Found]:
        """What a bank tells of the epoch days [first, last) beside its revenue, after office hours."""
        rows: list[Found] = []
        for day in range(first, last):
            for entry in self._entries.of(name, day):
                kind = KINDS.index(entry.kind)
                at = day * DAY_MS + _OPENS_MS + _OFFICE_MS + kind
                rows.append((at, self._codes[name], kind, entry.amount_fen, None, entry.count))
        return rows

    def _months(self, name: str, first: int, last: int) -> list[Found]:
        """REVENUE and RESEARCH_SPEND, told on the last day of each month that ends in the epoch days [first, last)."""
        rows: list[Found] = []
        for day in range(first, last):
            today = date(1970, 1, 1) + timedelta(days=day)
            if (today + timedelta(days=1)).day != 1:
                continue
            revenue = self._revenue_fen(name, today)
            research = round(revenue * self._research_share(name, today.year))
            at = day * DAY_MS + _OPENS_MS + _OFFICE_MS
            rows.append((at, self._codes[name], KINDS.index("REVENUE"), revenue, None, None))
            rows.append((at + 1, self._codes[name], KINDS.index("RESEARCH_SPEND"), research, None, None))
        return rows

    def _revenue_fen(self, name: str, today: date) -> int:
        """A bank's revenue goes by its size and the days of the month; a platform's by the payments it carried."""
        figures = self._economy.figures
        if name in self._banks:
            size = figures.bank_size.get(name, figures.bank_size["other"])
            return round(figures.research.bank_revenue_yuan_a_year * 100 * size * today.day / 365)
        begin = today.toordinal() - self._economy.first.toordinal() - today.day + 1
        days = range(max(0, begin), begin + today.day)
        carried = added(float(self._economy.day(d).amount_fen[CHANNEL[name]]) for d in days)
        return round(carried * figures.research.platform_fee)

    def _research_share(self, name: str, year: int) -> float:
        """Research spend over revenue."""
        research = self._economy.figures.research
        if name not in self._banks:
            return research.platform_share
        years = sorted(research.share)
        return research.share[min(max(year, years[0]), years[-1])]
