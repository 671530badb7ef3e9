"""Reading topics record by record: what librdkafka gives, what it stumbles over, and a broker that is not there."""

import logging
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import pytest
from kafka.structs import TopicPartition

from producers import logs
from producers.errors import ProducerError, TopicMissingError
from producers.logs import Entry, LogConsumer, TopicReader
from schemas import catalog, wire
from schemas.errors import CorruptBatch

PLACE = TopicPartition("runs", 0)
POLICY = {"lever": "route", "value": "1", "effective_from": 5, "origin": "LIVE"}
GOOD = wire.encode("policy", POLICY, catalog.ids())


class Message:
    """A record of `runs`, or an error."""

    def __init__(self, offset: int, value: bytes | None = GOOD, error: int | None = None, headers: Any = None) -> None:
        self._offset, self._value, self._headers = offset, value, headers
        self._error = None if error is None else ck.KafkaError(error)

    def topic(self) -> str:
        return PLACE.topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> ck.KafkaError | None:
        return self._error

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


class Consumer:
    """confluent_kafka's, of a topic `runs` with one partition that ends at `end`."""

    end = 0
    silent: list[ck.KafkaException]
    faults: list[Any] | None = None
    partitions = (0,)

    def __init__(self, config: dict[str, Any], logger: logging.Logger) -> None:
        assert not logger.isEnabledFor(logging.CRITICAL)
        self.config = config
        self.waiting: list[Message] = []
        self.calls: list[Any] = []
        self.closed = False

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        if self.silent:
            raise self.silent.pop()
        there = SimpleNamespace(error=None, partitions=dict.fromkeys(self.partitions))
        absent = SimpleNamespace(error=ck.KafkaError(ck.KafkaError.UNKNOWN_TOPIC_OR_PART), partitions={})
        return SimpleNamespace(topics={"runs": there, "gone": absent})

    def offsets_for_times(self, places: list[ck.TopicPartition], timeout: float) -> list[Any]:
        if self.silent:
            raise self.silent.pop()
        assert [place.offset for place in places] == [ck.OFFSET_END]
        return [SimpleNamespace(topic="runs", partition=0, offset=self.end, error=self.faults and self.faults.pop())]

    def assign(self, places: list[ck.TopicPartition]) -> None:
        self.calls.append(("assign", [(place.topic, place.partition, place.offset) for place in places]))

    def seek(self, place: ck.TopicPartition) -> None:
        self.calls.append(("seek", place.offset))

    def poll(self, timeout: float) -> Message | None:
        self.calls.append(("poll", timeout))
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, most: int, timeout: float) -> list[Message]:
        assert timeout == 0.0, "it would wait out its time"
        given, self.waiting = self.waiting[:most], self.waiting[most:]
        return given

    def close(self) -> None:
        self.closed = True


class Batches:
    """What BatchLog says of the batch at an offset: that it ends at `last`."""

    last: int | Exception = 0

    def __init__(self, broker: str, client_id: str) -> None:
        assert broker == "nowhere"

    def partitions(self, topic: str) -> int:
        return 1

    def batches(self, topic: str, partition: int, first: int, stop: int) -> Any:
        if isinstance(self.last, Exception):
            raise self.last
        assert stop == first + 1
        yield SimpleNamespace(last_offset=self.last)

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def librdkafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs.ck, "Consumer", Consumer)
    monkeypatch.setattr(logs, "BatchLog", Batches)
    monkeypatch.setattr(Consumer, "silent", [], raising=False)


def consumer(*waiting: Message) -> tuple[LogConsumer, Consumer]:
    made = LogConsumer("nowhere", "me")
    made.assign([PLACE])
    fake: Any = made._consumer
    fake.waiting += waiting
    return made, fake


def error(code: int) -> ck.KafkaException:
    return ck.KafkaException(ck.KafkaError(code))


def test_nothing_is_fetched_before_the_first_poll_and_only_what_is_there_is_taken_without_waiting() -> None:
    made, fake = consumer(Message(0), Message(1))
    assert made.end_offsets([PLACE]) == {PLACE: 0}
    assert fake.calls == []
    assert [record.offset for record in made.poll()[PLACE]] == [0, 1]
    assert fake.calls == [("assign", [("runs", 0, 0)])]
    assert (made.position(PLACE), made.poll()) == (2, {})
    assert len(fake.calls) == 1


def test_a_poll_waits_for_the_first_and_takes_what_came_with_it() -> None:
    made, fake = consumer(Message(0), Message(1))
    assert [record.offset for record in made.poll(200, max_records=1)[PLACE]] == [0, 1]
    assert made.poll(50) == {}
    assert fake.calls[1:] == [("poll", 0.2), ("poll", 0.05)]


def test_the_end_is_reached_behind_marks_of_transactions() -> None:
    made, _ = consumer(Message(0), Message(2, error=ck.KafkaError._PARTITION_EOF))
    assert len(made.poll()[PLACE]) == 1
    assert made.position(PLACE) == 2


def test_isolation_is_as_asked_and_no_topic_is_made() -> None:
    config = consumer()[1].config
    assert (config["isolation.level"], config["allow.auto.create.topics"]) == ("read_uncommitted", False)
    committed: Any = LogConsumer("nowhere", "me", "read_committed")._consumer
    assert committed.config["isolation.level"] == "read_committed"


@pytest.mark.parametrize("raised", [SystemError("with an exception set"), UnicodeDecodeError("utf-8", b"", 0, 1, "")])
def test_a_header_name_that_is_not_utf8_is_no_header(raised: Exception) -> None:
    made, _ = consumer(Message(0, headers=raised), Message(1, headers=[("a", None)]), Message(2))
    assert [record.headers for record in made.poll()[PLACE]] == [[], [("a", None)], []]


def test_a_batch_that_cannot_be_unpacked_is_passed_over_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Batches, "last", 7)
    stumble = Message(3, error=ck.KafkaError._BAD_COMPRESSION)
    made, fake = consumer(Message(2), stumble, stumble)
    assert [record.offset for record in made.poll()[PLACE]] == [2]
    assert made.position(PLACE) == 8
    assert fake.calls[1:] == [("seek", 8)], "once, though it is told twice"
    assert "runs partition 0: offsets 3 to 7 are passed over" in caplog.text
    fake.waiting.append(Message(8))
    assert [record.offset for record in made.poll()[PLACE]] == [8]
    assert made.trouble == ""


def test_where_a_batch_ends_may_be_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for failed in (ProducerError("away"), CorruptBatch("noise")):
        monkeypatch.setattr(Batches, "last", failed)
        made, fake = consumer(Message(0, error=ck.KafkaError._BAD_MSG))
        assert made.poll() == {}
        assert (made.position(PLACE), fake.calls[1:]) == (0, [])
        assert str(failed) in caplog.text


def test_other_errors_stop_nothing_and_are_kept_for_who_waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    made, fake = consumer(Message(0, error=ck.KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert made.poll() == {}
    assert (made.position(PLACE), fake.calls[1:]) == (0, [])
    assert "authorization" in made.trouble.lower()


def test_a_broker_may_take_its_time_to_answer_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    away = ck.KafkaError._TRANSPORT
    monkeypatch.setattr(Consumer, "silent", [error(away), error(away)])
    assert consumer()[0].partitions_for_topic("runs") == {0}
    monkeypatch.setattr(Consumer, "silent", [error(away)])
    with pytest.raises(ProducerError, match="no Kafka broker answers at nowhere: "):
        consumer()[0].end_offsets([PLACE], limit_s=0.0)
    monkeypatch.setattr(Consumer, "silent", [error(ck.KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(ProducerError, match="the Kafka broker refuses what it is asked at nowhere: "):
        consumer()[0].topics()


def test_an_end_is_asked_for_again_while_its_partition_has_no_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "end", 7)
    monkeypatch.setattr(Consumer, "faults", [None, ck.KafkaError(ck.KafkaError.LEADER_NOT_AVAILABLE)])
    assert consumer()[0].end_offsets([PLACE]) == {PLACE: 7}
    monkeypatch.setattr(Consumer, "faults", [ck.KafkaError(ck.KafkaError.UNKNOWN_TOPIC_OR_PART)])
    with pytest.raises(ProducerError, match=r"nowhere: .*Unknown topic"):
        consumer()[0].end_offsets([PLACE], limit_s=0.0)


def test_topics_that_are_not_there_are_none() -> None:
    made, _ = consumer()
    assert made.topics() == {"runs": {0}}
    assert made.partitions_for_topic("gone") is None


def test_a_reader_gives_what_it_can_read_up_to_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Consumer, "end", 3)
    with TopicReader("nowhere", "runs", catalog.ids(), "me") as reader:
        fake: Any = reader._consumer._consumer
        fake.waiting += [Message(0, b"junk"), Message(1), Message(2, None), Message(3)]
        assert reader.read_to_end() == [
            Entry(b"k", 1, "policy", POLICY), Entry(b"k", 2, None, None), Entry(b"k", 3, "policy", POLICY)
        ]  # fmt: skip
    assert "record 0 of runs is passed over" in caplog.text
    assert fake.closed


def test_a_reader_says_why_it_did_not_come_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "end", 3)
    monkeypatch.setattr(logs, "READ_S", 0.0)
    with TopicReader("nowhere", "runs", catalog.ids(), "me") as reader:
        fake: Any = reader._consumer._consumer
        fake.waiting.append(Message(0, error=ck.KafkaError.TOPIC_AUTHORIZATION_FAILED))
        with pytest.raises(ProducerError, match=r"runs could not be read to offset 3 within 0 s: .*uthorization"):
            reader.read_to_end()


def test_a_reader_wants_a_topic_of_one_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Consumer] = []

    class Wide(Consumer):
        partitions = (0, 1)

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(logs.ck, "Consumer", Wide)
    monkeypatch.setattr(logs, "METADATA_S", 0.0)
    with pytest.raises(TopicMissingError, match="topic runs has 2 partitions"):
        TopicReader("nowhere", "runs", catalog.ids(), "me")
    with pytest.raises(TopicMissingError, match="topic gone is not there"):
        TopicReader("nowhere", "gone", catalog.ids(), "me")
    assert [each.closed for each in made] == [True, True]
