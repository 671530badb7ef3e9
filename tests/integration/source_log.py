"""What a run of the test world must leave in the log, and what it did leave: key and datum by sequence."""

import threading
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from producers.clock import Clock
from producers.options import Options
from producers.policies import Decision
from producers.progress import OnProgress
from producers.run import Summary, produce
from schemas import catalog, wire
from schemas.encode import Encoder
from schemas.errors import WireError
from tests.unit.producers import fake_world
from tests.unit.producers.fake_world import BANKS, INSTITUTIONS, ROSTER, Build, Generator

HEADER = 5  # bytes: zero and schema id
WORDS = {"payer_bank": BANKS, "payee_bank": BANKS, "institution": INSTITUTIONS, "source": ROSTER}
BASE = 20
"""Events a tick, about, of the test world's generators."""
NOISE = -1
"""payment_id of an alien record."""
TOPICS = {"payments": ("payment", "payer_id"), "operations": ("operation", "institution")}


def options(broker: str, **given: Any) -> Options:
    """Options of a run under a prefix of its own."""
    return fake_world.options(broker, **({"prefix": f"source-{uuid.uuid4().hex[:8]}."} | given))


def make_topics(run: Options, *, settings: dict[str, str] | None = None, without: Sequence[str] = ()) -> None:
    """The topics of a source, with `settings` for the event topics."""
    shards = run.topology.scale.shards
    wanted = {"runs": 1, "policies": 1, "payments": shards, "operations": shards}
    admin = KafkaAdminClient(bootstrap_servers=run.broker)
    try:
        admin.create_topics(
            [
                NewTopic(
                    name=run.topic(name), num_partitions=count, replication_factor=1,
                    topic_configs=settings if settings and count > 1 else {},
                )
                for name, count in wanted.items()
                if name not in without
            ]
        )  # fmt: skip
    finally:
        admin.close()


def records(run: Options, topic: str, partition: int = 0) -> list[Any]:
    """Every record of a partition, in log order."""
    place = TopicPartition(run.topic(topic), partition)
    consumer = KafkaConsumer(bootstrap_servers=run.broker, group_id=None, auto_offset_reset="earliest")
    try:
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        found: list[Any] = []
        while consumer.position(place) < end:
            found += consumer.poll(timeout_ms=500).get(place, [])
        return found
    finally:
        consumer.close()


def told(run: Options, topic: str, shard: int) -> dict[str, bytes]:
    """Key and datum of what each source told, concatenated in log order; records of others are passed over."""
    found: dict[str, bytes] = dict.fromkeys(run.topology.roster(topic), b"")
    for record in records(run, topic, shard):
        try:
            _, value = wire.decode(record.value)
        except WireError:  # noise that a test put there
            continue
        if value.get("payment_id") != NOISE:
            found[value["source"]] += record.key + record.value[HEADER:]
    return found


def wanted(run: Options, source: str, topic: str, shard: int, levers: Sequence[Decision] = ()) -> bytes:
    """Key and datum of the whole sequence: OPEN, the events of each tick and its tick, CLOSE."""
    ids, world = catalog.ids(), run.topology
    record, key = TOPICS[topic]
    words = {**WORDS, "run": (run.run_id,)}
    events = Encoder(record, ids[record], words, key)
    ticks = Encoder("tick", ids["tick"], words, "source")
    block = Generator(world, source, BASE, tuple(levers)).block(topic, shard, 0, run.ticks, 1)  # type: ignore[arg-type]
    ends = np.cumsum(block.counts).tolist()

    def control(kind: int, seq: int, at_ms: int) -> bytes:
        row = {name: values[:1].copy() for name, values in block.ticks.items()}
        fixed = {"kind": kind, "seq": seq, "tick_start": at_ms, "tick_end": at_ms, "events": 0, "amount_fen": 0}
        for name, value in (fixed | {"run": 0, "run?": True}).items():
            row[name][:] = value
        return ticks.bare(row, 0, 1)

    rows = [control(0, 0, run.start_ms)]
    for number, end in enumerate(ends):
        rows.append(events.bare(block.events, end - int(block.counts[number]), end))
        rows.append(ticks.bare(block.ticks, number, number + 1))
    rows.append(control(2, 1 + ends[-1] + len(ends), run.end_ms))
    return b"".join(rows)


def assert_whole(run: Options, levers: Sequence[Decision] = ()) -> None:
    """Every sequence of the roster is in the log, once and in order."""
    for topic in TOPICS:
        for shard in range(run.topology.scale.shards):
            found = told(run, topic, shard)
            for source in run.topology.roster(topic):
                assert found[source] == wanted(run, source, topic, shard, levers), f"{source}/{topic}/{shard}"


class Ticking:
    """A clock in a thread of its own."""

    def __init__(self, run: Options, speed: float | None = None) -> None:
        self.stop = threading.Event()
        self._clock = threading.Thread(target=Clock(run, speed).run, args=(self.stop,))

    def __enter__(self) -> "Ticking":
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._clock.join()


def tell(run: Options, on_progress: OnProgress | None = None, stop: threading.Event | None = None) -> Summary:
    """`produce` with the test world's generators."""
    return produce(run, on_progress, stop, Build(BASE))
