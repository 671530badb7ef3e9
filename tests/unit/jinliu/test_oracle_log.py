"""The proof's reader without a broker: what it says when it is gone, and what librdkafka does not say."""

import logging
from typing import Any

import confluent_kafka as ck
import pytest

from jinliu.oracle import OracleError
from jinliu.oracle import log as oracle_log
from jinliu.oracle.log import KafkaLog


class Consumer:
    """Knows of one partition with nine records, and gives what `given` says: nothing, or an error."""

    given: list[Any]

    def __init__(self, config: dict[str, Any], logger: logging.Logger) -> None:
        assert not logger.isEnabledFor(logging.CRITICAL), "librdkafka would flood standard error"
        self.config = config

    def list_topics(self, topic: str, timeout: float) -> Any:
        raise ck.KafkaException(ck.KafkaError(ck.KafkaError._TRANSPORT))

    def assign(self, places: Any) -> None:
        pass

    def unassign(self) -> None:
        pass

    def consume(self, most: int, timeout: float) -> list[Any]:
        return self.given

    def close(self) -> None:
        pass


class Failed:
    def error(self) -> ck.KafkaError:
        return ck.KafkaError(ck.KafkaError._BAD_MSG)


class Record:
    """The record at an offset; control records leave offsets out."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k%d" % self._offset

    def value(self) -> bytes:
        return b"v%d" % self._offset


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    monkeypatch.setattr(oracle_log, "Consumer", Consumer)
    return KafkaLog("kafka:9", "p.")


@pytest.mark.parametrize(
    ("given", "said"), [([], "nothing comes below offset 9; is the broker up?"), ([Failed()], "Bad message format")]
)
def test_the_broker_that_went_away_is_named(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch, given: list[Any], said: str
) -> None:
    monkeypatch.setattr(Consumer, "given", given, raising=False)
    monkeypatch.setattr(log, "extents", lambda _: {0: (0, 9)})
    with pytest.raises(OracleError) as raised:
        list(log.read("runs", 0, 9))
    assert str(raised.value).startswith("topic p.runs, partition 0 at kafka:9: ")
    assert said in str(raised.value)
    log.close()


def test_records_come_with_the_offsets_they_have(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "given", [Record(offset) for offset in (0, 2, 5, 8, 9)], raising=False)
    monkeypatch.setattr(log, "extents", lambda _: {0: (0, 9)})
    (chunk,) = log.read("runs", 0, 9)
    assert (chunk.values, chunk.keys, chunk.offsets) == ([b"v0", b"v2", b"v5", b"v8"], [], [0, 2, 5, 8])


def test_one_that_does_not_answer_at_all_is_named_too(log: KafkaLog) -> None:
    with pytest.raises(OracleError, match=r"no answer about topic p\.runs from kafka:9"):
        log.extents("runs")
