"""The fetch seam: one chunk of columns per fetched partition instead of one message per record.

aiokafka's fetcher builds `MemoryRecords` and `PartitionRecords` from the bytes of a fetch response; `install` puts
two stand-ins in their place. A topic with a decoder yields one `Chunk` of decoded rows per fetch, a topic registered
as raw one `Chunk` of (offset, key, value) triples, any other topic its records one by one as before. The seam is
private: the version is checked here and the contract test names every attribute used.

Aborted and control batches are skipped under read_committed but covered by `first..last`, so that the chunks of a
partition are contiguous.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import aiokafka.consumer.fetcher as aiokafka_fetcher

from schemas import recordbatch
from schemas.errors import CorruptBatch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from schemas.decode import Rows
    from schemas.recordbatch import RawBatch

AIOKAFKA_VERSION = "0.14.0"

_BATCH_HEADER_BYTES = 61
_BATCH_LENGTH = struct.Struct(">i")
_BATCH_LENGTH_AT = 8
_BATCH_LENGTH_FROM = 12

StockMemoryRecords: Any = aiokafka_fetcher.MemoryRecords
StockPartitionRecords: Any = aiokafka_fetcher.PartitionRecords


class RowsDecoder(Protocol):
    """Decodes the batches of one fetch; `schemas.decode.Decoder` is one."""

    def decode(self, batches: Iterable[RawBatch], start_offset: int) -> Rows: ...


@dataclass(slots=True, eq=False)
class Chunk:
    """What one fetch brought from one partition: the value of one Faust event.

    Attributes:
        topic, partition: where it came from.
        first, last: offsets covered, inclusive; wider than the rows where batches were aborted or control batches.
        rows: decoded columns (event topics), else None.
        records: (offset, key, value) of committed records (raw topics), else empty.
        wall_ms: greatest record timestamp, UTC milliseconds; 0 when the chunk holds no record.
        nbytes: size of the fetched bytes.
        owner: the shard that owned the partition when the chunk was delivered (stamped by the consumer), or None.
    """

    topic: str
    partition: int
    first: int
    last: int
    nbytes: int
    wall_ms: int = 0
    rows: Rows | None = None
    records: list[tuple[int, bytes | None, bytes | None]] = field(default_factory=list)
    owner: Any = None


class Registry:
    """Which topics are read in chunks, and how. One per process, since the seam is a module of aiokafka."""

    def __init__(self) -> None:
        self.decoders: dict[str, RowsDecoder] = {}
        self.raw: frozenset[str] = frozenset()

    def chunked(self, topic: str) -> bool:
        """Whether the topic is delivered in chunks."""
        return topic in self.decoders or topic in self.raw


registry = Registry()


class SeamMovedError(RuntimeError):
    """The installed aiokafka is not the version this seam was written against."""


def install(decoders: Mapping[str, RowsDecoder], raw: Collection[str]) -> None:
    """Read `decoders`' topics as columns and `raw` topics as packed records from now on, in this process.

    Raises:
        SeamMovedError: aiokafka is not at the pinned version.
    """
    if version("aiokafka") != AIOKAFKA_VERSION:
        raise SeamMovedError(f"streams.fetch needs aiokafka {AIOKAFKA_VERSION}, found {version('aiokafka')}: pin it")
    registry.decoders = dict(decoders)
    registry.raw = frozenset(raw)
    aiokafka_fetcher.MemoryRecords = FetchedBytes
    aiokafka_fetcher.PartitionRecords = ChunkRecords


class FetchedBytes:
    """Stand-in for aiokafka's MemoryRecords that keeps the bytes; parsed in `ChunkRecords`, which knows the topic."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def size_in_bytes(self) -> int:
        return len(self.data)

    def has_next(self) -> bool:
        """Whether at least one whole batch is there."""
        data = self.data
        if len(data) < _BATCH_HEADER_BYTES:
            return False
        length: int = _BATCH_LENGTH.unpack_from(data, _BATCH_LENGTH_AT)[0]
        return len(data) >= _BATCH_LENGTH_FROM + length


class ChunkRecords(StockPartitionRecords):  # type: ignore[misc]
    """Yields one chunk where aiokafka would yield the records of a fetch one by one."""

    next_fetch_offset: int
    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        data: bytes = self._records.data
        topic: str = self._tp.topic
        decoder = registry.decoders.get(topic)
        if decoder is not None:
            yield from self._decoded(data, decoder)
            return
        self._records = StockMemoryRecords(data)
        if topic in registry.raw:
            yield from self._packed(len(data))
        else:
            yield from super()._unpack_records()

    def _decoded(self, data: bytes, decoder: RowsDecoder) -> Iterator[Chunk]:
        first: int = self.next_fetch_offset
        try:
            batches = self._committed(recordbatch.split(data))
        except CorruptBatch as error:
            raise CorruptBatch(f"{self._tp.topic}/{self._tp.partition}: {error}") from error
        if self.next_fetch_offset == first:
            return
        rows = decoder.decode(batches, first)
        wall_ms = max((batch.max_ts for batch in batches), default=0)
        last = self.next_fetch_offset - 1
        yield Chunk(self._tp.topic, self._tp.partition, first, last, len(data), wall_ms, rows)

    def _packed(self, nbytes: int) -> Iterator[Chunk]:
        first: int = self.next_fetch_offset
        records = []
        wall_ms = 0
        for record in super()._unpack_records():
            records.append((record.offset, record.key, record.value))
            wall_ms = max(wall_ms, record.timestamp)
        if self.next_fetch_offset > first:
            last = self.next_fetch_offset - 1
            yield Chunk(self._tp.topic, self._tp.partition, first, last, nbytes, wall_ms, None, records)

    def _committed(self, batches: Iterable[RawBatch]) -> list[RawBatch]:
        """The data batches to decode; moves `next_fetch_offset` behind the last whole batch of either kind."""
        kept = []
        read_committed = self._isolation_level == aiokafka_fetcher.READ_COMMITTED
        for batch in batches:
            aborted = False
            if read_committed and batch.producer_id >= 0:
                self._consume_aborted_up_to(batch.base_offset)
                if batch.is_control:
                    if batch.is_abort:
                        self._aborted_producers.discard(batch.producer_id)
                elif batch.is_transactional:
                    aborted = batch.producer_id in self._aborted_producers
            if not batch.is_control and not aborted and batch.last_offset >= self.next_fetch_offset:
                kept.append(batch)
            self.next_fetch_offset = max(self.next_fetch_offset, batch.last_offset + 1)
        return kept
