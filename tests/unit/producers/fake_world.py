"""A small world for tests of the Kafka side: a topology and a generator that tell a fixed arithmetic of payments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from producers.options import Options
from producers.policies import Decision

DAY_MS = 86_400_000
START_MS = 1_640_995_200_000  # 2022-01-01
ROSTER = ("alipay", "wechat-pay", "unionpay", "banks")
BANKS = ("icbc", "ccb", "abc")
INSTITUTIONS = ("alipay", "icbc")


@dataclass(frozen=True)
class Scale:
    shards: int = 2
    tick_ms: int = DAY_MS
    lead_ticks: int = 7


@dataclass(frozen=True)
class Source:
    name: str
    topics: tuple[str, ...] = ("payments", "operations")


@dataclass(frozen=True)
class Policy:
    lever: str
    value: Any
    effective_ms: int
    source: str = "test"


@dataclass(frozen=True)
class World:
    """As much of `topologies.Topology` as the Kafka side reads."""

    name: str = "test"
    digest: str = "ab" * 32
    scale: Scale = Scale()
    sources: tuple[Source, ...] = tuple(Source(name) for name in ROSTER)
    policies: tuple[Policy, ...] = (
        Policy("route", "NETWORK", START_MS + 40 * DAY_MS),
        Policy("federated", True, START_MS),
    )
    levers: Mapping[str, Any] = field(default_factory=lambda: {"federated": None, "route": None})

    @property
    def event_topics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(topic for source in self.sources for topic in source.topics))

    def roster(self, topic: str) -> tuple[str, ...]:
        return tuple(source.name for source in self.sources if topic in source.topics)

    def check_lever(self, name: str, value: object) -> None:
        """Every value is allowed here."""


def options(broker: str = "127.0.0.1:1", *, world: World | None = None, ticks: int = 30, **given: Any) -> Options:
    """Options of a run of `ticks` ticks over the test world."""
    shown: Any = world or World()
    values: dict[str, Any] = {"broker": broker, "prefix": "", "topology": shown, "seed": 7, "start_ms": START_MS}
    values["end_ms"] = START_MS + ticks * shown.scale.tick_ms
    return Options(**(values | given))


@dataclass(frozen=True)
class Block:
    events: dict[str, npt.NDArray[Any]]
    ticks: dict[str, npt.NDArray[Any]]
    counts: npt.NDArray[np.int64]


@dataclass
class Generator:
    """Events of tick t and shard s: (base + t + s) % (2 * base) payments, spread over the tick, amount 100 + row.

    `levers` go into the amounts of the ticks they hold for, so that a test sees when one took effect.
    """

    world: World
    source: str
    base: int = 20
    levers: Sequence[Decision] = ()
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)

    def vocabularies(self, topic: str) -> Mapping[str, tuple[str, ...]]:
        words: dict[str, tuple[str, ...]] = {"source": self.world.roster(topic)}
        if topic == "payments":
            return words | {"payer_bank": BANKS, "payee_bank": BANKS}
        return words | {"institution": INSTITUTIONS}

    def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Block:
        self.asked.append((topic, shard, first_tick, stop_tick))
        tick_ms, code = self.world.scale.tick_ms, self.world.roster(topic).index(self.source)
        tick = np.arange(first_tick, stop_tick)
        counts = (
            (self.base + tick + shard) % (2 * self.base) if topic == "payments" else (tick % 30 == 0).astype(np.int64)
        )
        of = np.repeat(np.arange(len(tick)), counts)
        row = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        start = START_MS + tick * tick_ms
        time = start[of] + row * tick_ms // np.maximum(counts[of], 1)
        events: dict[str, npt.NDArray[Any]] = {"seq": seq + np.arange(len(of)) + of, "event_time": time}
        events["source"] = np.full(len(of), code, np.int16)
        events |= self._payments(shard, row, time) if topic == "payments" else _operations(len(of))
        amount = events["amount_fen"] if topic == "payments" else np.zeros(len(of), np.int64)
        ends = np.cumsum(counts)
        sums = np.concatenate([[0], np.cumsum(amount)])
        n = len(tick)
        ticks = {
            "source": np.full(n, code, np.int16),
            "seq": seq + ends + np.arange(n),
            "kind": np.ones(n, np.int8),
            "shard": np.full(n, shard, np.int32),
            "tick_start": start,
            "tick_end": start + tick_ms,
            "events": counts,
            "amount_fen": sums[ends] - sums[ends - counts],
            "run": np.full(n, -1, np.int16),
            "run?": np.zeros(n, np.bool_),
        }
        return Block(events, ticks, counts)

    def _payments(
        self, shard: int, row: npt.NDArray[np.int64], time: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[Any]]:
        n = len(row)
        moved = sum(((time >= lever.effective_ms).astype(np.int64) for lever in self.levers), np.zeros(n, np.int64))
        columns: dict[str, npt.NDArray[Any]] = {
            "payer_id": row * self.world.scale.shards + shard,
            "payee_id": row,
            "amount_fen": 100 + row + 1_000_000 * moved,
            "weight": np.ones(n, np.int64),
            "payment_id": row,
            "payer_bank": (row % 3).astype(np.int16),
            "payee_bank": np.zeros(n, np.int16),
            "latency_ms": np.full(n, 120, np.int32),
        }
        columns |= {
            name: np.zeros(n, np.int8)
            for name in ("segment", "scene", "channel", "instrument", "route", "outcome", "fraud")
        }
        return columns | {name: np.zeros(n, np.bool_) for name in ("middleware", "detail_visible", "flagged")}


def _operations(n: int) -> dict[str, npt.NDArray[Any]]:
    return {"institution": np.zeros(n, np.int16), "kind": np.full(n, 4, np.int8)}


@dataclass
class Build:
    """What `produce` calls to make generators; keeps them for the test to look at."""

    base: int = 20
    made: list[dict[str, Generator]] = field(default_factory=list)

    def __call__(self, options: Options, levers: Sequence[Decision]) -> Mapping[str, Generator]:
        world: Any = options.topology
        self.made.append({source: Generator(world, source, self.base, tuple(levers)) for source in options.sources})
        return self.made[-1]
