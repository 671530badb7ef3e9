"""What one source tells of payments: the paying kernel's rows, from the day's state of the economy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import payments, seasons
from producers.block import Block, Numbering
from producers.economy import CHANNEL, DAY_MS
from producers.errors import GeneratorError
from producers.latency import BANKCARD, DIRECT, NETWORK, ON_US
from producers.philox import seed_word, stream
from producers.scalar import lognormal_knots, normal_knots
from producers.sightings import Sightings
from topologies.economy import SCENES

if TYPE_CHECKING:
    from producers.economy import Economy

_NARROW: dict[str, Any] = {
    "segment": np.int8, "scene": np.int8, "instrument": np.int8, "payer_bank": np.int16, "payee_bank": np.int16,
    "route": np.int8, "outcome": np.int8, "latency_ms": np.int32, "middleware": np.bool_,
    "flagged": np.bool_, "fraud": np.int8,
}  # fmt: skip


class PaymentEmitter:
    """The payments of one source (a `producers.block.Emitter`). Raises GeneratorError for one that is no channel."""

    def __init__(self, economy: Economy, source: str) -> None:
        if source not in CHANNEL:
            raise GeneratorError(f"source {source!r} tells no payments; {', '.join(CHANNEL)} do")
        self._economy, self._channel = economy, CHANNEL[source]
        self._numbering = Numbering(economy.topology, "payments", source)
        self._worlds = [_world(economy, source, shard) for shard in range(economy.topology.scale.shards)]
        self._sightings = Sightings(economy, self._channel)

    def vocabularies(self) -> Mapping[str, tuple[str, ...]]:
        banks = tuple(self._economy.topology.banks)
        return {"payer_bank": banks, "payee_bank": banks}

    def block(self, shard: int, first: int, ticks: int, seq: int) -> Block:
        topology, world = self._economy.topology, self._worlds[shard]
        tick_ms = topology.scale.tick_ms
        day0 = first * tick_ms // DAY_MS
        day1 = max(day0 + 1, -(-(first + ticks) * tick_ms // DAY_MS))
        days = self._days(shard, day0, day1)
        counts = np.zeros(ticks, np.int64)
        most = np.zeros(1, np.int64)
        payments.count_ticks(world, days, day0, first, counts, most)
        n = int(counts.sum())
        columns = payments.Columns(*(np.empty(n, _NARROW.get(name, np.int64)) for name in payments.Columns._fields))
        seqs, amounts = np.empty(ticks, np.int64), np.empty(ticks, np.int64)
        payments.fill_ticks(world, days, day0, first, seq, int(most[0]), columns, counts, seqs, amounts)
        code = self._numbering.code
        events: dict[str, NDArray[Any]] = dict(zip(payments.Columns._fields, columns, strict=True))
        events["source"] = np.full(n, code, np.int16)
        events["channel"] = np.full(n, self._channel, np.int8)
        events["payment_id"] = columns.seq + ((code * topology.scale.shards + shard) << 40)
        events["detail_visible"] = columns.route != DIRECT
        return Block(events, self._numbering.ticks(shard, first, counts, seqs, amounts), counts)

    def _days(self, shard: int, day0: int, day1: int) -> payments.Days:
        economy, channel = self._economy, self._channel
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
