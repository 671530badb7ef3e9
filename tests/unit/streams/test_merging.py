"""The merge of a partition of partials: whenever a worker dies, every closed row is committed exactly once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from schemas import catalog, wire
from streams import metrics
from streams.errors import StateMismatch
from streams.fetch import Chunk
from streams.merging import POSITION, MergeTask
from streams.options import Options
from streams.packing import pack, scratch_size
from streams.partials import Partial
from streams.telemetry import PARTIALS_REFUSED
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
                key, value = LOG[offset]
                yield [message(offset, key, value)]

    def bounds(self, where: Partition) -> tuple[int, int]:
        return 0, len(LOG)


def message(offset: int, key: bytes | None, value: bytes | None) -> Any:
    return SimpleNamespace(key=lambda: key, value=lambda: value, offset=lambda: offset)


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
                    store(state, record)
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


def store(state: dict[bytes, bytes], record: Any) -> None:
    """What compaction leaves of a state topic with this record behind it."""
    state.pop(record.key, None)
    if record.value is not None:
        state[record.key] = record.value


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


def test_no_row_goes_back_whenever_workers_die() -> None:
    for seed in range(20):
        newest: dict[Any, int] = {}
        for row in run(seed, 0.5)[1]:
            key = tuple(row[name] for name in METRIC.key)
            assert row["revision"] >= newest.get(key, 0), (seed, key)
            newest[key] = row["revision"]


def test_position_names_no_window_when_all_are_closed() -> None:
    state, _ = run(3, dying=0.0)
    (position,) = state.values()
    done = {"day": [8], "4d": [2]}
    assert json.loads(position) == {"upto": len(LOG), "from": len(LOG), "open": [], "done": done}


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


NOISE: list[tuple[bytes | None, bytes | None]] = [
    (None, b"noise"),
    (b"k", None),
    (b"", b""),
    (*LOG[0][:1], LOG[0][1][:-3]),
    (LOG[0][0], b"\x00\x00\x00\x00\x63" + LOG[0][1][5:]),
    (None, LOG[0][1]),
    (LOG[3][0], LOG[-1][1]),
]


def closed_of(log: list[tuple[bytes | None, bytes | None]], first: int = 0, task: MergeTask | None = None) -> Any:
    """Closed rows of a log folded one record at a time, rows taken behind each."""
    task, rows = task or fresh({}), []
    for offset, (key, value) in enumerate(log, first):
        task.fold(Chunk("p.partials.market-share", 0, offset, offset, 9, records=[(offset, key, value)]))
        batch = task.take(offset * 10_000, final=True)
        for record in batch.records() if batch is not None else ():
            if record.topic == "p.metrics.market-share":
                rows.append(wire.decode(record.value)[1])
    return closed(rows)


def test_hostile_records_are_passed_over_and_the_merge_goes_on() -> None:
    draw, log = random.Random(4), list[tuple[bytes | None, bytes | None]](LOG)
    for bad in NOISE * 3:
        log.insert(draw.randrange(len(log)), bad)
    counter = PARTIALS_REFUSED.labels("p.partials.market-share")
    before = counter._value.get()
    with capture_logs() as told:
        assert closed_of(log) == closed(run(0, dying=0.0)[1])
    assert counter._value.get() - before == 3 * len(NOISE)
    assert [line["offset"] for line in told] == [n for n, each in enumerate(log) if each in NOISE]
    for line in told:
        assert (line["log_level"], line["event"]) == ("warning", "partial refused")
        assert (line["topic"], line["partition"]) == ("p.partials.market-share", 0)
        assert line["reason"]


def test_hostile_records_are_passed_over_on_the_way_back_too() -> None:
    task = fresh({})
    task.fold(chunk(0, 5))
    batch = task.take(5000, final=True)
    assert batch is not None
    state = {record.key: record.value for record in batch.records() if record.topic.startswith("p.state")}

    class Spoilt(Reader):
        def read(self, where: Partition, first: int, stop: int) -> Iterator[list[Any]]:
            yield [message(first, *bad) for bad in NOISE]
            yield from super().read(where, first, stop)

    again = MergeTask(OPTIONS, METRIC, {"payments": PLAN}, IDS, 0)
    again.restore(state, Spoilt())  # type: ignore[arg-type]
    assert closed_of(LOG[6:], 6, again) == closed(run(0, dying=0.0)[1]) - closed_of(LOG[:6])


def test_what_is_closed_stays_closed_when_its_partials_are_told_again_after_a_restart() -> None:
    state, _ = run(0, dying=0.0)
    task = fresh(state)
    again = Chunk("p.partials.market-share", 0, len(LOG), 2 * len(LOG) - 1, 9)
    again.records = [(offset, *record) for offset, record in enumerate(LOG, len(LOG))]
    task.fold(again)
    batch = task.take(5000, final=True)
    assert batch is not None
    assert batch.rows == 0
    assert json.loads(next(iter(batch.records())).value or b"")["from"] == 2 * len(LOG)


def forged(offset: int, **fields: Any) -> tuple[bytes, bytes]:
    """A partial of the log with other fields."""
    partial = replace(Partial.of(METRIC.name, wire.decode(LOG[offset][1])[1]), **fields)
    return partial.key, wire.encode("partial", partial.value(), IDS)


def test_a_partial_with_which_the_sums_would_leave_int64_is_refused() -> None:
    layout = PLAN.rollups[0].layout
    row = np.zeros(layout.width, np.int64)
    row[layout.parts["amount_fen"].offset] = 2**62
    huge = pack(layout, row, np.empty(scratch_size(layout), np.uint8))
    of_shards = {
        Partial.of("", wire.decode(value)[1]).shard: n for n, (key, value) in enumerate(LOG) if b"|day|0" in key
    }
    first, second = (forged(n, status="FINAL", missing={}, revision=900, folded=huge) for n in of_shards.values())
    task = fresh({})
    with capture_logs() as told:
        task.fold(Chunk("p.partials.market-share", 0, 0, 2, 9, records=[(0, *first), (1, *first), (2, *second)]))
    assert [(line["offset"], line["reason"]) for line in told] == [
        (2, "with it the sums of its window would leave int64")
    ]
    batch = task.take(5000, final=True)
    assert batch is not None
    assert list(batch.records())


def test_a_provisional_partial_does_not_open_what_its_shard_closed() -> None:
    final = next(n for n, (_, value) in enumerate(LOG) if wire.decode(value)[1]["status"] == "FINAL")
    log: list[tuple[bytes | None, bytes | None]] = [*LOG[: final + 1], forged(final, status="PROVISIONAL", revision=99)]
    assert closed_of([*log, *LOG[final + 1 :]]) == closed(run(0, dying=0.0)[1])


GOOD = {"upto": 3, "from": 1, "open": [["day", 0]], "done": {"day": [0], "4d": [0]}}


@pytest.mark.parametrize(
    ("position", "what"),
    [
        (b"noise", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "KeyError: 'upto'"),
        ({"upto": "3"}, "'3' is no integer from 0"),
        ({"upto": True}, "'True' is no integer"),
        ({"upto": 10**30}, f"is no integer from 0 to {len(LOG)}"),
        ({"upto": len(LOG) + 1}, f"'{len(LOG) + 1}' is no integer from 0 to {len(LOG)}"),
        ({"from": 4}, "'4' is no integer from 0 to 3"),
        ({"open": 7}, "TypeError"),
        ({"open": [["day"]]}, "ValueError"),
        ({"open": [["day", 1]]}, "'day' has no window that starts at 1"),
        ({"open": [["week", 0]]}, "'week' has no window that starts at 0"),
        ({"open": [[["day"], 0]]}, "has no window"),
        ({"done": {"week": [0]}}, "KeyError: 'week'"),
        ({"done": {"day": []}}, "ValueError"),
        ({"done": {"day": [99]}}, "'99' is no integer"),
        ({"done": {"day": [2, 1]}}, "'1' is no integer"),
        ({"done": []}, "AttributeError"),
    ],
)
def test_a_position_that_makes_no_sense_names_its_place_and_the_way_out(position: Any, what: str) -> None:
    text = position if isinstance(position, bytes) else json.dumps(GOOD | position).encode()
    with pytest.raises(StateMismatch) as caught:
        fresh({POSITION: text})
    assert str(caught.value).startswith("p.state.partials.market-share/0, key b'position': ")
    assert what in str(caught.value)
    assert str(caught.value).endswith(": use a new prefix or data directory")


def test_strange_keys_beside_the_position_are_passed_over() -> None:
    old = json.dumps({"upto": 3, "from": 1, "open": [["day", 0]]}).encode()
    with capture_logs() as told:
        assert fresh({b"\xff": b"noise", POSITION: old, b"": b""}).next_offset == 3
    assert [(line["event"], line["topic"], line["key"]) for line in told] == [
        ("stored row ignored", "p.state.partials.market-share", key) for key in (r"b'\xff'", "b''")
    ]
