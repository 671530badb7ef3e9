"""What stands on a metric's topic: rows that a later derivation does not give are taken back, and alarms raised once,
whenever workers die.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas import wire
from streams import standing
from streams.alarm import Alarm
from streams.errors import StateMismatch
from streams.merge import MergeState
from streams.merging import POSITION, MergeTask
from streams.metric import Merged, Window
from streams.partials import Partial
from tests.unit.streams.test_merging import (
    IDS,
    INTERVAL_MS,
    LOG,
    METRIC,
    OPTIONS,
    PLAN,
    Reader,
    chunk,
    store,
)

ALARM = Alarm(
    rule="much-paid", field="payments", above=3, institution="channel", unless={"channel": "BANK"},
    text="{channel} {window} {window_start}: {value:.0f} over {limit:.0f}",
)  # fmt: skip


def leader(window: Window, merged: Merged) -> Iterator[Any]:
    """The row of the channel with the most payments, alone: another one as the window goes on."""
    assert METRIC.derive is not None
    rows = [row for row in METRIC.derive(window, merged) if row.scene == "ALL" and row.channel != "ALL"]
    yield from sorted(rows, key=lambda row: (-row.payments, row.channel))[:1]


RANKING = replace(METRIC, derive=leader, alarms=(ALARM,))


@dataclass
class Topics:
    """What lies there: state and rows as compaction leaves them, alerts as they were written."""

    state: dict[bytes, bytes] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    alerts: list[Any] = field(default_factory=list)
    tombstones: int = 0

    def commit(self, records: Iterator[Any]) -> None:
        for record in records:
            if record.topic == "p.alerts":
                assert (record.partition, record.key) == (0, b"much-paid")
                self.alerts.append(wire.decode(record.value)[1])
            elif record.topic == "p.metrics.market-share":
                self.tombstones += record.value is None
                store(self.rows, record)
            else:
                assert record.topic == "p.state.partials.market-share"
                store(self.state, record)

    def standing(self) -> set[tuple[Any, ...]]:
        """Keys of the rows of open windows, as the state tells them."""
        stored = [json.loads(value)["keys"] for key, value in self.state.items() if key != POSITION]
        return {tuple(each) for keys in stored for each in keys}

    def written(self, status: str) -> set[tuple[Any, ...]]:
        """Keys of the rows of a status."""
        rows = [wire.decode(value)[1] for value in self.rows.values()]
        return {tuple(row[name] for name in METRIC.key) for row in rows if row["status"] == status}


def fresh(state: dict[bytes, bytes], compacted: int = 0) -> MergeTask:
    task = MergeTask(OPTIONS, RANKING, {"payments": PLAN}, IDS, 0)
    task.restore(state, Reader(compacted))  # type: ignore[arg-type]
    return task


def run(seed: int, dying: float) -> Topics:
    draw, topics, now = random.Random(seed), Topics(), 0
    task = fresh(topics.state)
    while task.next_offset < len(LOG) or now == 0:
        last = min(task.next_offset + draw.randrange(12), len(LOG) - 1)
        task.fold(chunk(task.next_offset, last))
        now += INTERVAL_MS
        batch = task.take(now, final=last == len(LOG) - 1)
        lost = batch is not None and draw.random() < dying
        if batch is not None and not lost:
            topics.commit(iter(batch.records()))
            assert topics.standing() == topics.written("PROVISIONAL")
        if lost or (batch is not None and draw.random() < dying):
            task = fresh(topics.state, compacted=draw.randrange(task.next_offset + 1))
            dying *= 0.95
    return topics


def test_at_the_end_stand_the_closed_rows_alone_and_each_alert_once_whenever_workers_die() -> None:
    calm = run(0, dying=0.0)
    assert calm.written("PROVISIONAL") == set()
    assert len(calm.rows) == len(calm.written("FINAL")) == 8 // 2 + 1
    alerts = Counter(repr(sorted(alert.items())) for alert in calm.alerts)
    assert alerts
    assert set(alerts.values()) == {1}
    taken_back = 0
    for seed in range(1, 40):
        topics = run(seed, dying=0.4)
        assert topics.rows == calm.rows, seed
        assert Counter(repr(sorted(alert.items())) for alert in topics.alerts) == alerts
        assert topics.state == calm.state
        taken_back += topics.tombstones
    assert taken_back > 10


def test_an_alert_tells_its_row() -> None:
    topics = run(0, dying=0.0)
    rows = {(row["window"], row["window_start"]): row for _, row in map(wire.decode, topics.rows.values())}
    for alert in topics.alerts:
        _, window, start, channel, scene = alert["subject"].split(" ")
        assert (alert["topic"], alert["shard"], alert["offset"], alert["rule"]) == (
            "metrics.market-share", 0, -1, "much-paid",
        )  # fmt: skip
        day = int(start.removeprefix("1970-01-0")) - 1
        row = rows[window, day * 86_400_000]
        assert (channel, scene, alert["institution"]) == (row["channel"], "ALL", row["channel"])
        assert (alert["value"], alert["limit"], alert["event_time"]) == (row["payments"], 3.0, row["window_end"])
        assert alert["text"] == f"{channel} {window} {start}: {row['payments']} over 3"
    over = [row for row in rows.values() if row["payments"] > 3 and row["channel"] != "BANK"]
    assert len(over) == len(topics.alerts)


def test_the_merge_tells_what_it_takes_back() -> None:
    """Of each window, as the partials come: what was given, less what is given now."""
    merge, given = MergeState(RANKING, {"payments": PLAN}), dict[tuple[str, int], set[Any]]()
    gone = set()
    for _, value in LOG:
        merge.put(Partial.of(METRIC.name, wire.decode(value)[1]))
        rows = merge.take()
        now = {(row.window, row.window_start): METRIC.key_of(row) for row in rows}
        expected = {key for place, new in now.items() for key in given.get(place, set()) - {new}}
        assert set(merge.withdrawn()) == expected
        assert merge.withdrawn() == []
        given |= {place: {key} for place, key in now.items()}
        gone |= expected
        for place, keys in merge.standing().items():
            assert set(keys) == given[place]
    assert gone
    assert merge.standing() == {}


PLACE = ("day", 0)
KEY = standing.key_of(PLACE)
OPEN = json.dumps({"upto": 3, "from": 1, "open": [PLACE], "done": {"day": [0], "4d": [4]}}).encode()


def kept(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_what_another_owner_wrote_is_taken_back_though_its_partials_are_gone() -> None:
    stranger = ("day", 0, "UNIONPAY", "TRAVEL")
    task = fresh({POSITION: OPEN, KEY: kept(stranger)}, compacted=len(LOG))
    task.fold(chunk(3, len(LOG) - 1))
    batch = task.take(5000, final=True)
    assert batch is not None
    records = list(batch.records())
    (tombstone,) = [record for record in records if record.topic == "p.metrics.market-share" and record.value is None]
    assert json.loads(tombstone.key or b"") == dict(zip(METRIC.key, stranger, strict=True))
    assert [record.value for record in records if record.key == KEY] == [None]


def test_what_stands_survives_its_codec() -> None:
    keys = {("day", 0, None, "é", True, 2.5): None, ("day", 0, "x", "", False, -1): None}
    document = json.loads(standing.packed(keys))
    names = ("window", "window_start", "a", "b", "c", "d")
    assert standing.unpacked(document, PLACE, names) == keys
    assert standing.place_of(KEY, fresh({})._state.tables) == PLACE


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"noise", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "KeyError: 'keys'"),
        (b'{"keys": 7}', "TypeError"),
        (kept("day"), "ValueError"),
        (kept(["day", 0, "BANK"]), "ValueError"),
        (kept(["day", 0, "BANK", []]), "neither text nor number"),
        (kept(["day", 172800000, "BANK", "ALL"]), "is not of ('day', 0)"),
        (kept(["4d", 0, "BANK", "ALL"]), "is not of ('day', 0)"),
    ],
)
def test_what_makes_no_sense_names_its_place_and_the_way_out(value: bytes, what: str) -> None:
    with pytest.raises(StateMismatch) as caught:
        fresh({POSITION: OPEN, KEY: value})
    assert str(caught.value).startswith(f"p.state.partials.market-share/0, key {KEY!r}: ")
    assert what in str(caught.value)
    assert str(caught.value).endswith(": use a new prefix or data directory")


@pytest.mark.parametrize(
    "key",
    [b"rows|", b"rows|day", b"rows|day|x", b"rows|week|0", b"rows|day|1", b"rows|4d|0", b"rows|day|00", b"rows|\xff|0"],
)
def test_rows_of_no_window_and_of_closed_ones_are_passed_over(key: bytes) -> None:
    with capture_logs() as told:
        assert fresh({POSITION: OPEN, key: b"noise"}).next_offset == 3
    assert [(line["event"], line["key"]) for line in told] == [("stored row ignored", repr(key))]
