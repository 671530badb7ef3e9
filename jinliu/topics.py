"""The topics of a run: names, partitions, settings; created where missing, never changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from schemas.errors import JinliuError
from streams import metrics
from streams.partials import PARTIAL_PARTITIONS
from streams.plan import told

if TYPE_CHECKING:
    from topologies import Topology

VISIBLE_LIMIT_S = 30.0
KEEP = {"retention.ms": "-1", "retention.bytes": "-1", "message.timestamp.type": "CreateTime"}
WIDE = {"max.message.bytes": str(16 << 20)}
"""A dead letter carries a whole record and its headers, a state row a whole window: larger than what came in."""
COMPACT = WIDE | {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "0.5"}


class TopicError(JinliuError):
    """The topics of a run are not as they must be."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic of the run, without prefix. about: what it is for, one line."""

    name: str
    partitions: int
    about: str
    settings: Mapping[str, str] = field(default_factory=lambda: KEEP)


def specs(topology: Topology) -> Iterator[TopicSpec]:
    """Every topic of a run in this topology, in the order of the design's table."""
    shards = topology.scale.shards
    yield TopicSpec("runs", 1, "the run record, and how far each source is")
    yield TopicSpec("policies", 1, "dated decisions and the horizon")
    events = topology.event_topics
    for topic in events:
        yield TopicSpec(topic, shards, "events and ticks")
    for topic in events:
        yield TopicSpec(f"state.{topic}", shards, "the engine's state per shard", COMPACT)
        yield TopicSpec(
            f"{topic}.dead", shards, "what could not be read or was refused, whole, with the reason", KEEP | WIDE
        )
    for metric in told(metrics.load(), events).values():
        if metric.rollups:
            yield TopicSpec(f"partials.{metric.name}", PARTIAL_PARTITIONS, "folds of one window by one shard", COMPACT)
            yield TopicSpec(f"state.partials.{metric.name}", PARTIAL_PARTITIONS, "how far the merge is", COMPACT)
        yield TopicSpec(f"metrics.{metric.name}", 1, "rows of the metric: subscribe to this", COMPACT)
    yield TopicSpec("alerts", 1, "limits crossed")


def _admin(broker: str) -> Any:
    try:
        return KafkaAdminClient(bootstrap_servers=broker, client_id="jinliu-topics")
    except kafka.errors.KafkaError as error:
        raise TopicError(
            f"no Kafka broker answers at {broker}: {error}; is it up, and is the address right?"
        ) from error


def create(broker: str, prefix: str, topology: Topology) -> int:
    """Create the topics that are missing and wait until they are there; returns how many were made.

    Raises
    ------
    TopicError
        When the broker does not answer, or a topic is there with another number of partitions.
    """
    admin = _admin(broker)
    try:
        wanted = {prefix + spec.name: spec for spec in specs(topology)}
        found = _partitions(admin, set(wanted))
        for name, count in found.items():
            if count != wanted[name].partitions:
                raise TopicError(
                    f"topic {name} has {count} partitions, topology {topology.name} wants {wanted[name].partitions}: "
                    "another world's topics; use another --prefix or --data"
                )
        new = [
            NewTopic(name=name, num_partitions=spec.partitions, replication_factor=1, topic_configs=dict(spec.settings))
            for name, spec in wanted.items()
            if name not in found
        ]
        if new:
            _create(admin, new)
        end = time.monotonic() + VISIBLE_LIMIT_S
        while len(_partitions(admin, set(wanted))) < len(wanted):
            if time.monotonic() > end:
                raise TopicError(f"topics made at {broker} are not visible after {VISIBLE_LIMIT_S:.0f} s")
            time.sleep(0.05)
        return len(new)
    finally:
        admin.close()


def _create(admin: Any, new: list[NewTopic]) -> None:
    """Another process may create the same topics at the same time: that is as good."""
    try:
        admin.create_topics(new, timeout_ms=30_000)
    except kafka.errors.TopicAlreadyExistsError:
        for topic in new:
            try:
                admin.create_topics([topic], timeout_ms=30_000)
            except kafka.errors.TopicAlreadyExistsError:
                continue


def _partitions(admin: Any, names: set[str]) -> dict[str, int]:
    """Partition counts of those of the topics that exist."""
    existing = set(admin.list_topics()) & names
    if not existing:
        return {}
    return {
        topic["name"]: len(topic["partitions"])
        for topic in admin.describe_topics(sorted(existing))
        if not topic["error_code"] and topic["partitions"]
    }


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it. records: offsets from first to last, all partitions (control records count)."""

    name: str
    partitions: int
    records: int
    about: str


def states(broker: str, prefix: str, topology: Topology) -> list[TopicState]:
    """The run's topics that exist, with their sizes."""
    try:
        consumer = KafkaConsumer(bootstrap_servers=broker, group_id=None, client_id="jinliu-topics")
    except kafka.errors.KafkaError as error:
        raise TopicError(
            f"no Kafka broker answers at {broker}: {error}; is it up, and is the address right?"
        ) from error
    try:
        there = consumer.topics()
        found = []
        for spec in specs(topology):
            name = prefix + spec.name
            if name not in there:
                continue
            places = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            ends, starts = consumer.end_offsets(places), consumer.beginning_offsets(places)
            found.append(
                TopicState(name, len(places), sum(ends[place] - starts[place] for place in places), spec.about)
            )
        return found
    finally:
        consumer.close()
