"""The fetch seam: chunks cover what was skipped, hold what was committed, and other topics are read as before."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import aiokafka.consumer.fetcher as fetcher
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from crc32c import crc32c

from schemas.errors import CorruptBatch
from streams import fetch
from streams.fetch import Chunk

ABORTED, COMMITTED = 7, 8
CONTROL = 0x20


@dataclass
class Counted:
    """Stands for decoded rows: what the decoder was given."""

    n: int
    bases: list[int]
    start: int


class CountingDecoder:
    def decode(self, batches: list[object], start_offset: int) -> Counted:
        return Counted(sum(b.count for b in batches), [b.base_offset for b in batches], start_offset)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def seam() -> Iterator[None]:
    stock = fetcher.MemoryRecords, fetcher.PartitionRecords
    before = fetch.registry.decoders, fetch.registry.raw
    fetch.install({"columns": CountingDecoder()}, raw=["packed"])  # type: ignore[dict-item]
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords = stock
    fetch.registry.decoders, fetch.registry.raw = before


def batch(base: int, count: int, producer: int = -1, compression: int = 0) -> bytes:
    """A v2 batch framed by aiokafka itself; transactional when it has a producer."""
    builder = DefaultRecordBatchBuilder(2, compression, int(producer >= 0), producer, 0, 0, 1 << 20)
    for i in range(count):
        builder.append(i, 1_700_000_000_000 + base + i, b"k%d" % (base + i), b"v%d" % (base + i), [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    return bytes(data)


def marker(base: int, producer: int, commit: bool) -> bytes:
    """The control batch that ends a transaction."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1 << 20)
    builder.append(0, 1_700_000_000_000, struct.pack(">hh", 0, int(commit)), b"\0" * 6, [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    data[22] |= CONTROL
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    return bytes(data)


def read(
    topic: str, data: bytes, offset: int = 0, aborted: list[tuple[int, int]] | None = None
) -> tuple[list[object], int]:
    """What aiokafka would hand on of a fetch response, and the offset it would fetch next."""
    records = fetcher.MemoryRecords(data)
    assert records.has_next()
    partition = fetcher.PartitionRecords(
        TopicPartition(topic, 3), records, aborted, offset, None, None, True, fetcher.READ_COMMITTED
    )
    return list(partition), partition.next_fetch_offset


def only(found: list[object]) -> Chunk:
    (chunk,) = found
    assert isinstance(chunk, Chunk)
    return chunk


def test_one_chunk_a_fetch() -> None:
    found, following = read("columns", batch(10, 3) + batch(13, 4), offset=10)
    chunk = only(found)
    assert (chunk.topic, chunk.partition, chunk.first, chunk.last) == ("columns", 3, 10, 16)
    assert chunk.rows.n == 7  # type: ignore[union-attr]
    assert chunk.wall_ms == 1_700_000_000_016
    assert following == 17


def test_aborted_and_control_batches_are_skipped_but_covered() -> None:
    data = (
        batch(0, 2, ABORTED)
        + batch(2, 3, COMMITTED)
        + marker(5, ABORTED, commit=False)
        + marker(6, COMMITTED, commit=True)
        + batch(7, 1, ABORTED)
        + marker(8, ABORTED, commit=True)
    )
    chunk = only(read("columns", data, aborted=[(ABORTED, 0)])[0])
    assert (chunk.first, chunk.last) == (0, 8)
    assert chunk.rows.bases == [2, 7]  # type: ignore[union-attr]


def test_a_fetch_of_skipped_batches_alone_still_moves_the_shard() -> None:
    found, following = read("columns", batch(4, 2, ABORTED) + marker(6, ABORTED, commit=False), 4, [(ABORTED, 4)])
    chunk = only(found)
    assert (chunk.first, chunk.last, chunk.rows.n) == (4, 6, 0)  # type: ignore[union-attr]
    assert following == 7


def test_a_fetch_may_begin_inside_a_batch() -> None:
    chunk = only(read("columns", batch(10, 5), offset=13)[0])
    assert (chunk.first, chunk.last) == (13, 14)
    assert chunk.rows.start == 13  # type: ignore[union-attr]


def test_a_partial_batch_at_the_end_is_left_for_the_next_fetch() -> None:
    found, following = read("columns", batch(0, 2) + batch(2, 2)[:-1])
    assert only(found).last == 1
    assert following == 2


def test_broken_bytes_name_topic_and_partition() -> None:
    data = bytearray(batch(0, 2))
    data[-1] ^= 1
    with pytest.raises(CorruptBatch, match="columns/3"):
        read("columns", bytes(data))


def test_packed_records_come_in_one_chunk() -> None:
    data = (
        batch(0, 2, ABORTED)
        + batch(2, 2, COMMITTED)
        + marker(4, ABORTED, commit=False)
        + marker(5, COMMITTED, commit=True)
    )
    chunk = only(read("packed", data, aborted=[(ABORTED, 0)])[0])
    assert (chunk.first, chunk.last) == (0, 5)
    assert chunk.records == [(2, b"k2", b"v2"), (3, b"k3", b"v3")]
    assert chunk.rows is None


def test_other_topics_are_read_record_by_record() -> None:
    found, following = read("changelog", batch(5, 3), offset=5)
    assert [(record.offset, record.value) for record in found] == [(5, b"v5"), (6, b"v6"), (7, b"v7")]  # type: ignore[attr-defined]
    assert following == 8


def test_less_than_a_batch_is_no_batch() -> None:
    data = batch(0, 2)
    assert not fetch.FetchedBytes(data[:60]).has_next()
    assert not fetch.FetchedBytes(data[:-1]).has_next()
    assert fetch.FetchedBytes(data).has_next()
    assert fetch.FetchedBytes(data).size_in_bytes() == len(data)


def test_contract_with_aiokafka() -> None:
    """Every private name the seam uses; a new version of aiokafka must fail here, loudly."""
    assert version("aiokafka") == fetch.AIOKAFKA_VERSION
    stock = fetch.StockPartitionRecords
    assert list(inspect.signature(stock).parameters) == [
        "tp",
        "records",
        "aborted_transactions",
        "fetch_offset",
        "key_deserializer",
        "value_deserializer",
        "check_crcs",
        "isolation_level",
    ]
    partition = stock(
        TopicPartition("t", 0), fetch.StockMemoryRecords(batch(0, 1)), [], 0, None, None, True, fetcher.READ_COMMITTED
    )
    for name in ("_tp", "_records", "_aborted_producers", "_isolation_level", "next_fetch_offset"):
        assert hasattr(partition, name), name
    for name in ("_unpack_records", "_consume_aborted_up_to"):
        assert callable(getattr(stock, name)), name
    source = inspect.getsource(fetcher.Fetcher)
    assert "MemoryRecords(part_data[-1])" in source
    assert "PartitionRecords(\n" in source


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "AIOKAFKA_VERSION", "0.0")
    with pytest.raises(fetch.SeamMovedError, match=r"0\.0"):
        fetch.install({}, raw=[])
