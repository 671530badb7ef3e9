"""Raw topics by librdkafka: another client, another path than the engine's.

A `Log` gives the committed records of a partition in order; `KafkaLog` reads a broker, tests read lists.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from jinliu.oracle.errors import OracleError

CONSUME = 10_000
CHUNK = 100_000
"""Records handed on at once: bulk decoding is three times as fast per record at 50 000 as at 1 000."""
TIMEOUT_S = 30.0
PATIENCE = 300
"""Empty polls of 0.1 s after which a partition that should hold more is given up."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive committed records of one partition. `keys` only where they were asked for."""

    values: list[bytes | None]
    keys: list[bytes | None]


class Log(Protocol):
    """What the oracle needs of a log."""

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> (first offset, last stable offset), empty where there is no such topic."""

    def read(self, topic: str, partition: int, end: int, keys: bool = False) -> Iterator[Chunk]:
        """Committed records of a partition below the offset `end`, in log order."""

    def close(self) -> None:
        """Free what is held."""


def _checked(messages: list[Message], end: int, what: str) -> tuple[list[Message], bool]:
    """The records among `messages` below `end`, and whether the partition has ended there."""
    good = [m for m in messages if m.error() is None]
    done = False
    if len(good) != len(messages):
        for message in messages:
            error = message.error()
            if error is None:
                continue
            if error.name() != "_PARTITION_EOF":
                raise OracleError(f"{what}: {error.str()}")
            done = done or (message.offset() or 0) >= end
    if good and (good[-1].offset() or 0) >= end - 1:
        return [m for m in good if (m.offset() or 0) < end], True
    return good, done


class KafkaLog:
    """A broker's topics under a prefix, read committed. Raises OracleError where the broker does not answer."""

    def __init__(self, broker: str, prefix: str = "") -> None:
        self._prefix = prefix
        self._broker = broker
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": f"jinliu-oracle-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "check.crcs": True,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 32_768,
                "max.partition.fetch.bytes": 8_388_608,
                "allow.auto.create.topics": False,
            }
        )

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> (first offset, last stable offset), empty where there is no such topic."""
        name = self._prefix + topic
        try:
            known = self._consumer.list_topics(name, timeout=TIMEOUT_S).topics[name]
            if known.error is not None:
                return {}
            out = {}
            for partition in sorted(known.partitions):
                low, high = self._consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=TIMEOUT_S)
                out[partition] = (low, high)
        except KafkaException as error:
            raise OracleError(f"no answer about topic {name} from {self._broker}: {error.args[0].str()}") from error
        return out

    def read(self, topic: str, partition: int, end: int, keys: bool = False) -> Iterator[Chunk]:
        """Committed records of a partition below the offset `end`, in log order."""
        name = self._prefix + topic
        first = self.extents(topic)[partition][0]
        if first >= end:
            return
        self._consumer.assign([TopicPartition(name, partition, first)])
        what = f"topic {name}, partition {partition}"
        held: list[Message] = []
        done, idle = False, 0
        try:
            while not done:
                got, done = _checked(self._consumer.consume(CONSUME, 0.1), end, what)
                idle = 0 if got else idle + 1
                if idle > PATIENCE:
                    raise OracleError(f"{what}: the broker gives nothing below offset {end}")
                held += got
                if len(held) >= CHUNK or (done and held):
                    yield Chunk([m.value() for m in held], [m.key() for m in held] if keys else [])
                    held = []
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
