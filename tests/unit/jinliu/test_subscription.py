"""Reading metric topics: rows as they are, what somebody else wrote there, and a broker that goes away meanwhile."""

from __future__ import annotations

import itertools
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from kafka.structs import TopicPartition

from jinliu import subscription
from jinliu.settings import settings
from jinliu.subscription import MetricReader, SubscriptionError
from jinliu.watch import watch
from producers.errors import ProducerError
from producers.logs import Record
from schemas import catalog, wire

ROW = {
    "topic": "payments", "shard": 1, "source": "alipay", "received": 7, "folded": 6, "late": 0, "duplicate": 1,
    "dead": 0, "ticks": 2, "missing": 0, "upto": 9,
}  # fmt: skip
GOOD = wire.encode("accounting", ROW, catalog.ids())
PLACE = TopicPartition("metrics.accounting", 3)


class Consumer:
    """One topic of one partition that holds `values`, then the marker of a transaction. Gives `most` at once."""

    values: list[bytes | None]
    most = 5000
    trouble = ""
    silent = False

    def __init__(self, broker: str, client_id: str, isolation_level: str) -> None:
        assert (broker, isolation_level) == ("nowhere:1", "read_committed")
        self._at = 0
        self.closed = False

    def topics(self) -> dict[str, set[int]]:
        return {"metrics.accounting": {3}}

    def assign(self, places: list[Any]) -> None:
        assert places == [PLACE]

    def end_offsets(self, places: list[Any], limit_s: float) -> dict[Any, int]:
        if self.silent:
            raise ProducerError(f"no Kafka broker answers within {limit_s}")
        return dict.fromkeys(places, len(self.values) + 1)

    def position(self, place: Any) -> int:
        return self._at

    def poll(self, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        if self.silent:
            return {}
        first, self._at = self._at, min(self._at + min(self.most, max_records), len(self.values))
        found = [Record(*PLACE, offset, None, self.values[offset], []) for offset in range(first, self._at)]
        if not found:
            self._at = len(self.values) + 1
        return {PLACE: found}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> MetricReader:
    monkeypatch.setattr(subscription, "LogConsumer", Consumer)
    return MetricReader(["accounting"], "nowhere:1")


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the broker answers, look by look; the last stays. Every look at the clock is a second later."""
    there = [False]
    clock = itertools.count()
    monkeypatch.setattr(subscription.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(subscription.embedded, "answers", lambda *_: there.pop(0) if len(there) > 1 else there[0])
    return there


def test_what_a_stranger_wrote_is_passed_over_with_a_line_each(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payment = GOOD[:1] + catalog.ids()["payment"].to_bytes(4, "big") + GOOD[5:]
    length_beyond = GOOD[:5] + b"\xfe\xff\xff\xff\x0f" + GOOD[6:]
    strange = [b"", b"hello", b"noise of kcat", GOOD[:4], GOOD[:9], payment, GOOD + b"\x00", length_beyond]
    monkeypatch.setattr(Consumer, "values", [GOOD, *strange, None, GOOD], raising=False)
    with caplog.at_level(logging.WARNING):
        rows = list(reader.to_end())
    assert [(name, row.folded, row.upto) for name, row in rows] == [("accounting", 6, 9)] * 2
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(strange)
    for offset, line in enumerate(told, 1):
        assert line.startswith(f"metrics.accounting partition 3 offset {offset} is no row of metric accounting")
        assert "\n" not in line
    assert f"schema id {catalog.ids()['payment']}, not {catalog.ids()['accounting']}" in told[5]
    assert "1 bytes behind the row" in told[6]


def test_rows_are_read_once_and_tombstones_are_none(reader: MetricReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "values", [None, GOOD], raising=False)
    assert len(reader.poll()) == 1
    assert reader.poll() == []


def test_a_metric_without_a_topic_is_told_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Consumer] = []

    class Empty(Consumer):
        def topics(self) -> dict[str, set[int]]:
            made.append(self)
            return {"runs": {0}}

    monkeypatch.setattr(subscription, "LogConsumer", Empty)
    with pytest.raises(SubscriptionError, match=r"metric accounting has no topic metrics\.accounting at nowhere:1"):
        MetricReader(["accounting"], "nowhere:1")
    assert [each.closed for each in made] == [True]


@pytest.mark.parametrize("asked", [False, True])
def test_a_broker_that_goes_away_before_the_end_is_told(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, gone: list[bool], asked: bool
) -> None:
    monkeypatch.setattr(Consumer, "values", [GOOD], raising=False)
    rows = reader.to_end()
    if asked:
        next(rows)
    monkeypatch.setattr(Consumer, "silent", True)
    with pytest.raises(SubscriptionError, match="broker at nowhere:1 has not answered for 30 s"):
        list(rows)


def test_one_that_is_back_in_time_is_read_on(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, gone: list[bool]
) -> None:
    monkeypatch.setattr(Consumer, "values", [GOOD, GOOD], raising=False)
    monkeypatch.setattr(Consumer, "most", 1)
    rows = reader.to_end()
    next(rows)
    looks = iter([False] * 5 + [True])

    def look(*_: Any) -> bool:
        Consumer.silent = not next(looks)
        return not Consumer.silent

    monkeypatch.setattr(Consumer, "silent", True)
    monkeypatch.setattr(subscription.embedded, "answers", look)
    assert len(list(rows)) == 1


def test_one_that_answers_and_gives_nothing_is_told_with_what_is_known(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, gone: list[bool]
) -> None:
    monkeypatch.setattr(Consumer, "values", [GOOD], raising=False)
    gone[:] = [True]
    rows = reader.to_end()
    next(rows)
    monkeypatch.setattr(Consumer, "silent", True)
    monkeypatch.setattr(Consumer, "trouble", "not authorized")
    said = r"answers, but has not given metrics\.accounting partition 3 to offset 2 for 60 s \(not authorized\)"
    with pytest.raises(SubscriptionError, match=said):
        list(rows)


def test_following_waits_for_rows_for_ever_but_not_for_a_broker(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, gone: list[bool]
) -> None:
    monkeypatch.setattr(Consumer, "values", [GOOD], raising=False)
    rows = reader.follow()
    next(rows)
    gone[:] = [*[True] * 500, False]
    with pytest.raises(SubscriptionError, match="has not answered"):
        next(rows)
    assert gone == [False]


@pytest.mark.parametrize("silent", [False, True])
def test_a_stop_ends_reading_wherever_it_is(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, gone: list[bool], silent: bool
) -> None:
    """Also where the broker is silent: no row comes then that could look at it."""
    monkeypatch.setattr(Consumer, "values", [GOOD] * 9, raising=False)
    monkeypatch.setattr(Consumer, "most", 1)
    monkeypatch.setattr(Consumer, "silent", silent)
    for read in (reader.to_end, reader.follow):
        stop = threading.Event()

        def look(*_: Any, stop: threading.Event = stop) -> bool:
            stop.set()
            return False

        monkeypatch.setattr(subscription.embedded, "answers", look)
        for _ in read(stop):
            stop.set()
        assert stop.is_set()


def test_a_line_to_read_leaves_out_what_is_nothing_but_not_a_key(
    monkeypatch: pytest.MonkeyPatch, gone: list[bool], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(subscription, "LogConsumer", Consumer)
    gone[:] = [True]
    row = wire.encode("accounting", ROW | {"shard": 0, "missing": 4}, catalog.ids())
    monkeypatch.setattr(Consumer, "values", [row], raising=False)
    chosen = settings(data=tmp_path, broker="nowhere:1")
    watch(chosen, "accounting", once=True, final=False, as_json=False, stop=threading.Event())
    assert capsys.readouterr().out == (
        "topic payments  shard 0  source alipay  received 7  folded 6  duplicate 1  ticks 2  missing 4  upto 9\n"
    )


def test_watch_ends_when_stopped_and_says_when_the_broker_is_gone(
    monkeypatch: pytest.MonkeyPatch, gone: list[bool], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(subscription, "LogConsumer", Consumer)
    monkeypatch.setattr(Consumer, "values", [GOOD], raising=False)
    chosen = settings(data=tmp_path, broker="nowhere:1")
    said: dict[str, Any] = {"once": False, "final": False, "as_json": True}
    gone[:] = [True, False]
    with pytest.raises(SubscriptionError, match="has not answered"):
        watch(chosen, "accounting", stop=threading.Event(), **said)
    assert capsys.readouterr().out.count("\n") == 1
    gone[:] = [True]
    watch(chosen, "accounting", stop=threading.Event(), **{**said, "once": True})
    stopped = threading.Event()
    stopped.set()
    watch(chosen, "accounting", stop=stopped, **said)
    assert capsys.readouterr().out.count("\n") == 1
