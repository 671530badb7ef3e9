"""Transactional calls: what is resumed, what loses the shard, what says that a newer owner is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import confluent_kafka as ck
import pytest

from streams import transaction
from streams.failures import MissingTopicError
from streams.transaction import (
    DroppedError,
    FencedError,
    Partition,
    Reader,
    Record,
    ShardProducer,
    TransactionLostError,
)

RECORDS = [Record("t", 1, b"k", b"v"), Record("u", -1, None, b"w", (("reason", b"x"),))]


def kafka_error(code: int, retriable: bool = False) -> ck.KafkaException:
    return ck.KafkaException(ck.KafkaError(code, "", False, retriable, False))


class Librdkafka:
    """A producer whose calls fail as told: call name to the errors of its next calls."""

    def __init__(self, trouble: dict[str, list[Exception]]) -> None:
        self.trouble, self.calls = trouble, list[Any]()

    def _do(self, name: str, *args: Any) -> None:
        self.calls.append((name, *args))
        if self.trouble.get(name):
            raise self.trouble[name].pop(0)

    def init_transactions(self, timeout: float) -> None:
        self._do("init")

    def begin_transaction(self) -> None:
        self._do("begin")

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, headers: list[Any]) -> None:
        self._do("produce", topic, partition, key, value, headers)

    def poll(self, timeout: float) -> None:
        self._do("poll")

    def commit_transaction(self, timeout: float) -> None:
        self._do("commit")

    def purge(self) -> None:
        self._do("purge")

    def abort_transaction(self, timeout: float) -> None:
        self._do("abort")


Open = Callable[..., tuple[ShardProducer, Librdkafka]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(**trouble: list[Exception]) -> tuple[ShardProducer, Librdkafka]:
        fake = Librdkafka(trouble)
        monkeypatch.setattr("streams.transaction.ck.Producer", lambda *_, **__: fake)
        producer = ShardProducer("nowhere", "id", "name")
        producer.open(lambda: False)
        return producer, fake

    return opened


def test_records_go_in_one_transaction(opened: Open) -> None:
    producer, fake = opened()
    producer.commit(RECORDS, lambda: False)
    assert fake.calls == [
        ("init",),
        ("begin",),
        ("produce", "t", 1, b"k", b"v", []),
        ("produce", "u", -1, None, b"w", [("reason", b"x")]),
        ("commit",),
    ]


def test_retriable_errors_are_resumed(opened: Open) -> None:
    again = [kafka_error(ck.KafkaError._TIMED_OUT, retriable=True)] * 2
    producer, fake = opened(init=list(again), commit=list(again))
    producer.commit(RECORDS, lambda: False)
    assert [name for name, *_ in fake.calls].count("commit") == 3


def test_a_full_queue_waits(opened: Open) -> None:
    producer, fake = opened(produce=[BufferError("full")])
    producer.commit(RECORDS, lambda: False)
    assert [name for name, *_ in fake.calls] == ["init", "begin", "produce", "poll", "produce", "produce", "commit"]


@pytest.mark.parametrize(
    "code",
    [ck.KafkaError._FENCED, ck.KafkaError.PRODUCER_FENCED, ck.KafkaError.INVALID_PRODUCER_EPOCH],
)
@pytest.mark.parametrize("call", ["begin", "produce", "commit"])
def test_a_newer_owner_fences(opened: Open, code: int, call: str) -> None:
    producer, _ = opened(**{call: [kafka_error(code)]})
    with pytest.raises(FencedError):
        producer.commit(RECORDS, lambda: False)


def test_other_errors_lose_the_transaction(opened: Open) -> None:
    producer, _ = opened(commit=[kafka_error(ck.KafkaError.INVALID_TXN_STATE)])
    with pytest.raises(TransactionLostError) as lost:
        producer.commit(RECORDS, lambda: False)
    assert not isinstance(lost.value, FencedError)


@pytest.mark.parametrize(
    "trouble", [{"commit": [kafka_error(ck.KafkaError._TIMED_OUT, True)]}, {"produce": [BufferError()]}]
)
def test_a_dropped_shard_is_not_waited_for(opened: Open, trouble: dict[str, list[Exception]]) -> None:
    producer, _ = opened(**trouble)
    with pytest.raises(DroppedError):
        producer.commit(RECORDS, lambda: True)


def test_closing_tells_when_it_was_fenced(opened: Open) -> None:
    producer, _ = opened(abort=[kafka_error(ck.KafkaError._FENCED)])
    assert isinstance(producer.close(), FencedError)
    assert producer.close() is None
    with pytest.raises(DroppedError):
        producer.commit(RECORDS, lambda: False)


def test_closing_without_a_transaction_is_no_error(opened: Open) -> None:
    producer, fake = opened(abort=[kafka_error(ck.KafkaError._STATE)])
    assert producer.close() is None
    assert ("purge",) in fake.calls


class Message:
    def __init__(self, offset: int, code: int | None = None) -> None:
        self._offset, self._code = offset, code

    def error(self) -> ck.KafkaError | None:
        return None if self._code is None else ck.KafkaError(self._code)

    def offset(self) -> int:
        return self._offset


class Consumer:
    def __init__(self, polls: list[list[Message]], bounds: Any = (0, 10)) -> None:
        self.polls, self.limits = polls, bounds

    def get_watermark_offsets(self, where: Any, timeout: float) -> Any:
        if isinstance(self.limits, Exception):
            raise self.limits
        return self.limits

    def assign(self, where: Any) -> None:
        pass

    unassign = close = lambda self: None

    def consume(self, number: int, timeout: float) -> list[Message]:
        return self.polls.pop(0)


def reader(monkeypatch: pytest.MonkeyPatch, consumer: Consumer) -> Reader:
    monkeypatch.setattr("streams.transaction.ck.Consumer", lambda *_, **__: consumer)
    return Reader("nowhere", "group")


HERE = Partition("t", 0)


def test_a_partition_is_read_to_its_end_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [[Message(0), Message(3)], [], [Message(4), Message(9), Message(10)]]
    with reader(monkeypatch, Consumer(polls)) as reading:
        assert reading.bounds(HERE) == (0, 10)
        found = [message.offset() for batch in reading.read(HERE, 0, 10) for message in batch]
    assert found == [0, 3, 4, 9]


def test_markers_at_the_end_are_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [[Message(8)], [Message(10, ck.KafkaError._PARTITION_EOF)]]
    found = [message.offset() for batch in reader(monkeypatch, Consumer(polls)).read(HERE, 0, 10) for message in batch]
    assert found == [8]


def test_an_empty_range_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(reader(monkeypatch, Consumer([])).read(HERE, 5, 5)) == []


def test_errors_of_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransactionLostError):
        list(reader(monkeypatch, Consumer([[Message(0, ck.KafkaError._TRANSPORT)]])).read(HERE, 0, 1))
    missing = Consumer([], kafka_error(ck.KafkaError._UNKNOWN_PARTITION))
    with pytest.raises(MissingTopicError, match="t/0 does not exist"):
        reader(monkeypatch, missing).bounds(HERE)
    with pytest.raises(TransactionLostError):
        reader(monkeypatch, Consumer([], kafka_error(ck.KafkaError._TRANSPORT))).bounds(HERE)
    monkeypatch.setattr(transaction, "PATIENCE_S", -1.0)
    with pytest.raises(TransactionLostError, match="silent"):
        list(reader(monkeypatch, Consumer([[]])).read(HERE, 0, 1))
