"""`stock-faust` and `stock-faust-batched`: stock Faust on the market-share job, on the same events, checked.

Its topic is a copy with one partition of the first payments of the one-to-one topic, record for record. It does less
than `fold`: two sums over one window in place of five over three windows, and nothing of payment quality or control
totals.
"""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from typing import Any

import confluent_kafka as ck
import fastavro
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from jinliu.bed import Bed, bed, one_to_one
from jinliu.bench.errors import BenchError
from jinliu.bench.figures import counted
from schemas import catalog

TOPIC = "stock-payments"
EVENTS, EVENTS_BATCHED, BATCH = 20_000, 100_000, 1000
SPAN_S = 2
LIMIT_S = 300.0
FETCH = 5000
HEADER_BYTES = 5
WINDOW_MS = 60_000

Result = dict[str, list[int]]


def each(events: int, seconds: int) -> dict[str, Any]:
    """Event by event: `async for event in stream`."""
    return _stock(min(events, EVENTS), 1)


def batched(events: int, seconds: int) -> dict[str, Any]:
    """In batches: `async for events in stream.take(1000, within=1)`."""
    return _stock(min(events, EVENTS_BATCHED) // BATCH * BATCH, BATCH)


def _stock(events: int, batch: int) -> dict[str, Any]:
    with bed(one_to_one(SPAN_S)) as made:
        made.fill()
        truth = copy(made, events)
        found = _run(made, events, batch)
    if found["result"] != truth:
        wrong = sum(found["result"].get(key) != truth.get(key) for key in found["result"].keys() | truth.keys())
        raise BenchError(f"stock Faust found {wrong} of {len(truth)} sums wrong: its figure would mean nothing")
    figures = counted(found["events"], found["cpu_s"], found["wall_s"])
    return figures | {"rss_mb": round(found["rss_mb"]), "batch": batch, "sums_checked": 2 * len(truth)}


def copy(made: Bed, events: int) -> Result:
    """Copy the first payments of all partitions into a topic with one; returns the sums by plain fastavro.

    Keys as in `stock_faust`: window start, channel and scene; values: successful payments and their fen.
    """
    admin = KafkaAdminClient(bootstrap_servers=made.address, client_id="jinliu-bench")
    admin.create_topics([NewTopic(name=TOPIC, num_partitions=1, replication_factor=1)])
    admin.close()
    shards = range(made.settings.world.scale.shards)
    consumer = ck.Consumer({"bootstrap.servers": made.address, "group.id": "jinliu-bench", "enable.auto.commit": False})
    producer = ck.Producer({"bootstrap.servers": made.address, "linger.ms": 20, "compression.type": "lz4"})
    payment = catalog.schema("payment")
    schema, header = fastavro.parse_schema(dict(payment.parsed)), b"\0" + payment.id.to_bytes(4, "big")
    truth: Result = {}
    left = events
    try:
        consumer.assign([ck.TopicPartition("payments", shard, 0) for shard in shards])
        while left:
            messages = consumer.consume(min(FETCH, left), 10.0)
            if not messages:
                raise BenchError(f"the topic of payments holds {left} events too few to copy")
            for message in messages:
                key, value = message.key(), message.value()
                assert value is not None
                if value[:HEADER_BYTES] != header:
                    continue
                left -= 1
                producer.produce(TOPIC, value, key, 0)
                count(truth, fastavro.schemaless_reader(BytesIO(value[HEADER_BYTES:]), schema, None))
            producer.poll(0)
        if producer.flush(60.0):
            raise BenchError("the copy of the payments was not acknowledged within 60 s")
    finally:
        consumer.close()
    return truth


def count(truth: Result, event: Any) -> None:
    """Add a decoded payment to the sums of its minute, channel and scene if it succeeded."""
    if event["outcome"] == "SUCCESS":
        at = round(event["event_time"].timestamp() * 1000)
        cell = truth.setdefault(f"{at // WINDOW_MS * WINDOW_MS}|{event['channel']}|{event['scene']}", [0, 0])
        cell[0] += 1
        cell[1] += event["amount_fen"]


def _run(made: Bed, events: int, batch: int) -> dict[str, Any]:
    """Stock Faust in a process of its own: its last line of output."""
    command = [
        sys.executable, "-m", "jinliu.bench.stock_faust", "--broker", made.address, "--topic", TOPIC,
        "--events", str(events), "--batch", str(batch), "--datadir", str(made.settings.data / "stock"),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace").strip()[-500:]
        raise BenchError(f"stock Faust did not fold {events} events within {LIMIT_S:g} s: {said}") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise BenchError(f"stock Faust ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
