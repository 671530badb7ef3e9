"""What a run must come to, from the seed alone: nothing of it is taken from the log that is judged.

The oracle recomputes from the log what the metrics hold; an event that never reached the log is lost to both. So the
log itself is held against what the sources' world makes over the span, and the metrics against the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinliu.oracle.log import KafkaLog
from jinliu.subscription import MetricReader
from producers.digest import digest
from schemas import catalog
from schemas.eventtopics import EVENT_TOPICS
from streams import metrics

if TYPE_CHECKING:
    from topologies import Topology

RARE = ("early-warning",)
"""Metrics without a row in a short run: no bank may have taken a referral in it."""
HEADER = 5  # bytes: zero and schema id

Place = tuple[str, str, int]
"""Source, topic, shard."""


@dataclass(slots=True)
class Sequence:
    """What one source told in one shard, as the log has it: a record at or below the last `seq` is a duplicate."""

    hashed: Any
    seq: int = -1
    events: int = 0


def assert_whole(address: str, world: Topology, seed: int, start_ms: int, end_ms: int, about: object) -> None:
    """Nothing was lost on the way into the log, nor from the log into the metrics: every window is closed and FINAL.

    Raises AssertionError that names the sequence, account or row, and `about`.
    """
    told = sequences(address, world)
    made = digest(world, seed, start_ms, end_ms)
    in_log = {f"{source}/{topic}/{shard}": each.hashed.hexdigest() for (source, topic, shard), each in told.items()}
    unlike = sorted(name for name in made.keys() | in_log.keys() if made.get(name) != in_log.get(name))
    assert not unlike, f"the log does not hold what the world tells in {unlike} ({about})"
    with MetricReader(sorted(metrics.load()), address) as reader:
        newest = _newest(reader)
    accounts = newest.pop("accounting").values()
    lost = [row for row in accounts if row.missing or row.late or row.dead or row.source not in world.roster(row.topic)]
    assert not lost, f"events missing, late or dead: {lost[:3]} ({about})"
    folded = {(row.source, row.topic, row.shard): row.folded for row in accounts}
    events = {place: each.events for place, each in told.items()}
    assert folded == events, f"not folded as told: {sorted(folded.items() ^ events.items())[:6]} ({about})"
    assert sum(folded.values()) > 0, about
    for name, rows in newest.items():
        assert rows or name in RARE, f"no rows of {name} ({about})"
        open_or_less = [row for row in rows.values() if row.status != "FINAL" or row.missing]
        assert not open_or_less, f"{len(open_or_less)} rows of {name} not FINAL: {open_or_less[:2]} ({about})"


def sequences(address: str, world: Topology) -> dict[Place, Sequence]:
    """What the log holds of every source, topic and shard, in log order, without what was told twice."""
    tick = catalog.ids(None)["tick"]
    found: dict[Place, Sequence] = {}
    log = KafkaLog(address)
    try:
        for topic in EVENT_TOPICS:
            for shard, (first, end) in log.extents(topic).items():
                assert first == 0, f"{topic}/{shard} begins at {first}"
                for source in world.roster(topic):
                    found[source, topic, shard] = Sequence(hashlib.sha256())
                for chunk in log.read(topic, shard, end, keys=True):
                    for key, value in zip(chunk.keys, chunk.values, strict=True):
                        assert key is not None, f"a record without key in {topic}/{shard}"
                        assert value is not None, f"a record without value in {topic}/{shard}"
                        length, at = _long(value, HEADER)
                        seq, _ = _long(value, at + length)
                        told = found[value[at : at + length].decode(), topic, shard]
                        if seq > told.seq:
                            told.hashed.update(key + value[HEADER:])
                            told.events += int.from_bytes(value[1:HEADER], "big") != tick
                            told.seq = seq
    finally:
        log.close()
    return found


def _long(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long and where it ends. Every record of an event topic begins with `source` (string), `seq` (long)."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def _newest(reader: MetricReader) -> dict[str, dict[tuple[Any, ...], Any]]:
    """The newest row of each key, by metric."""
    known = metrics.load()
    newest: dict[str, dict[tuple[Any, ...], Any]] = {name: {} for name in known}
    for name, row in reader.to_end():
        newest[name][tuple(getattr(row, field) for field in known[name].key)] = row
    return newest
