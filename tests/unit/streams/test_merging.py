"""The merge of a partition of partials: whenever a worker dies, every closed row is committed exactly once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from schemas import catalog, wire
from schemas.errors import WireError
from streams import metrics
from streams.fetch import Chunk
from streams.merging import POSITION, MergeTask
from streams.options import Options
from streams.transaction import Partition
from tests.unit.streams import world
from tests.unit.streams.chunks import plan_for

METRIC = metrics.load()["market-share"]
PLAN = plan_for([METRIC], windows={"market-share": ("day", "4d")})
IDS = catalog.ids()
OPTIONS = Options(broker="nowhere", topology=SimpleNamespace(), prefix="p.", provisional_ms=1000)  # type: ignore[arg-type]
INTERVAL_MS = 700


def partition_log() -> list[tuple[bytes, bytes]]:
    """Partition 0 of the metric's partials, as two shards that take turns write it."""
    draw = random.Random(11)
    logs = [world.told(PLAN, shard, draw, world.random_payment, 8) for shard in (0, 1)]
    shards = [
        [p for p in world.partials_of(PLAN, logs, 9) if p.shard == shard and p.partition == 0] for shard in (0, 1)
    ]
    turns = []
    while any(shards):
        shard = draw.choice([shard for shard in shards if shard])
        turns.append(shard.pop(0))
    return [(p.key, wire.encode("partial", p.value(), IDS)) for p in turns]


LOG = partition_log()


class Reader:
    """Reads the log as `streams.transaction.Reader` does, after compaction up to `compacted`."""

    def __init__(self, compacted: int = 0) -> None:
        newest = {key: offset for offset, (key, _) in enumerate(LOG[:compacted])}
        self._kept = set(newest.values()) | set(range(compacted, len(LOG)))

    def read(self, where: Partition, first: int, stop: int) -> Iterator[list[Any]]:
        assert where == Partition("p.partials.market-share", 0)
        for offset in range(first, stop):
            if offset in self._kept:
                value = LOG[offset][1]
                yield [SimpleNamespace(value=lambda value=value: value, offset=lambda offset=offset: offset)]


def fresh(state: dict[bytes, bytes], compacted: int = 0) -> MergeTask:
    task = MergeTask(OPTIONS, METRIC, {"payments": PLAN}, IDS, 0)
    task.restore(state, Reader(compacted))  # type: ignore[arg-type]
    return task


def chunk(first: int, last: int) -> Chunk:
    records = [(offset, *LOG[offset]) for offset in range(first, last + 1)]
    return Chunk("p.partials.market-share", 0, first, last, 100, records=records)  # type: ignore[arg-type]


def run(seed: int, dying: float) -> tuple[dict[bytes, bytes], list[dict[str, Any]]]:
    """State and all rows committed by workers that die now and then, before or after a transaction."""
    draw, state, rows, now = random.Random(seed), dict[bytes, bytes](), [], 0
    task = fresh(state)
    while task.next_offset < len(LOG) or now == 0:
        last = min(task.next_offset + draw.randrange(12), len(LOG) - 1)
        task.fold(chunk(task.next_offset, last))
        now += INTERVAL_MS
        batch = task.take(now, final=last == len(LOG) - 1)
        if batch is not None and draw.random() >= dying:
            for record in batch.records():
                if record.topic == "p.state.partials.market-share":
                    assert record.key is not None
                    assert record.value is not None
                    state[record.key] = record.value
                else:
                    assert record.topic == "p.metrics.market-share"
                    assert record.value is not None
                    rows.append(wire.decode(record.value)[1])
            if draw.random() < dying:
                task = fresh(state, compacted=draw.randrange(task.next_offset + 1))
        elif batch is not None:
            task = fresh(state, compacted=draw.randrange(task.next_offset + 1))
            dying *= 0.9
    return state, rows


def closed(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted(row.items())) for row in rows if row["status"] != "PROVISIONAL")


def test_every_closed_row_once_whenever_workers_die() -> None:
    calm_state, calm = run(0, dying=0.0)
    expected = closed(calm)
    assert expected
    assert set(expected.values()) == {1}
    for seed in range(1, 25):
        state, rows = run(seed, dying=0.4)
        assert closed(rows) == expected, seed
        assert state == calm_state


def test_position_names_no_window_when_all_are_closed() -> None:
    state, _ = run(3, dying=0.0)
    assert state == {POSITION: b'{"upto": %d, "from": %d, "open": []}' % (len(LOG), len(LOG))}


def test_provisional_rows_wait_for_their_interval() -> None:
    task = fresh({})
    task.fold(chunk(0, 1))
    first = task.take(5000, final=False)
    assert first is not None
    assert first.rows > 0
    assert len(first.delays_ms) == first.rows
    task.fold(chunk(2, 2))
    assert task.take(5500, final=False) is None, "only 500 ms later"
    assert task.take(6000, final=False) is not None
    assert task.take(9000, final=False) is None, "nothing came"


def test_another_record_among_partials_is_an_error() -> None:
    tick = {
        "source": "x",
        "seq": 0,
        "kind": "TICK",
        "shard": 0,
        "tick_start": 0,
        "tick_end": 1,
        "events": 0,
        "amount_fen": 0,
    }
    value = wire.encode("tick", tick | {"run": None}, IDS)
    with pytest.raises(WireError, match=r"p\.partials\.market-share/0 holds a 'tick' record at offset 0"):
        fresh({}).fold(Chunk("p.partials.market-share", 0, 0, 0, 1, records=[(0, b"", value)]))
