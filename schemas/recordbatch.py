"""Kafka's record batch, format v2: splitting fetched bytes into batches, and framing records into one.

Layout and attributes: Apache Kafka documentation, "Record Batch". The checksum is CRC-32C from `attributes` to the end.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import cramjam
import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from schemas.errors import CorruptBatch

Buffer = bytes | bytearray | memoryview

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
CODEC_MASK, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = HEADER.size
BEHIND_LENGTH, CRC_AT, CRC_FROM = 12, 17, 21
ABORT, COMMIT = 0, 1
MOST_PAYLOAD = 256 << 20  # bytes of one batch, uncompressed: a hostile batch must not fill the memory
_USUAL_RATIO = 12

_XERIAL = bytes([0x82]) + b"SNAPPY\x00"
_XERIAL_HEADER = _XERIAL + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK = 32 * 1024
_EMPTY: npt.NDArray[np.uint8] = np.frombuffer(b"", np.uint8)


class RawBatch:
    """One batch as it lies in the log. Decompression waits for `payload`, so skipped batches cost nothing."""

    __slots__ = (
        "_body",
        "_payload",
        "attributes",
        "base_offset",
        "count",
        "first_ts",
        "last_offset",
        "max_ts",
        "producer_id",
    )

    def __init__(self, header: tuple[int, ...], body: memoryview) -> None:
        self.base_offset, _, _, _, _, self.attributes, last_delta = header[:7]
        self.first_ts, self.max_ts, self.producer_id, _, _, self.count = header[7:]
        self.last_offset = self.base_offset + last_delta
        self._body = body
        self._payload: npt.NDArray[np.uint8] | None = None

    @property
    def codec(self) -> int:
        """NONE, GZIP, SNAPPY, LZ4 or ZSTD; other values are undefined by Kafka."""
        return self.attributes & CODEC_MASK

    @property
    def is_control(self) -> bool:
        """Whether it holds a transaction marker in place of records."""
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_abort(self) -> bool:
        """Whether it is the marker that aborts its producer's transaction."""
        body = self._body  # length, attributes, timestamp, offset, key length; key: int16 version, int16 type
        return self.is_control and len(body) >= 9 and int.from_bytes(body[7:9], "big") == ABORT

    @property
    def size(self) -> int:
        """Bytes of the batch in the log."""
        return HEADER_SIZE + len(self._body)

    @property
    def payload(self) -> npt.NDArray[np.uint8]:
        """The records section, uncompressed, read-only uint8; empty if it cannot be: its records are then bad."""
        if self._payload is None:
            if self.codec == NONE:
                array: npt.NDArray[np.uint8] = np.frombuffer(self._body, np.uint8)
            else:
                array = _decompressed(self.codec, self._body)
            array.flags.writeable = False
            self._payload = array
        return self._payload


def split(data: Buffer) -> Iterator[RawBatch]:
    """The batches of a fetch response's records, in order; a partial batch at the end is ignored.

    Raises CorruptBatch for another format version, an impossible header, or a wrong checksum.
    """
    view = memoryview(data).cast("B")
    position, end = 0, len(view)
    while position + HEADER_SIZE <= end:
        header = HEADER.unpack_from(view, position)
        if header[3] != 2:
            raise CorruptBatch(f"record batch at offset {header[0]} has format {header[3]}; only 2 is read")
        stop = position + BEHIND_LENGTH + header[1]
        if header[1] < HEADER_SIZE - BEHIND_LENGTH or min(header[0], header[6], header[12]) < 0:
            raise CorruptBatch(f"record batch at offset {header[0]} has an impossible header")
        if stop > end:
            return
        if crc32c(view[position + CRC_FROM : stop]) != header[4]:
            raise CorruptBatch(f"record batch at offset {header[0]} fails its checksum")
        yield RawBatch(header, view[position + HEADER_SIZE : stop])
        position = stop


def frame(
    records: Buffer,
    count: int,
    ts_ms: int,
    codec: int = NONE,
    producer_id: int = -1,
    epoch: int = -1,
    sequence: int = -1,
    transactional: bool = False,
) -> bytearray:
    """One batch of `count` encoded records, all with wall time `ts_ms`, offsets from 0 (the broker assigns them).

    Records that do not shrink are sent uncompressed.
    """
    if count < 1:
        raise ValueError(f"a record batch holds at least one record, not {count}")
    view = memoryview(records).cast("B")
    body: Any = view
    if codec != NONE:
        body = _compressed(codec, view)
        if len(body) >= len(view):
            body, codec = view, NONE
    batch = bytearray(HEADER_SIZE + len(body))
    batch[HEADER_SIZE:] = body
    attributes = codec | (TRANSACTIONAL if transactional else 0)
    length = len(batch) - BEHIND_LENGTH
    HEADER.pack_into(
        batch, 0, 0, length, 0, 2, 0, attributes, count - 1, ts_ms, ts_ms, producer_id, epoch, sequence, count
    )
    struct.pack_into(">I", batch, CRC_AT, crc32c(memoryview(batch)[CRC_FROM:]))
    return batch


def _compressed(codec: int, data: memoryview) -> bytes:
    if codec == GZIP:
        return bytes(cramjam.gzip.compress(data))
    if codec == SNAPPY:
        return _xerial_compressed(data)
    if codec == LZ4:
        # Kafka's own reader refuses linked blocks.
        compressor = cramjam.lz4.Compressor(level=0, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))
        return bytes(compressor.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data, 3))
    raise ValueError(f"codec {codec} is none of {CODECS}")


def _decompressed(codec: int, data: memoryview) -> npt.NDArray[np.uint8]:
    """The bytes; none where they are not what the codec writes, or more than MOST_PAYLOAD."""
    module = {GZIP: cramjam.gzip, LZ4: cramjam.lz4, ZSTD: cramjam.zstd}.get(codec)
    try:
        if codec == SNAPPY:
            return np.frombuffer(_snappy_decompressed(data), np.uint8)
        if module is None:
            return _EMPTY
        with contextlib.suppress(cramjam.DecompressionError):  # too small a guess looks like any other failure
            return _decompressed_into(module, data, min(_USUAL_RATIO * len(data) + 65_536, MOST_PAYLOAD))
        return _decompressed_into(module, data, MOST_PAYLOAD)
    except (cramjam.DecompressionError, ValueError, struct.error):
        return _EMPTY


def _decompressed_into(module: Any, data: memoryview, capacity: int) -> npt.NDArray[np.uint8]:
    out = np.empty(capacity, np.uint8)  # pages that stay untouched cost nothing
    size: int = module.decompress_into(data, out)
    return out[:size]


def _xerial_compressed(data: memoryview) -> bytes:
    """Snappy in the framing of snappy-java, which Kafka's own clients write: a header, then int32 size and block."""
    out = bytearray(_XERIAL_HEADER)
    for start in range(0, len(data), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(data[start : start + _XERIAL_BLOCK]))
        out += len(block).to_bytes(4, "big") + block
    return bytes(out)


def _snappy_decompressed(data: memoryview) -> bytes:
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(data, MOST_PAYLOAD)
    out = bytearray()
    position = len(_XERIAL_HEADER)
    while position < len(data):
        (size,) = struct.unpack_from(">i", data, position)
        position += 4
        if size < 0 or position + size > len(data):
            raise ValueError("a snappy block is longer than what is left")
        out += _snappy_block(data[position : position + size], MOST_PAYLOAD - len(out))
        position += size
    return bytes(out)


def _snappy_block(data: memoryview, most: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(data) > most:
        raise ValueError("a snappy block claims too many bytes")
    return bytes(cramjam.snappy.decompress_raw(data))
