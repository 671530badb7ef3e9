"""The oracle's reader on a real broker: committed records only, in order, and it knows where a partition ends."""

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from jinliu.oracle.found import newest
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
