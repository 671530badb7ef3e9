"""A small run whose truth is known: two sources, four shards, forty days, written to the log event by event.

Kept apart from `producers`, so that the engine is tested against another writer. Randomness is a fixed seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from schemas import catalog, wire
from streams import metrics

DAY_MS = 86_400_000
START_MS = 1_577_836_800_000  # 2020-01-01
DAYS, SHARDS, PEOPLE = 40, 4, 4_000
END_MS = START_MS + DAYS * DAY_MS
ROSTER = ("alipay", "banks")
BANKS = ("icbc", "cmb", "lan-hai")
CHANNELS = ("ALIPAY", "WECHAT_PAY", "UNIONPAY", "BANK")
SCENES = ("DINING", "TRANSPORT", "SHOPPING", "UTILITIES", "TRANSFER", "TRAVEL")
DIGEST = "d1" * 32
WIDE_BYTES = str(16 << 20)


def topology() -> Any:
    """What the engine reads of a topology."""
    kinds = {"alipay": "platform", "wechat-pay": "platform", "unionpay": "network", **dict.fromkeys(BANKS, "bank")}
    return SimpleNamespace(
        name="small",
        digest=DIGEST,
        population=PEOPLE,
        borrowers=0,
        policies=(),
        banks=BANKS,
        institutions=tuple(
            SimpleNamespace(id=name, name=name, kind=kind, certified=None) for name, kind in kinds.items()
        ),
        scale=SimpleNamespace(
            weight=1000,
            person_weight=10,
            shards=SHARDS,
            tick_ms=DAY_MS,
            lateness_ticks=1,
            patience_ticks=5,
            rare_weight=10,
        ),
        windows=dict.fromkeys(metrics.load(), ("day", "month")),
    )


def run_record() -> dict[str, Any]:
    roster = {"payments": list(ROSTER), "operations": list(ROSTER)}
    return {
        "run": "small-run",
        "seed": 1,
        "topology": "small",
        "digest": DIGEST,
        "roster": roster,
        "start": START_MS,
        "end": END_MS,
    }


def topic_names() -> dict[str, tuple[int, bool]]:
    """Name without prefix to (partitions, compacted)."""
    names = {"runs": (1, True), "policies": (1, True), "alerts": (1, False)}
    for topic in ("payments", "operations"):
        names |= {topic: (SHARDS, False), f"state.{topic}": (SHARDS, True), f"{topic}.dead": (SHARDS, False)}
    for metric in metrics.load().values():
        names[f"metrics.{metric.name}"] = (2, True)
        if metric.rollups:
            names |= {f"partials.{metric.name}": (2, True), f"state.partials.{metric.name}": (2, True)}
    return names


def create_topics(broker: str, prefix: str, names: Mapping[str, tuple[int, bool]] | None = None) -> None:
    """The topics of the small world, or others by name: (partitions, compacted)."""
    admin = AdminClient({"bootstrap.servers": broker})
    made = admin.create_topics(
        [
            NewTopic(
                prefix + name,
                partitions,
                1,
                config={"cleanup.policy": "compact" if compacted else "delete", "max.message.bytes": WIDE_BYTES},
            )
            for name, (partitions, compacted) in (names or topic_names()).items()
        ]
    )
    for future in made.values():
        future.result(30)


@dataclass
class Truth:
    """What the metrics must come to: (day, channel, scene) -> sums over successful payments."""

    payments: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    amount_fen: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    amount_weighted_fen: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    folded: int = 0

    def add(self, event: dict[str, Any]) -> None:
        self.folded += 1
        if event["outcome"] == "SUCCESS":
            place = ((event["event_time"] - START_MS) // DAY_MS, event["channel"], event["scene"])
            self.payments[place] += 1
            self.amount_fen[place] += event["amount_fen"]
            self.amount_weighted_fen[place] += event["amount_fen"] * event["weight"]


class Log:
    """Writes the run, one day of all sources and shards at a time."""

    def __init__(self, broker: str, prefix: str, events_a_tick: int = 150) -> None:
        self.prefix, self.truth = prefix, Truth()
        self.events_a_tick = events_a_tick
        self._random = random.Random(20_200_101)
        self._seq: Counter[tuple[str, str, int]] = Counter()
        self._ids = catalog.ids()
        self._producer = ck.Producer(
            {"bootstrap.servers": broker, "linger.ms": 20, "compression.type": "lz4", "acks": "all"}
        )
        self._broker = broker

    def open(self) -> None:
        """The run record, and OPEN ticks of every source."""
        self._producer.produce(f"{self.prefix}runs", wire.encode("run", run_record(), self._ids), b"small-run")
        for topic in ("payments", "operations"):
            for source in ROSTER:
                for shard in range(SHARDS):
                    self._tick(topic, source, shard, "OPEN", START_MS, START_MS, [])
        self.flush()

    def day(self, day: int) -> None:
        """All events of a day and its ticks."""
        start = START_MS + day * DAY_MS
        for source in ROSTER:
            for shard in range(SHARDS):
                events = [self.payment(source, shard, start) for _ in range(self.events_a_tick)]
                for event in events:
                    self.produce(
                        "payments",
                        shard,
                        wire.encode("payment", event, self._ids),
                        event["payer_id"].to_bytes(8, "big"),
                    )
                    self.truth.add(event)
                self._tick("payments", source, shard, "TICK", start, start + DAY_MS, events)
                self._tick("operations", source, shard, "TICK", start, start + DAY_MS, [])
        self.flush()

    def close(self) -> None:
        for topic in ("payments", "operations"):
            for source in ROSTER:
                for shard in range(SHARDS):
                    self._tick(topic, source, shard, "CLOSE", END_MS, END_MS, [])
        self.flush()

    def payment(self, source: str, shard: int, start: int) -> dict[str, Any]:
        """The next payment of a source in a shard, on the day that begins at `start`."""
        pick, below = self._random.choice, self._random.randrange
        seq = self._next_seq("payments", source, shard)
        return {
            "source": source,
            "seq": seq,
            "payment_id": ((ROSTER.index(source) * SHARDS + shard) << 40) | seq,
            "event_time": start + below(DAY_MS),
            "payer_id": below(PEOPLE // SHARDS) * SHARDS + shard,
            "payee_id": below(PEOPLE),
            "segment": pick(("YOUNG", "MASS")),
            "scene": pick(SCENES),
            "channel": pick(CHANNELS),
            "instrument": pick(("QR", "NFC")),
            "payer_bank": pick(BANKS),
            "payee_bank": pick(BANKS),
            "amount_fen": below(1_000_000),
            "weight": 1 + below(1000),
            "route": pick(("DIRECT", "NETWORK")),
            "outcome": pick(("SUCCESS", "SUCCESS", "TIMEOUT")),
            "latency_ms": below(400),
            "middleware": pick((True, False)),
            "detail_visible": pick((True, False)),
            "fraud": "NONE",
            "flagged": False,
        }

    def produce(self, topic: str, shard: int, value: bytes | None, key: bytes = b"") -> None:
        """One record as it is, whatever it is."""
        while True:
            try:
                self._producer.produce(self.prefix + topic, value, key, shard)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def aborted(self, shard: int, count: int) -> None:
        """Payments nobody may see: written and aborted."""
        producer = ck.Producer(
            {"bootstrap.servers": self._broker, "transactional.id": f"{self.prefix}aborting.{shard}"}
        )
        producer.init_transactions()
        producer.begin_transaction()
        seqs = self._seq.copy()
        for _ in range(count):
            event = self.payment("alipay", shard, START_MS)
            producer.produce(f"{self.prefix}payments", wire.encode("payment", event, self._ids), b"", shard)
        self._seq = seqs
        assert producer.flush(30) == 0
        producer.abort_transaction()

    def _tick(
        self, topic: str, source: str, shard: int, kind: str, start: int, end: int, events: list[dict[str, Any]]
    ) -> None:
        tick = {
            "source": source,
            "seq": self._next_seq(topic, source, shard),
            "kind": kind,
            "shard": shard,
            "tick_start": start,
            "tick_end": end,
            "events": len(events),
            "amount_fen": sum(event["amount_fen"] for event in events),
            "run": None if kind == "TICK" else "small-run",
        }
        self.produce(topic, shard, wire.encode("tick", tick, self._ids), source.encode())

    def _next_seq(self, topic: str, source: str, shard: int) -> int:
        seq = self._seq[topic, source, shard]
        self._seq[topic, source, shard] += 1
        return seq


def committed(broker: str, topic: str) -> Iterator[ck.Message]:
    """Every committed record of a topic, to its end."""
    consumer = ck.Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "tests",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([ck.TopicPartition(topic, number, 0) for number in partitions])
    ended: set[int] = set()
    while len(ended) < len(partitions):
        for message in consumer.consume(1000, 0.05):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == ck.KafkaError._PARTITION_EOF:
                ended.add(message.partition() or 0)
            else:
                raise ck.KafkaException(error)
    consumer.close()


def newest_rows(broker: str, prefix: str, metric: str) -> dict[bytes, dict[str, Any]]:
    """The newest row of each key of a metric."""
    return {
        message.key() or b"": wire.decode(message.value())[1]
        for message in committed(broker, f"{prefix}metrics.{metric}")
    }
