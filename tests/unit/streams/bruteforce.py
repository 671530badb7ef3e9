"""The semantics of a shard once more, event by event in plain Python: what the engine is held against."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.plan import TICK, TopicPlan


@dataclass
class Source:
    seq: int = -1
    tick_end: int = 0
    closed: bool = False
    events: int = 0
    amount: int = 0
    gap: int = 0
    worth: int = 0
    latest: float = -math.inf


@dataclass
class Truth:
    """folded: accepted events in log order. verdicts: one word a record. incomplete: (window, start) -> source ->
    missing; incomplete_since: the same of all windows up to it.
    """

    plan: TopicPlan
    shard: int
    sources: dict[str, Source] = field(default_factory=dict)
    watermark: float = 0.0
    floor: float = -math.inf
    folded: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    accounts: dict[str, dict[str, int]] = field(default_factory=dict)
    incomplete: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    incomplete_since: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan = self.plan
        self.sources = {name: Source(tick_end=plan.start_ms) for name in plan.roster}
        self.watermark = plan.start_ms
        self.floor = plan.start_ms - plan.lateness_ticks * plan.tick_ms
        self.accounts = {name: defaultdict(int) for name in (*plan.roster, "")}
        tables = {table.name: table for bound in plan.rollups for table in bound.windows}
        self.all_windows = [(n, t.start(i), t.end(i)) for n, t in tables.items() for i in range(t.count)]

    def tell(self, records: Sequence[Any]) -> Truth:
        for record in records:
            self.verdicts.append(self._one(record))
        return self

    def _one(self, record: Any) -> str:
        name = "" if isinstance(record, int) or record["source"] not in self.sources else record["source"]
        account = self.accounts[name]
        if name == "" or not self._plausible(record) or record["seq"] - self.sources[name].seq > self.plan.max_seq_jump:
            account["dead"] += 1
            return "dead"
        source, is_tick = self.sources[name], TICK in record
        closes = is_tick and record[TICK] == "CLOSE" and not source.closed
        if record["seq"] <= source.seq and not closes:
            account["ticks" if is_tick else "duplicate"] += 1
            return "duplicate"
        if not is_tick:
            worth = source.worth + self._worth(record)
            if worth > (2**63 - 1) // (self.plan.shards * len(self.plan.roster)) or self._objects(record):
                account["dead"] += 1
                return "dead"
            source.worth = worth
        skipped = max(0, record["seq"] - source.seq - 1)
        source.gap += skipped
        account["missing"] += skipped
        source.seq = max(record["seq"], source.seq)
        if is_tick:
            account["ticks"] += 1
            self._tick(name, record)
            return "tick"
        source.events += 1
        source.amount += record["amount_fen"]
        time = record["event_time"]
        source.latest = max(source.latest, time)
        late = time < self.floor
        if time < source.tick_end:
            self._defect(name, time, time + 1, int(late))
        if late:
            account["late"] += 1
            return "late"
        account["folded"] += 1
        self.folded.append(record)
        return "fold"

    def _plausible(self, record: Any) -> bool:
        plan = self.plan
        if TICK in record:
            on_grid = (record["tick_start"] - plan.start_ms) % plan.tick_ms == 0
            on_grid = on_grid and record["tick_end"] - record["tick_start"] == plan.tick_ms
            furthest = max(source.tick_end for source in self.sources.values())
            if record["tick_start"] > furthest + plan.patience_ticks * plan.tick_ms:
                return False
            kind, place = record[TICK], (record["tick_start"], record["tick_end"])
            right = {
                "OPEN": place == (plan.start_ms, plan.start_ms),
                "CLOSE": place == (plan.end_ms, plan.end_ms),
                "TICK": on_grid and plan.start_ms <= place[0] < place[1] <= plan.end_ms,
            }
            return bool(
                right[kind] and record["shard"] == self.shard and record["events"] >= 0 and record["amount_fen"] >= 0
            )
        limit = self.sources[record["source"]].tick_end + plan.patience_ticks * plan.tick_ms
        return bool(
            plan.start_ms <= record["event_time"] < plan.end_ms
            and record["event_time"] <= limit
            and self._possible(record)
        )

    def _possible(self, record: Any) -> bool:
        """The range rules of the topic."""
        plan = self.plan
        return bool(
            record["payer_bank"] in plan.world.banks
            and record["payee_bank"] in plan.world.banks
            and 0 <= record["payer_id"] < plan.world.people
            and record["payer_id"] % plan.shards == self.shard
            and 0 <= record["amount_fen"] <= 10**10
            and 1 <= record["weight"] <= 10**7
            and 0 <= record["latency_ms"] <= 60_000
        )

    def _worth(self, record: Any) -> int:
        worth: int = record["amount_fen"] * record["weight"]
        return worth

    def _objects(self, record: Any) -> bool:
        """Whether the topic has an order of its own that the event breaks; else it moves by it."""
        return False

    def _tick(self, name: str, record: Any) -> None:
        source, plan = self.sources[name], self.plan
        begin, end = record["tick_start"], record["tick_end"]
        if (record["events"], record["amount_fen"], begin) != (source.events, source.amount, source.tick_end):
            low, high = min(begin, source.tick_end), max(end, source.tick_end)
            if low == high:
                low, high = (low - plan.tick_ms, high) if low > plan.start_ms else (low, high + plan.tick_ms)
            self._defect(name, low, high, source.gap)
        if source.latest >= end:
            self._defect(name, end, source.latest + 1, 0)
        source.latest = -math.inf
        source.tick_end = max(end, source.tick_end)
        source.events = source.amount = source.gap = 0
        source.closed = source.closed or record[TICK] == "CLOSE"
        self._advance()

    def _advance(self) -> None:
        plan, told = self.plan, self.sources.values()
        least = min(math.inf if source.closed else source.tick_end for source in told)
        most = max(source.tick_end for source in told) - plan.patience_ticks * plan.tick_ms
        self.watermark = max(self.watermark, least, most)
        floor = self.watermark - plan.lateness_ticks * plan.tick_ms
        if floor > self.floor:
            for name, source in self.sources.items():
                if not source.closed and source.tick_end < floor:
                    self._defect(name, source.tick_end, floor, 0)
            self.floor = floor

    def _defect(self, name: str, low: float, high: float, missing: int) -> None:
        for window, start, end in self.all_windows:
            if end > self.floor and end > low:
                named = self.incomplete_since.setdefault((window, start), {})
                named[name] = named.get(name, 0) + missing
                if start < high:
                    named = self.incomplete.setdefault((window, start), {})
                    named[name] = named.get(name, 0) + missing

    def closed(self) -> list[tuple[str, int, int]]:
        """(window, start, end) of the closed windows."""
        return [place for place in self.all_windows if place[2] <= self.floor]
