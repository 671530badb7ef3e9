"""One source's share of what happens: blocks of events and their ticks, in log order, ready to be encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import payments, seasons
from producers.economy import DAY_MS, Economy
from producers.latency import BANKCARD, DIRECT, NETWORK, ON_US
from producers.operations import Operations
from producers.philox import seed_word, stream
from producers.scalar import lognormal_knots, normal_knots
from producers.sightings import Sightings
from schemas.errors import JinliuError
from topologies.economy import SCENES

if TYPE_CHECKING:
    from topologies import Topology

CHANNEL = {"alipay": 0, "wechat-pay": 1, "unionpay": 2, "banks": 3}
TICK_KIND = {"OPEN": 0, "TICK": 1, "CLOSE": 2}
_NARROW: dict[str, Any] = {
    "segment": np.int8, "scene": np.int8, "instrument": np.int8, "payer_bank": np.int16, "payee_bank": np.int16,
    "route": np.int8, "outcome": np.int8, "latency_ms": np.int32, "middleware": np.bool_,
    "flagged": np.bool_, "fraud": np.int8,
}  # fmt: skip


class GeneratorError(JinliuError):
    """A source or span that this world cannot tell."""


@dataclass(frozen=True, slots=True)
class Block:
    """Events and ticks of consecutive ticks of one (source, topic, shard).

    events : columns for the Encoder of the topic's record, all ticks concatenated in log order. ticks : columns for
    `tick.avsc` (kind TICK), one row a tick. counts : int64[ticks], events of each tick.
    """

    events: dict[str, NDArray[Any]]
    ticks: dict[str, NDArray[Any]]
    counts: NDArray[np.int64]


class Generator:
    """Tells what one source tells.

    A pure function of (topology, seed, source, policy log): `block` gives the same rows for the same ticks whatever
    was asked before and however the span is cut; only `seq` and `payment_id` count from the span's start. Ticks are
    numbered from the span's start. Raises GeneratorError for a source that is not on the roster or a span off the
    ticks.
    """

    def __init__(
        self, topology: Topology, seed: int, source: str, start_ms: int, end_ms: int, economy: Economy | None = None
    ) -> None:
        if source not in CHANNEL or source not in [s.name for s in topology.sources]:
            raise GeneratorError(f"source {source!r} is not one of {', '.join(s.name for s in topology.sources)}")
        tick_ms = topology.scale.tick_ms
        if DAY_MS % tick_ms:
            raise GeneratorError(f"a tick of {tick_ms} ms does not divide a day")
        if start_ms % tick_ms or end_ms % tick_ms or start_ms >= end_ms:
            raise GeneratorError(f"span [{start_ms}, {end_ms}) is not made of ticks of {tick_ms} ms")
        self.topology, self.seed, self.source = topology, seed, source
        self.start_ms, self.end_ms, self.tick_ms = start_ms, end_ms, tick_ms
        self.economy = economy or Economy(topology, seed)
        if start_ms < self.economy.start_ms:
            raise GeneratorError(f"the span starts before this world does, {self.economy.first}")
        self.topics: tuple[str, ...] = next(s.topics for s in topology.sources if s.name == source)
        self.ticks = (end_ms - start_ms) // tick_ms
        self._first = start_ms // tick_ms  # absolute number of the span's first tick
        self._worlds = [_world(self.economy, source, shard) for shard in range(topology.scale.shards)]
        self._sightings = Sightings(self.economy, CHANNEL[source])
        self._operations = Operations(self.economy, source)

    def vocabularies(self, topic: str) -> Mapping[str, tuple[str, ...]]:
        """Known values of the string fields of a topic's events and ticks, in code order."""
        found: dict[str, tuple[str, ...]] = {"source": tuple(self.topology.roster(topic))}
        if topic == "payments":
            found |= {"payer_bank": tuple(self.topology.banks), "payee_bank": tuple(self.topology.banks)}
        else:
            found["institution"] = tuple(i.id for i in self.topology.institutions)
        return found

    def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Block:
        """Ticks [first_tick, stop_tick) of the span; `seq` is the next one of (source, topic, shard)."""
        if not 0 <= first_tick <= stop_tick <= self.ticks:
            raise GeneratorError(f"ticks [{first_tick}, {stop_tick}) lie outside the span's {self.ticks}")
        first = self._first + first_tick
        if topic == "payments":
            return self._payments(shard, first, stop_tick - first_tick, seq)
        if topic == "operations":
            rows = self._operations.rows(shard, first * self.tick_ms, (first + stop_tick - first_tick) * self.tick_ms)
            return self._assemble(topic, shard, first, stop_tick - first_tick, seq, rows)
        raise GeneratorError(f"source {self.source} tells nothing on {topic!r}")

    def _payments(self, shard: int, first: int, ticks: int, seq: int) -> Block:
        world = self._worlds[shard]
        day0 = first * self.tick_ms // DAY_MS
        day1 = max(day0 + 1, -(-(first + ticks) * self.tick_ms // DAY_MS))
        days = self._days(shard, day0, day1)
        counts = np.zeros(ticks, np.int64)
        most = np.zeros(1, np.int64)
        payments.count_ticks(world, days, day0, first, counts, most)
        n = int(counts.sum())
        columns = payments.Columns(*(np.empty(n, _NARROW.get(name, np.int64)) for name in payments.Columns._fields))
        tick_seq, amounts = np.empty(ticks, np.int64), np.empty(ticks, np.int64)
        payments.fill_ticks(world, days, day0, first, seq, int(most[0]), columns, counts, tick_seq, amounts)
        roster = list(self.topology.roster("payments"))
        code = roster.index(self.source)
        events: dict[str, NDArray[Any]] = dict(zip(payments.Columns._fields, columns, strict=True))
        events["source"] = np.full(n, code, np.int16)
        events["channel"] = np.full(n, CHANNEL[self.source], np.int8)
        events["payment_id"] = columns.seq + ((code * self.topology.scale.shards + shard) << 40)
        events["detail_visible"] = columns.route != DIRECT
        return Block(events, self._ticks("payments", shard, first, counts, tick_seq, amounts), counts)

    def _days(self, shard: int, day0: int, day1: int) -> payments.Days:
        economy, channel = self.economy, CHANNEL[self.source]
        d0 = day0 - economy.start_ms // DAY_MS
        d1 = day1 - economy.start_ms // DAY_MS
        economy.ensure(d1)
        out, given = economy.out, economy.inputs
        first_at, first = self._sightings.of(shard, d0, d1)
        return payments.Days(
            volume=out.volume[d0:d1, channel].copy(),
            network=given.network[d0:d1].copy(),
            overflow=out.overflow[d0:d1].copy(),
            hazard=given.hazard[d0:d1] * out.scan_share[d0:d1, channel],
            recall=out.recall[d0:d1].copy(),
            alarm=out.alarm[d0:d1].copy(),
            incident=out.incident[d0:d1].copy(),
            adoption=given.adoption[d0:d1].copy(),
            first_at=first_at,
            first=first,
        )

    def _assemble(
        self, topic: str, shard: int, first: int, ticks: int, seq: int, rows: dict[str, NDArray[Any]]
    ) -> Block:
        """A block of rows that are already in time order, numbering them and cutting them into ticks."""
        n = len(rows["event_time"])
        tick_of = rows["event_time"] // self.tick_ms - first
        counts = np.bincount(tick_of, minlength=ticks).astype(np.int64)
        tick_seq = seq + np.cumsum(counts) + np.arange(ticks)
        events = dict(rows)
        events["seq"] = seq + np.arange(n) + tick_of
        events["source"] = np.full(n, list(self.topology.roster(topic)).index(self.source), np.int16)
        amounts = np.zeros(ticks, np.int64)
        np.add.at(amounts, tick_of, rows["amount_fen"])
        return Block(events, self._ticks(topic, shard, first, counts, tick_seq, amounts), counts)

    def _ticks(
        self,
        topic: str,
        shard: int,
        first: int,
        counts: NDArray[np.int64],
        tick_seq: NDArray[np.int64],
        amounts: NDArray[np.int64],
    ) -> dict[str, NDArray[Any]]:
        n = len(counts)
        start = (first + np.arange(n, dtype=np.int64)) * self.tick_ms
        return {
            "source": np.full(n, list(self.topology.roster(topic)).index(self.source), np.int16),
            "seq": tick_seq.astype(np.int64),
            "kind": np.full(n, TICK_KIND["TICK"], np.int8),
            "shard": np.full(n, shard, np.int32),
            "tick_start": start,
            "tick_end": start + self.tick_ms,
            "events": counts,
            "amount_fen": amounts,
        }


def _world(economy: Economy, source: str, shard: int) -> payments.World:
    """Constants of the paying kernel for one (source, shard)."""
    topology, people, latency = economy.topology, economy.people, economy.latency
    figures = topology.economy
    if source == "banks":  # a payee's bank is drawn apart from the payer's: on us with the size of the payer's bank
        size = economy.size
        within = latency.timeouts(size * size, ON_US)
        across = latency.timeouts(size * (1 - size), BANKCARD)
        timeouts = [within + across] * 2
        routes = [BANKCARD, ON_US]
    elif source == "unionpay":
        timeouts = [latency.timeouts(economy.size, BANKCARD)] * 2
        routes = [BANKCARD]
    else:
        timeouts = [latency.timeouts(economy.size, r) for r in (DIRECT, NETWORK)]
        routes = [DIRECT, NETWORK]
    return payments.World(
        seed=np.uint64(seed_word(economy.seed)),
        stream=np.uint64(stream(source, "payments", shard)),
        channel=CHANNEL[source],
        shard=shard,
        shards=topology.scale.shards,
        tick_ms=topology.scale.tick_ms,
        weight=topology.scale.weight,
        rare_weight=topology.scale.rare_weight,
        person_weight=topology.scale.person_weight,
        bounds=people.bounds,
        ranges=-(-(people.bounds - shard) // topology.scale.shards),
        bank_lut=people.bank_lut,
        profile=seasons.day_profile(figures.calendar),
        amount_fen=economy.amounts(),
        amount_knots=lognormal_knots(figures.volume.amount_sigma),
        normal_knots=normal_knots(),
        merchants=np.array(
            [max(1, round(figures.scenes[s].merchants_per_thousand * figures.adults / 1000)) for s in SCENES],
            dtype=np.int64,
        ),
        mu=latency.mu,
        sigma=latency.sigma,
        tail=latency.tail,
        middleware=latency.middleware,
        timeout_ms=round(figures.routes.timeout_ms),
        timeout_max=float(latency.tail[:, routes, :].max()),
        timeout_mean=np.array(timeouts, dtype=np.float64),
    )
