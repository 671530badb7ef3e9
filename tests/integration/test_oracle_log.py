"""The oracle's reader on a real broker: committed records only, in order, and it knows where a partition ends."""

import threading

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from jinliu.oracle import OracleError
from jinliu.oracle import log as oracle_log
from jinliu.oracle.found import newest, records
from jinliu.oracle.log import KafkaLog


def _create(broker: str, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    made = admin.create_topics([NewTopic(name, 2, 1) for name in names])
    for future in made.values():
        future.result(30)


def _values(log: KafkaLog, topic: str, partition: int) -> list[bytes | None]:
    end = log.extents(topic)[partition][1]
    return [value for chunk in log.read(topic, partition, end) for value in chunk.values]


def test_aborted_transactions_are_skipped_wherever_they_lie(broker: str) -> None:
    _create(broker, "oracle-log.events")
    plain = Producer({"bootstrap.servers": broker})
    for partition in (0, 1):
        for i in range(3):
            plain.produce("oracle-log.events", b"%d" % i, partition=partition)
    plain.flush(30)
    transactional = Producer({"bootstrap.servers": broker, "transactional.id": "oracle-log"})
    transactional.init_transactions(30)
    for commit in (False, True, False):
        transactional.begin_transaction()
        transactional.produce("oracle-log.events", b"committed" if commit else b"aborted", partition=0)
        transactional.flush(30)
        if commit:
            transactional.commit_transaction(30)
        else:
            transactional.abort_transaction(30)
    log = KafkaLog(broker, "oracle-log.")
    try:
        assert _values(log, "events", 0) == [b"0", b"1", b"2", b"committed"]
        assert _values(log, "events", 1) == [b"0", b"1", b"2"]
        assert log.extents("nothing-of-the-kind") == {}
    finally:
        log.close()


def test_what_came_after_the_given_end_is_left_out(broker: str) -> None:
    _create(broker, "oracle-cut.events")
    producer = Producer({"bootstrap.servers": broker})
    for i in range(10):
        producer.produce("oracle-cut.events", b"%d" % i, partition=0)
    producer.flush(30)
    log = KafkaLog(broker, "oracle-cut.")
    try:
        values = [value for chunk in log.read("events", 0, 4) for value in chunk.values]
        assert values == [b"0", b"1", b"2", b"3"]
        assert list(log.read("events", 1, 0)) == []
    finally:
        log.close()


def test_the_newest_value_of_each_key_stands_and_deleted_ones_fall(broker: str) -> None:
    _create(broker, "oracle-newest.rows")
    producer = Producer({"bootstrap.servers": broker})
    for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"1")):
        producer.produce("oracle-newest.rows", value, key=key, partition=1)
    producer.flush(30)
    log = KafkaLog(broker, "oracle-newest.")
    try:
        assert newest(log, "rows") == {b"a": b"2", b"c": b"1"}
    finally:
        log.close()


def test_an_end_is_settled_when_the_transactions_open_then_are_over(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _create(broker, "oracle-open.rows")
    transactional = Producer({"bootstrap.servers": broker, "transactional.id": "oracle-open"})
    transactional.init_transactions(30)
    transactional.begin_transaction()
    transactional.produce("oracle-open.rows", b"1", key=b"a", partition=0)
    transactional.flush(30)
    log = KafkaLog(broker, "oracle-open.")
    try:
        assert log.extents("rows") == {0: (0, 0), 1: (0, 0)}
        with monkeypatch.context() as patched:
            patched.setattr(oracle_log, "SETTLE_S", 0.1)
            with pytest.raises(OracleError, match="transaction has been open at offset 0"):
                log.settled(["rows"])
        found: list[dict[str, dict[int, int]]] = []
        asking = threading.Thread(target=lambda: found.append(log.settled(["rows", "nothing-of-the-kind"])))
        asking.start()
        transactional.commit_transaction(30)
        asking.join(30)
        assert found[0] in [{"rows": {0: end, 1: 0}, "nothing-of-the-kind": {}} for end in (1, 2)]
        assert list(records(log, "rows", found[0]["rows"])) == [(b"a", b"1")]
        assert list(records(log, "rows", found[0]["rows"], {0: 1})) == []
    finally:
        log.close()
