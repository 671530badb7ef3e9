"""Raw topics by librdkafka: another client, another path than the engine's.

A `Log` gives the committed records of a partition in order; `KafkaLog` reads a broker, tests read lists.
"""

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from jinliu.oracle.errors import OracleError

_quiet = logging.getLogger("jinliu.oracle.librdkafka")
_quiet.setLevel(logging.CRITICAL + 1)  # what matters is raised; librdkafka would print it to stderr as well

CONSUME = 10_000
CHUNK = 100_000
"""Records handed on at once: bulk decoding is three times as fast per record at 50 000 as at 1 000."""
TIMEOUT_S = 30.0
PATIENCE = 300
"""Empty polls of 0.1 s after which a partition that should hold more is given up."""
SETTLE_S, SETTLE_PAUSE_S = 60.0, 0.02
"""How long open transactions are waited for: the broker ends one that was left open within some 20 s."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive committed records of one partition, with their offsets. `keys` only where they were asked for."""

    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: list[int] = field(default_factory=list)


class Log(Protocol):
    """What the oracle needs of a log."""

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> (first offset, last stable offset), empty where there is no such topic."""

    def settled(self, topics: Sequence[str]) -> dict[str, dict[int, int]]:
        """Topic -> partition -> its end at the call, transactions that are open included; returns once these are over.

        A topic that is not there has no partitions.
        """

    def read(self, topic: str, partition: int, end: int, keys: bool = False, first: int = 0) -> Iterator[Chunk]:
        """Committed records of a partition from the offset `first` to below the offset `end`, in log order."""

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
        group = f"jinliu-oracle-{uuid.uuid4().hex}"
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": group,
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
            },
            logger=_quiet,
        )
        self._written = Consumer(  # asked where partitions end with what is not committed, never to read
            {
                "bootstrap.servers": broker,
                "group.id": group,
                "isolation.level": "read_uncommitted",
                "allow.auto.create.topics": False,
            },
            logger=_quiet,
        )

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> (first offset, last stable offset), empty where there is no such topic."""
        name = self._prefix + topic
        return {number: self._bounds(self._consumer, name, number) for number in self._partitions(name)}

    def settled(self, topics: Sequence[str]) -> dict[str, dict[int, int]]:
        """Topic -> partition -> its end at the call, once the transactions that were open then are over.

        Raises OracleError where one stays open for `SETTLE_S`.
        """
        ends = {}
        for topic in topics:
            name = self._prefix + topic
            ends[topic] = {number: self._bounds(self._written, name, number)[1] for number in self._partitions(name)}
        deadline = time.monotonic() + SETTLE_S
        for topic, written in ends.items():
            for number, end in written.items():
                self._await_stable(self._prefix + topic, number, end, deadline)
        return ends

    def _await_stable(self, name: str, number: int, end: int, deadline: float) -> None:
        while (stable := self._bounds(self._consumer, name, number)[1]) < end:
            if time.monotonic() > deadline:
                raise OracleError(
                    f"topic {name}, partition {number}: a transaction has been open at offset {stable} for "
                    f"{SETTLE_S:.0f} s; let its worker end, or the broker end it, and try again"
                )
            time.sleep(SETTLE_PAUSE_S)

    def _partitions(self, name: str) -> list[int]:
        """Of a topic with its prefix, empty where there is none."""
        try:
            known = self._consumer.list_topics(name, timeout=TIMEOUT_S).topics[name]
        except KafkaException as error:
            raise self._silent(name, error) from error
        return [] if known.error is not None else sorted(known.partitions)

    def _bounds(self, consumer: Consumer, name: str, number: int) -> tuple[int, int]:
        """First offset and end of a partition, as the consumer's isolation sees it."""
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise self._silent(name, error) from error
        return low, high

    def _silent(self, name: str, error: KafkaException) -> OracleError:
        return OracleError(f"no answer about topic {name} from {self._broker}: {error.args[0].str()}")

    def read(self, topic: str, partition: int, end: int, keys: bool = False, first: int = 0) -> Iterator[Chunk]:
        """Committed records of a partition from the offset `first` to below the offset `end`, in log order."""
        name = self._prefix + topic
        first = max(first, self.extents(topic)[partition][0])
        if first >= end:
            return
        self._consumer.assign([TopicPartition(name, partition, first)])
        what = f"topic {name}, partition {partition} at {self._broker}"
        held: list[Message] = []
        done, idle = False, 0
        try:
            while not done:
                got, done = _checked(self._consumer.consume(CONSUME, 0.1), end, what)
                idle = 0 if got else idle + 1
                if idle > PATIENCE:
                    raise OracleError(f"{what}: nothing comes below offset {end}; is the broker up?")
                held += got
                if len(held) >= CHUNK or (done and held):
                    keys_held = [m.key() for m in held] if keys else []
                    yield Chunk([m.value() for m in held], keys_held, [m.offset() or 0 for m in held])
                    held = []
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._written.close()
