"""Ready record batches: many ticks of encoded rows in one Kafka v2 batch, built without kafka-python.

kafka-python builds a batch record by record, at some 60 microseconds each. Here the encoder's kernel writes the records
section of a whole batch, and `ReadyBatch` gives it the surface of kafka-python's `MemoryRecordsBuilder`, so that its
accumulator and sender carry it like one of their own: metadata, producer id, sequence, in-flight, retry and acks stay
theirs.

The batch layout is https://kafka.apache.org/documentation/#recordbatch.
"""

import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

import crc32c
import lz4.frame
import numpy as np
import numpy.typing as npt

from schemas.encode import Encoder
from schemas.recordbatch import BEHIND_LENGTH, CRC_AT, CRC_FROM, HEADER, LZ4, NONE, TRANSACTIONAL

BATCH_BYTES = 900_000
"""Limit of a batch, header included, compressed or not. The broker's default message.max.bytes is 1 048 588: a batch
above it would be refused for ever."""
LZ4_LEVEL = -8
"""Fast acceleration of lz4. Of payments, 74 bytes plain, it leaves 67% for 112 ns each; -5 leaves 63% for 126 ns,
level 0 55% for 145 ns."""
FIRST_CAPACITY = 1 << 16
SMALL_ROOM = 64
"""Rows: a batch into which fewer than this many more would fit for sure counts as full."""

Columns = Mapping[str, npt.NDArray[Any]]
Done = Callable[[], None]


class Rows:
    """Columns of a block bound to their encoder: checked once, so that the few rows of a tick are cheap to append.

    `Encoder.into` checks its columns on every call, some 40 microseconds; a block of a quiet month is told in 60 calls.
    """

    __slots__ = ("_arguments", "_encoder", "bound", "slack")

    def __init__(self, encoder: Encoder, columns: Columns, rows: int) -> None:
        """The first `rows` rows of the columns. Raises schemas.errors.EncodeError for columns that do not fit."""
        self._encoder = encoder
        self._arguments = encoder._arguments(columns, 0, rows)
        self.slack = encoder.size_bound(0)
        self.bound = encoder.size_bound(1) - self.slack

    def into(self, buf: npt.NDArray[np.uint8], pos: int, lo: int, hi: int, delta: int) -> int:
        """Write rows lo..hi from pos, where bound bytes a row and slack behind them must be free; the new position."""
        return self._encoder._run(buf, pos, self._arguments, lo, hi, delta, True)


class ReadyBatch:
    """One finished records section with the surface of `kafka.record.memory_records.MemoryRecordsBuilder`.

    The header and its CRC are written by `close`, when the sender has assigned producer id, epoch and sequence.
    `buffer` holds the batch from then on. The record timestamp is `timestamp_ms`, wall time, for every record:
    event time lives in the value, since retention and the broker's producer state go by record timestamps.
    """

    __slots__ = ("__weakref__", "_attributes", "_buffer", "_closed", "_count", "_plain", "_state", "_timestamp_ms")

    def __init__(self, buffer: bytearray, count: int, timestamp_ms: int, codec: int, plain_bytes: int) -> None:
        if count < 1:
            raise ValueError("a batch holds at least one record")
        self._buffer = buffer
        self._count = count
        self._timestamp_ms = timestamp_ms
        self._attributes = codec
        self._plain = plain_bytes
        self._state = (-1, -1, -1)
        self._closed = False

    def append(self, timestamp: int, key: bytes | None, value: bytes | None, headers: object = None) -> None:
        """Always full: `KafkaProducer.send` to the same partition opens a batch of its own behind this one."""

    def set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int, is_transactional: bool
    ) -> None:
        """Called by the accumulator when it drains the batch for the first time.

        Raises RuntimeError on a closed batch: a retry must keep the state it was first sent with.
        """
        if self._closed:
            raise RuntimeError("the producer state of a closed batch cannot change")
        self._state = (producer_id, producer_epoch, base_sequence)
        if is_transactional:
            self._attributes |= TRANSACTIONAL

    @property
    def producer_id(self) -> int:
        return self._state[0]

    @property
    def producer_epoch(self) -> int:
        return self._state[1]

    @property
    def base_sequence(self) -> int:
        return self._state[2]

    def close(self) -> None:
        """Write header and CRC, once; further calls do nothing."""
        if self._closed:
            return
        buffer = self._buffer
        HEADER.pack_into(
            buffer, 0, 0, len(buffer) - BEHIND_LENGTH, 0, 2, 0, self._attributes, self._count - 1,
            self._timestamp_ms, self._timestamp_ms, *self._state, self._count,
        )  # fmt: skip
        struct.pack_into(">I", buffer, CRC_AT, crc32c.crc32c(memoryview(buffer)[CRC_FROM:]))
        self._closed = True

    def size_in_bytes(self) -> int:
        return len(self._buffer)

    def compression_rate(self) -> float:
        return (len(self._buffer) - HEADER.size) / self._plain

    def is_full(self) -> bool:
        return True

    def next_offset(self) -> int:
        """Offset after the last record, counted from the batch's first: its number of records."""
        return self._count

    def buffer(self) -> bytearray:
        if not self._closed:
            raise RuntimeError("the batch is not closed yet")
        return self._buffer


class BatchBuilder:
    """Fills one batch after another from encoder output. Not thread-safe; one per (source, topic, shard)."""

    def __init__(self, codec: int = LZ4, limit: int = BATCH_BYTES) -> None:
        if codec not in (NONE, LZ4):
            raise ValueError(f"codec {codec}: only none (0) and lz4 (3) are written")
        self._codec = codec
        self._limit = limit
        self._buffer: npt.NDArray[np.uint8] = np.empty(min(limit, FIRST_CAPACITY), np.uint8)
        self._position = HEADER.size
        self._count = 0

    def __len__(self) -> int:
        """Records held and not yet sealed."""
        return self._count

    def append(self, rows: Rows, lo: int, hi: int) -> int:
        """Append rows lo..hi until the batch is full; the first row that was not taken (hi when all were).

        Nothing was taken when the result is lo: seal first. Raises ValueError when one row alone may pass the limit.
        """
        bound = rows.bound
        if HEADER.size + bound > self._limit:
            raise ValueError(f"one record may take {bound} bytes, over the batch limit of {self._limit}")
        while lo < hi:
            room = (self._limit - self._position) // bound
            if self._count and room < min(hi - lo, SMALL_ROOM):
                break
            stop = lo + min(hi - lo, room)
            self._reserve((stop - lo) * bound + rows.slack)
            self._position = rows.into(self._buffer, self._position, lo, stop, self._count)
            self._count += stop - lo
            lo = stop
        return lo

    def _reserve(self, room: int) -> None:
        needed = self._position + room
        if needed > len(self._buffer):
            grown = np.empty(max(needed, min(self._limit, 2 * len(self._buffer))), np.uint8)
            grown[: self._position] = self._buffer[: self._position]
            self._buffer = grown

    def seal(self, timestamp_ms: int | None = None) -> ReadyBatch:
        """The records so far as a batch, stamped with wall time; the builder is empty again.

        lz4 blocks are unlinked (Kafka's readers know no other) and kept only if smaller than the plain records.
        """
        timestamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        filled = memoryview(self._buffer)[: self._position]  # type: ignore[arg-type]
        plain = len(filled) - HEADER.size
        codec = self._codec
        buffer = None
        if codec == LZ4:
            packed = lz4.frame.compress(filled[HEADER.size :], compression_level=LZ4_LEVEL, block_linked=False)
            if len(packed) < plain:
                buffer = bytearray(HEADER.size + len(packed))
                buffer[HEADER.size :] = packed
        if buffer is None:
            codec = NONE
            buffer = bytearray(filled)
        batch = ReadyBatch(buffer, self._count, timestamp_ms, codec, plain)
        self._position = HEADER.size
        self._count = 0
        return batch
