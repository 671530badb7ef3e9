"""Record batches against the builders of kafka-python and aiokafka, every codec, and hostile bytes."""

from __future__ import annotations

import struct
from typing import Any

import aiokafka.codec
import cramjam
import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AioBuilder
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from schemas import recordbatch
from schemas.errors import CorruptBatch
from tests.unit.schemas.reference import record

KEYS = [struct.pack(">q", i * 12_345) for i in range(300)]
VALUES = [b"\x00\x00\x00\x00\x01" + bytes([i % 256]) * (i % 90) for i in range(300)]
RECORDS = b"".join(record(i, KEYS[i], VALUES[i]) for i in range(300))
WALL = 1_700_000_000_123


def kafka_python_batch(pid: int = -1, epoch: int = -1, sequence: int = -1, transactional: bool = False) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=transactional,
        producer_id=pid,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1 << 20,
    )
    for i in range(300):
        assert builder.append(i, WALL, KEYS[i], VALUES[i], []) is not None
    return bytes(builder.build())


def test_a_batch_equals_kafka_pythons() -> None:
    assert bytes(recordbatch.frame(RECORDS, 300, WALL)) == kafka_python_batch()
    framed = recordbatch.frame(bytearray(RECORDS), 300, WALL, recordbatch.NONE, 77, 3, 1_000, True)
    assert bytes(framed) == kafka_python_batch(77, 3, 1_000, True)


def test_a_batch_equals_aiokafkas() -> None:
    builder = AioBuilder(2, 0, 1, 77, 3, 1_000, 1 << 20)
    for i in range(300):
        assert builder.append(i, WALL, KEYS[i], VALUES[i], []) is not None
    framed = recordbatch.frame(RECORDS, 300, WALL, producer_id=77, epoch=3, sequence=1_000, transactional=True)
    theirs = bytes(builder.build())
    assert theirs[12:16] == b"\xff" * 4, "the leader epoch: the broker sets it, and the checksum leaves it out"
    assert bytes(framed) == theirs[:12] + bytes(4) + theirs[16:]


@pytest.mark.parametrize("codec", list(recordbatch.CODECS.values()), ids=list(recordbatch.CODECS))
def test_every_codec_comes_back_and_aiokafka_reads_it(codec: int) -> None:
    framed = recordbatch.frame(RECORDS, 300, WALL, codec, 5, 1, 9)
    (batch,) = recordbatch.split(framed)
    assert (batch.codec, batch.count, batch.last_offset, batch.producer_id) == (codec, 300, 299, 5)
    assert (batch.first_ts, batch.max_ts, batch.is_control, batch.is_transactional) == (WALL, WALL, False, False)
    assert batch.payload.tobytes() == RECORDS
    assert batch.payload.dtype == np.uint8
    assert not batch.payload.flags.writeable
    assert batch.size == len(framed)
    theirs = DefaultRecordBatch(bytes(framed))
    assert theirs.validate_crc()
    assert [(found.key, found.value) for found in theirs] == list(zip(KEYS, VALUES, strict=True))


def test_batches_that_do_not_shrink_are_sent_plain() -> None:
    noise = record(0, None, np.random.default_rng(1).bytes(200))
    for codec in recordbatch.CODECS.values():
        (batch,) = recordbatch.split(recordbatch.frame(noise, 1, WALL, codec))
        assert batch.codec == recordbatch.NONE
        assert batch.payload.tobytes() == noise


def test_lz4_blocks_are_independent() -> None:
    framed = recordbatch.frame(RECORDS * 30, 1, WALL, recordbatch.LZ4)
    assert framed[recordbatch.HEADER_SIZE + 4] & 0x20, "Kafka's reader refuses linked blocks"


@pytest.mark.parametrize(
    ("codec", "compressed"),
    [
        (recordbatch.GZIP, aiokafka.codec.gzip_encode(RECORDS)),
        (recordbatch.SNAPPY, aiokafka.codec.snappy_encode(RECORDS * 9, xerial_blocksize=4_096)),
        (recordbatch.SNAPPY, aiokafka.codec.snappy_encode(RECORDS, xerial_compatible=False)),
        (recordbatch.LZ4, aiokafka.codec.lz4_encode(RECORDS)),
        (recordbatch.LZ4, bytes(cramjam.lz4.compress(RECORDS))),
        (recordbatch.ZSTD, aiokafka.codec.zstd_encode(RECORDS)),
        (recordbatch.ZSTD, aiokafka.codec.zstd_encode(bytes(30 << 20))),
    ],
    ids=["gzip", "xerial snappy", "raw snappy", "lz4", "linked lz4", "zstd", "zstd, 30 MB from 3 KB"],
)
def test_what_other_writers_compress_is_read(codec: int, compressed: bytes) -> None:
    (batch,) = recordbatch.split(with_body(compressed, codec))
    payload = batch.payload.tobytes()
    assert payload in (RECORDS, RECORDS * 9, bytes(30 << 20))


def with_body(body: bytes, attributes: int, count: int = 3, **changes: Any) -> bytes:
    """A batch of any body, the checksum right."""
    values = {"base": 0, "length": 49 + len(body), "magic": 2, "delta": count - 1, **changes}
    batch = bytearray(
        recordbatch.HEADER.pack(
            values["base"],
            values["length"],
            0,
            values["magic"],
            0,
            attributes,
            values["delta"],
            0,
            0,
            -1,
            -1,
            -1,
            count,
        )
        + body
    )
    struct.pack_into(">I", batch, recordbatch.CRC_AT, crc32c(memoryview(batch)[recordbatch.CRC_FROM :]))
    return bytes(batch)


@pytest.mark.parametrize("codec", [1, 2, 3, 4, 5, 6, 7])
def test_what_cannot_be_decompressed_is_an_empty_payload(codec: int) -> None:
    rng = np.random.default_rng(codec)
    xerial = aiokafka.codec.snappy_encode(RECORDS)
    bodies = [b"", b"\x00", rng.bytes(100), xerial[:-5], xerial[:16] + b"\x7f\xff\xff\xff", xerial[:16] + b"\xff" * 4]
    bodies.append(b"\xff\xff\xff\xff\x0f" + b"\x00" * 20)
    for body in bodies:
        (batch,) = recordbatch.split(with_body(body, codec))
        if codec == recordbatch.SNAPPY and body == b"":
            continue
        assert len(batch.payload) == 0 or body == b""


def test_a_batch_that_swells_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordbatch, "MOST_PAYLOAD", 1 << 20)
    swelling = bytes(2 << 20)
    for codec, compressed in (
        (1, aiokafka.codec.gzip_encode(swelling)),
        (2, aiokafka.codec.snappy_encode(swelling)),
        (2, aiokafka.codec.snappy_encode(swelling, xerial_compatible=False)),
        (3, aiokafka.codec.lz4_encode(swelling)),
        (4, aiokafka.codec.zstd_encode(swelling)),
    ):
        (batch,) = recordbatch.split(with_body(compressed, codec))
        assert len(batch.payload) == 0


def test_split_goes_on_batch_by_batch_and_ignores_a_partial_one() -> None:
    one, two = recordbatch.frame(RECORDS, 300, WALL), recordbatch.frame(record(0, b"k", b"v"), 1, WALL)
    for cut in (0, 1, 60, 61, len(two) - 1):
        assert [batch.count for batch in recordbatch.split(bytes(one + two)[: len(one) + cut])] == [300]
    assert [batch.count for batch in recordbatch.split(memoryview(one + two))] == [300, 1]
    assert list(recordbatch.split(b"")) == []


def test_corrupt_batches_are_errors() -> None:
    framed = recordbatch.frame(RECORDS, 300, WALL)
    framed[100] ^= 1
    with pytest.raises(CorruptBatch, match="offset 0 fails its checksum"):
        list(recordbatch.split(framed))
    with pytest.raises(CorruptBatch, match="format 1"):
        list(recordbatch.split(with_body(b"x", 0, magic=1)))
    for changes in ({"length": 48}, {"length": -1}, {"base": -1}, {"delta": -1}):
        with pytest.raises(CorruptBatch, match="impossible header"):
            list(recordbatch.split(with_body(b"x" * 20, 0, **changes)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_split_or_are_corrupt(data: bytes) -> None:
    try:
        for batch in recordbatch.split(data):
            assert batch.size <= len(data)
    except CorruptBatch:
        assert len(data) >= recordbatch.HEADER_SIZE


def test_transaction_markers() -> None:
    for kind, aborts in ((recordbatch.ABORT, True), (recordbatch.COMMIT, False)):
        marker = record(0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))
        (batch,) = recordbatch.split(with_body(marker, recordbatch.CONTROL | recordbatch.TRANSACTIONAL, 1))
        assert batch.is_control
        assert batch.is_transactional
        assert batch.is_abort is aborts


def test_frames_without_records_or_codec_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        recordbatch.frame(b"", 0, WALL)
    with pytest.raises(ValueError, match="codec 9"):
        recordbatch.frame(RECORDS, 300, WALL, 9)
