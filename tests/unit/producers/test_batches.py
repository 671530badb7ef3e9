"""Ready batches: their bytes are kafka-python's, they stay under the limit, and no row is lost between them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from producers.batches import BATCH_BYTES, BatchBuilder, ReadyBatch, Rows
from schemas.encode import Encoder
from schemas.recordbatch import LZ4, NONE, split
from tests.unit.producers.fake_world import BANKS, ROSTER, Generator, World

WALL_MS = 1_700_000_000_123
WORDS = {"source": ROSTER, "payer_bank": BANKS, "payee_bank": BANKS}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("payment", 1, WORDS, "payer_id")


def payments(ticks: int, base: int = 50) -> tuple[dict[str, Any], int]:
    block = Generator(World(), "wechat-pay", base).block("payments", 1, 0, ticks, 1)
    return block.events, int(block.counts.sum())


def filled(builder: BatchBuilder, encoder: Encoder, columns: dict[str, Any], rows: int) -> list[ReadyBatch]:
    batches, at, bound = [], 0, Rows(encoder, columns, rows)
    while at < rows:
        at = builder.append(bound, at, rows)
        batches.append(builder.seal(WALL_MS))
    return batches


def closed(batch: ReadyBatch) -> bytes:
    batch.set_producer_state(9, 2, 70, False)
    batch.close()
    return bytes(batch.buffer())


@pytest.mark.parametrize("codec", [NONE, LZ4])
def test_a_batch_has_the_bytes_that_kafka_python_would_write(encoder: Encoder, codec: int) -> None:
    columns, rows = payments(10)
    builder = BatchBuilder(codec)
    assert builder.append(Rows(encoder, columns, rows), 0, rows) == rows
    ours = closed(builder.seal(WALL_MS))
    theirs = MemoryRecordsBuilder(2, NONE, 1 << 24)
    for batch in MemoryRecords(ours):
        for record in batch:
            theirs.append(record.timestamp, record.key, record.value, [])
    theirs.set_producer_state(9, 2, 70, False)
    theirs.close()
    if codec == NONE:
        assert ours == bytes(theirs.buffer())
    mine, other = next(split(ours)), next(split(bytes(theirs.buffer())))
    assert mine.codec == codec
    assert mine.payload.tobytes() == other.payload.tobytes()
    assert (mine.count, mine.first_ts, mine.max_ts, mine.producer_id) == (rows, WALL_MS, WALL_MS, 9)


@pytest.mark.parametrize("codec", [NONE, LZ4])
def test_batches_stay_under_the_limit_and_hold_every_row_in_order(encoder: Encoder, codec: int) -> None:
    columns, rows = payments(2, base=20_000)
    batches = filled(BatchBuilder(codec), encoder, columns, rows)
    assert len(batches) > 1
    assert sum(batch.next_offset() for batch in batches) == rows
    keys = []
    for batch in batches:
        data = closed(batch)
        assert len(data) <= BATCH_BYTES
        assert len(next(split(data)).payload) <= BATCH_BYTES
        keys += [int.from_bytes(record.key, "big") for found in MemoryRecords(data) for record in found]
    assert keys == columns["payer_id"].tolist()


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=8), limit=st.integers(2_000, 40_000))
def test_a_batch_does_not_depend_on_how_its_rows_arrived(encoder: Encoder, cuts: list[int], limit: int) -> None:
    columns, rows = payments(8)
    bounds = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    builder = BatchBuilder(NONE, limit)
    found: list[bytes] = []
    bound = Rows(encoder, columns, rows)
    for lo, hi in pairwise(bounds):
        at = lo
        while at < hi:
            taken = builder.append(bound, at, hi)
            if taken == at or taken < hi:
                found.append(next(split(closed(builder.seal(WALL_MS)))).payload.tobytes())
            at = taken
    if len(builder):
        found.append(next(split(closed(builder.seal(WALL_MS)))).payload.tobytes())
    assert all(len(payload) <= limit for payload in found)
    whole = BatchBuilder(NONE)
    whole.append(bound, 0, rows)
    assert len(b"".join(found)) >= len(next(split(closed(whole.seal(WALL_MS)))).payload) - 4 * rows
    assert sum(payload.count(b"\x12wechat-pay"[1:]) for payload in found) == rows


def test_compression_that_gains_nothing_is_dropped(encoder: Encoder) -> None:
    columns, _ = payments(3)
    builder = BatchBuilder(LZ4)
    builder.append(Rows(encoder, columns, 1), 0, 1)
    assert next(split(closed(builder.seal(WALL_MS)))).codec == NONE


def test_the_producer_state_of_a_closed_batch_stays(encoder: Encoder) -> None:
    columns, rows = payments(3)
    builder = BatchBuilder()
    builder.append(Rows(encoder, columns, rows), 0, rows)
    batch = builder.seal(WALL_MS)
    with pytest.raises(RuntimeError, match="not closed"):
        batch.buffer()
    before = closed(batch)
    batch.close()
    assert bytes(batch.buffer()) == before
    with pytest.raises(RuntimeError, match="cannot change"):
        batch.set_producer_state(1, 1, 1, False)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (9, 2, 70)
    assert batch.is_full()
    assert batch.append(1, b"", b"") is None  # type: ignore[func-returns-value]


def test_a_record_over_the_limit_is_refused(encoder: Encoder) -> None:
    columns, rows = payments(3)
    with pytest.raises(ValueError, match="one record may take"):
        BatchBuilder(NONE, limit=100).append(Rows(encoder, columns, rows), 0, rows)
    with pytest.raises(ValueError, match="at least one record"):
        BatchBuilder().seal(WALL_MS)
    with pytest.raises(ValueError, match="codec 1"):
        BatchBuilder(1)


def test_record_timestamps_are_wall_time(encoder: Encoder) -> None:
    columns, rows = payments(3)
    builder = BatchBuilder()
    builder.append(Rows(encoder, columns, rows), 0, rows)
    stamps = {record.timestamp for batch in MemoryRecords(closed(builder.seal(WALL_MS))) for record in batch}
    assert stamps == {WALL_MS}
    assert not np.any(columns["event_time"] == WALL_MS)
