"""Reading metric topics: rows as they are, and what somebody else wrote there."""

from __future__ import annotations

import logging
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import kafka
import pytest

from jinliu import subscription
from jinliu.subscription import MetricReader
from schemas import catalog, wire

ROW = {
    "topic": "payments", "shard": 1, "source": "alipay", "received": 7, "folded": 6, "late": 0, "duplicate": 1,
    "dead": 0, "ticks": 2, "missing": 0, "upto": 9,
}  # fmt: skip


class Consumer:
    """One topic of one partition that holds `values`."""

    values: list[bytes | None]

    def __init__(self, **_: Any) -> None:
        self._at = 0

    def topics(self) -> set[str]:
        return {"metrics.accounting"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {3}

    def assign(self, places: list[Any]) -> None:
        self._places = places

    def seek_to_beginning(self, *places: Any) -> None:
        assert list(places) == self._places

    def end_offsets(self, places: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(places, len(self.values))

    def position(self, place: Any) -> int:
        return self._at

    def poll(self, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        first, self._at = self._at, len(self.values)
        found = defaultdict(list)
        for offset in range(first, self._at):
            place = kafka.TopicPartition("metrics.accounting", 3)
            found[place].append(
                SimpleNamespace(topic=place.topic, partition=3, offset=offset, value=self.values[offset])
            )
        return found

    def close(self) -> None:
        pass


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> MetricReader:
    monkeypatch.setattr(subscription, "KafkaConsumer", Consumer)
    return MetricReader(["accounting"], "nowhere")


def test_what_a_stranger_wrote_is_passed_over_with_a_line_each(
    reader: MetricReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = wire.encode("accounting", ROW, catalog.ids())
    payment = good[:1] + catalog.ids()["payment"].to_bytes(4, "big") + good[5:]
    length_beyond = good[:5] + b"\xfe\xff\xff\xff\x0f" + good[6:]
    strange = [b"", b"hello", b"noise of kcat", good[:4], good[:9], payment, good + b"\x00", length_beyond]
    monkeypatch.setattr(Consumer, "values", [good, *strange, None, good], raising=False)
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
    good = wire.encode("accounting", ROW, catalog.ids())
    monkeypatch.setattr(Consumer, "values", [None, good], raising=False)
    assert len(reader.poll()) == 1
    assert reader.poll() == []
