"""A tiny world for the proof's tests: topics as lists, two sources, two shards, ticks of an hour."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro

from jinliu.oracle.log import Chunk
from jinliu.oracle.rules import Rules
from schemas import catalog

HOUR = 3_600_000
START = 1_640_995_200_000  # 2022-01-01
ROSTER = ("alipay", "banks")
BANKS = ("icbc", "abc")
PAYMENT = {
    "payee_id": 7, "segment": "YOUNG", "scene": "DINING", "channel": "ALIPAY", "instrument": "QR",
    "payer_bank": "icbc", "payee_bank": "abc",
    "weight": 10, "route": "NETWORK", "outcome": "SUCCESS", "latency_ms": 120, "middleware": False,
    "detail_visible": True, "fraud": "NONE", "flagged": False,
}  # fmt: skip


def wire(name: str, value: dict[str, Any]) -> bytes:
    """A record in the Confluent format."""
    schema = catalog.schema(name)
    out = io.BytesIO()
    out.write(b"\x00" + schema.id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, dict(schema.parsed), value)
    return out.getvalue()


def payment(source: str, seq: int, at: int, shard: int = 0, amount: int = 100, **other: Any) -> bytes:
    """A payment `at` milliseconds after the start."""
    event = {
        "source": source,
        "seq": seq,
        "payment_id": seq,
        "event_time": START + at,
        "payer_id": 3 * shard,
        "amount_fen": amount,
    }
    return wire("payment", PAYMENT | event | other)


def tick(
    source: str, seq: int, hour: int, events: int, amount: int, shard: int = 0, kind: str = "TICK", **other: Any
) -> bytes:
    """The tick of the hour numbered `hour`; for OPEN and CLOSE the moment `hour`."""
    begin = START + hour * HOUR
    stop = begin + HOUR if kind == "TICK" else begin
    row = {
        "source": source,
        "seq": seq,
        "kind": kind,
        "shard": shard,
        "tick_start": begin,
        "tick_end": stop,
        "events": events,
    }
    return wire("tick", row | {"amount_fen": amount, "run": None} | other)


def rules(**other: Any) -> Rules:
    """Six hours, two shards, one tick of lateness, three of patience."""
    given: dict[str, Any] = {
        "topic": "payments", "record": "payment", "shards": 2, "roster": ROSTER,
        "start_ms": START, "end_ms": START + 6 * HOUR, "tick_ms": HOUR,
        "lateness_ms": HOUR, "patience_ms": 3 * HOUR, "max_seq_jump": 1000, "persons": 100,
        "words": {"payer_bank": frozenset(BANKS), "payee_bank": frozenset(BANKS)},
        "ranges": {"amount_fen": (0, 10**10), "weight": (1, 10**7)},
        "person": "payer_id", "institution": None, "places": {}, "windows": ("hour", "2h"),
    }  # fmt: skip
    return Rules(**(given | other))


def told(source: str, shard: int = 0, hours: int = 6, each: int = 3, amount: int = 100) -> list[bytes]:
    """All a source tells one shard, OPEN to CLOSE, `each` payments an hour."""
    out = [tick(source, 0, 0, 0, 0, shard, "OPEN")]
    seq = 1
    for hour in range(hours):
        for i in range(each):
            out.append(payment(source, seq, hour * HOUR + i * 1000, shard, amount + i))
            seq += 1
        out.append(tick(source, seq, hour, each, sum(amount + i for i in range(each)), shard))
        seq += 1
    return [*out, tick(source, seq, hours, 0, 0, shard, "CLOSE")]


def together(*tellings: list[bytes]) -> list[bytes]:
    """Several sources' tellings in one partition, hour by hour."""
    size = max(len(telling) for telling in tellings)
    step = 4
    return [value for at in range(0, size, step) for telling in tellings for value in telling[at : at + step]]


@dataclass
class MemoryLog:
    """Topics as lists: topic -> partitions -> (key, value)."""

    topics: dict[str, list[list[tuple[bytes | None, bytes | None]]]] = field(default_factory=dict)
    chunk: int = 1000

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        return {number: (0, len(rows)) for number, rows in enumerate(self.topics.get(topic, []))}

    def settled(self, topics: Sequence[str]) -> dict[str, dict[int, int]]:
        return {topic: {number: end for number, (_, end) in self.extents(topic).items()} for topic in topics}

    def read(self, topic: str, partition: int, end: int, keys: bool = False, first: int = 0) -> Iterator[Chunk]:
        rows = self.topics[topic][partition][first:end]
        for at in range(0, len(rows), self.chunk):
            part = rows[at : at + self.chunk]
            offsets = list(range(first + at, first + at + len(part)))
            yield Chunk([value for _, value in part], [key for key, _ in part] if keys else [], offsets)

    def close(self) -> None:
        """Nothing is held."""
