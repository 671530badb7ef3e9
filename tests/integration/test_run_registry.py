"""A run keeps the schema ids it was opened with, on a real broker: whoever has others is refused."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from producers.logs import BatchLog
from producers.runrecord import check_registry, open_run, read_run, unfinished
from schemas import catalog
from schemas.decode import Decoder
from schemas.registry import OtherRegistryError
from streams.deadletters import dead_records
from streams.options import Options as WorkerOptions
from streams.runrecord import wait_for_run
from streams.shard import DeadLetter
from streams.transaction import ShardProducer
from tests.integration.source_log import make_topics, options, records
from tests.unit.schemas.test_registry import url

__all__ = ["url"]


def worker(run: object, registry: str | None) -> WorkerOptions:
    return WorkerOptions(broker=run.broker, topology=run.topology, prefix=run.prefix, registry=registry)  # type: ignore[attr-defined]


def test_a_run_with_a_registry_is_not_gone_on_with_without(broker: str, url: str) -> None:
    run = options(broker, registry=url)
    make_topics(run)
    assert open_run(run) == open_run(run)
    found = read_run(broker, run.prefix, url.replace("127.0.0.1", "localhost"))
    assert found is not None
    assert unfinished(run, catalog.ids(url), found) == found.sources()
    assert wait_for_run(worker(run, url))["run"] == found.id
    bare = options(broker, prefix=run.prefix)
    for attempt in (
        lambda: open_run(bare),
        lambda: check_registry(broker, run.prefix, None),
        lambda: wait_for_run(worker(run, None)),
    ):
        with pytest.raises(OtherRegistryError, match=f"uses the schema registry {url}; .* give --registry {url}"):
            attempt()
    assert len(records(run, "runs")) == 1


def test_a_run_without_a_registry_is_not_gone_on_with_with_one(broker: str, url: str) -> None:
    run = options(broker)
    make_topics(run)
    check_registry(broker, run.prefix, url)  # nothing there yet
    open_run(run)
    with pytest.raises(OtherRegistryError, match=f"uses no schema registry; this command has the registry {url}"):
        open_run(options(broker, prefix=run.prefix, registry=url))
    assert len(records(run, "runs")) == 1


def test_a_dead_letter_keeps_the_headers_of_a_real_record(broker: str) -> None:
    run = options(broker)
    make_topics(run)
    own = [("trace", b"1"), ("reason", b"mine"), ("trace", b"")]
    producer = KafkaProducer(bootstrap_servers=broker, compression_type="gzip")
    producer.send(run.topic("payments"), b"noise", b"key", headers=own, partition=0).get(30)
    producer.close()
    with BatchLog(broker, "test") as log:
        rows = Decoder({"payment": 1}).decode(log.batches(run.topic("payments"), 0, 0, 1))
    key, value, timestamp = rows.raw(0)
    letter = DeadLetter("payments", 0, 0, "undecodable", key, value, timestamp, rows.headers(0))
    shard = ShardProducer(broker, f"{run.prefix}dead", "dead")
    shard.open(lambda: False)
    # The test's topics have no dead letters' topic: any other of one's own will do.
    letters = [each._replace(topic=run.topic("operations")) for each in dead_records(letter, run.topic("payments"))]
    shard.commit(letters, lambda: False)
    shard.close()
    shard.shutdown()
    found = next(record for record in records(run, "operations") if record.value is not None)
    assert (found.key, found.value) == (b"key", b"noise")
    assert found.headers[0] == ("reason", b"undecodable")
    assert found.headers[5:] == [("trace", b"1"), ("original.reason", b"mine"), ("trace", b"")]
