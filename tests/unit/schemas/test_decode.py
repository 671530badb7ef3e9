"""The decode kernel against the plain reader, on good bytes and on hostile ones."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import decode, recordbatch
from schemas.decode import MALFORMED, NOT_CONFLUENT, UNKNOWN_SCHEMA, Decoder, Rows
from schemas.errors import CorruptBatch, UnknownSchema, UnsupportedSchema
from schemas.recordbatch import RawBatch
from tests.unit.schemas.reference import (
    EVERYTHING,
    EVERYTHING_ID,
    OTHER,
    OTHER_ID,
    WORDS,
    Row,
    confluent,
    datum,
    record,
    rows,
    varint,
)

SCHEMAS = [(EVERYTHING_ID, EVERYTHING), (OTHER_ID, OTHER)]
LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
INTS = st.integers(-(1 << 31), (1 << 31) - 1)
WORD = st.sampled_from(WORDS) | st.text(max_size=30)
VALUES = st.fixed_dictionaries(
    {
        "number": LONGS,
        "small": INTS,
        "colour": st.integers(0, 2),
        "flag": st.booleans(),
        "ratio": st.floats(),
        "mark": st.binary(min_size=5, max_size=5),
        "word": WORD,
        "text": st.text(),
        "maybe_number": st.none() | LONGS,
        "maybe_small": st.none() | INTS,
        "maybe_colour": st.none() | st.integers(0, 2),
        "maybe_flag": st.none() | st.booleans(),
        "maybe_ratio": st.none() | st.floats(),
        "maybe_mark": st.none() | st.binary(min_size=5, max_size=5),
        "maybe_word": st.none() | WORD,
        "maybe_text": st.none() | st.text(),
        "last": LONGS,
    }
)
OTHERS = st.fixed_dictionaries({"word": WORD, "number": LONGS})
EXAMPLE: dict[str, Any] = {
    "number": 1, "small": 2, "colour": 1, "flag": True, "ratio": 0.5, "mark": b"abcde", "word": "alipay", "text": "é",
    "maybe_number": None, "maybe_small": 7, "maybe_colour": None, "maybe_flag": True, "maybe_ratio": None,
    "maybe_mark": b"fghij", "maybe_word": "a", "maybe_text": None, "last": -1,
}  # fmt: skip


def batch_of(records: bytes, count: int, base: int = 0, span: int | None = None) -> RawBatch:
    header = (base, 0, 0, 2, 0, 0, (span or count) - 1, 1_000, 1_000, -1, -1, -1, count)
    return RawBatch(header, memoryview(records))


def good(value: dict[str, Any]) -> bytes:
    return confluent(EVERYTHING_ID, datum(EVERYTHING, value))


def assert_equal(found: Rows, expected: list[Row]) -> None:
    assert found.n == len(expected)
    assert found.kind.tolist() == [row.kind for row in expected]
    assert found.offset.tolist() == [row.offset for row in expected]
    for kind, name in enumerate(("everything", "other")):
        entries = [i for i, row in enumerate(expected) if row.kind == kind]
        assert found.index[name].tolist() == entries
        for place, i in enumerate(entries):
            value = expected[i].value
            assert value is not None
            for field, content in value.items():
                assert _equal(found, name, field, place, content), (field, content)
    for i, row in enumerate(expected):
        if row.raw is not None or row.key is not None:
            assert found.raw(i)[:2] == (row.key, row.raw)


def _equal(found: Rows, name: str, field: str, place: int, content: Any) -> bool:
    columns: Any = found.columns[name]
    if field.startswith("maybe_"):
        if bool(columns[f"{field}?"][place]) != (content is not None):
            return False
        if content is None:
            return bool(not columns[field][place].any())
    cell = columns[field][place]
    if field.endswith("text"):
        return bool(found.text(name, field, place) == content)
    if field.endswith("word"):
        return int(cell) == (WORDS.index(content) if content in WORDS else -1)
    if field.endswith("ratio"):
        return bool(struct.pack("<d", cell) == content)
    if field.endswith("mark"):
        return bool(bytes(cell) == content)
    return int(cell) == int(content)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES | OTHERS, max_size=6), st.integers(0, 8))
def test_every_type_of_column(decoder: Decoder, values: list[dict[str, Any]], start: int) -> None:
    data = b""
    for i, value in enumerate(values):
        schema, number = (EVERYTHING, EVERYTHING_ID) if "small" in value else (OTHER, OTHER_ID)
        data += record(i, b"k" if i % 2 else None, confluent(number, datum(schema, value)))
    batch = batch_of(data, len(values))
    expected = rows(batch, SCHEMAS, start)
    assert all(row.kind >= 0 for row in expected)
    assert_equal(decoder.decode([batch], start), expected)


def test_dtypes_and_the_empty_fetch(decoder: Decoder) -> None:
    found = decoder.decode([])
    dtypes = {name: column.dtype.name for name, column in found.columns["everything"].items()}
    assert found.n == 0
    assert dtypes == {
        "number": "int64", "small": "int32", "colour": "int8", "flag": "bool", "ratio": "float64", "mark": "uint8",
        "word": "int16", "text": "int64", "maybe_number": "int64", "maybe_number?": "bool", "maybe_small": "int32",
        "maybe_small?": "bool", "maybe_colour": "int8", "maybe_colour?": "bool", "maybe_flag": "bool",
        "maybe_flag?": "bool", "maybe_ratio": "float64", "maybe_ratio?": "bool", "maybe_mark": "uint8",
        "maybe_mark?": "bool", "maybe_word": "int16", "maybe_word?": "bool", "maybe_text": "int64",
        "maybe_text?": "bool", "last": "int64",
    }  # fmt: skip
    assert found.columns["everything"]["mark"].shape == (0, 5)


HOSTILE = [
    ("trailing byte", lambda v: v + b"\x00"),
    ("cut short", lambda v: v[:-1]),
    ("header alone", lambda v: v[:5]),
    ("overlong varint", lambda v: v[:5] + b"\x80" * 10 + b"\x00" + v[6:]),
    ("varint of 65 bits", lambda v: v[:5] + b"\xff" * 9 + b"\x02" + v[6:]),
    ("int too large", lambda v: v[:6] + varint(1 << 31) + v[7:]),
    ("int too small", lambda v: v[:6] + varint(-(1 << 31) - 1) + v[7:]),
    ("enum beyond its symbols", lambda v: v[:7] + varint(3) + v[8:]),
    ("negative enum", lambda v: v[:7] + varint(-1) + v[8:]),
    ("boolean of two", lambda v: v[:8] + b"\x02" + v[9:]),
    ("negative length", lambda v: v[:22] + varint(-1) + v[23:]),
    ("length beyond the record", lambda v: v[:22] + varint(1 << 40) + v[23:]),
    ("greatest length", lambda v: v[:22] + varint((1 << 63) - 1) + v[23:]),
    ("text that is not UTF-8", lambda v: v.replace("é".encode(), b"\xc3\x28")),
    ("unknown word that is not UTF-8", lambda v: v.replace(b"alipay", b"alipa\xff")),
    ("union of three", lambda v: v[:-2] + varint(2) + v[-1:]),
]


@pytest.mark.parametrize("spoil", [spoil for _, spoil in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_a_malformed_datum_is_one_bad_row(decoder: Decoder, spoil: Any) -> None:
    spoiled = spoil(good(EXAMPLE))
    assert spoiled != good(EXAMPLE)
    data = record(0, b"k", good(EXAMPLE)) + record(1, b"key", spoiled) + record(2, None, good(EXAMPLE))
    batch = batch_of(data, 3)
    found = decoder.decode([batch])
    assert found.kind.tolist() == [0, MALFORMED, 0]
    assert found.raw(1) == (b"key", spoiled, 1_000)
    assert_equal(found, rows(batch, SCHEMAS))


def test_what_is_not_ours(decoder: Decoder) -> None:
    values = [None, b"", b"\x00\x00\x00\x00", b"\x01" + good(EXAMPLE)[1:], confluent(99, b"x"), good(EXAMPLE)]
    batch = batch_of(b"".join(record(i, None, value) for i, value in enumerate(values)), len(values))
    found = decoder.decode([batch])
    assert found.kind.tolist() == [NOT_CONFLUENT] * 4 + [UNKNOWN_SCHEMA, 0]
    assert [found.raw(i)[1] for i in range(len(values))] == values


def test_padded_varints_are_read_as_other_readers_do(decoder: Decoder) -> None:
    value = good(EXAMPLE)
    padded = value[:5] + b"\x82\x80\x80\x00" + value[6:]
    found = decoder.decode([batch_of(record(0, None, padded), 1)])
    assert found.columns["everything"]["number"].tolist() == [1]


def test_broken_framing_spoils_the_rest_of_the_batch_only(decoder: Decoder) -> None:
    first, second = record(0, b"k", good(EXAMPLE)), record(1, b"k", good(EXAMPLE))
    spoiled = batch_of(first + varint(1 << 20) + second[2:], 4, base=10)
    after = batch_of(first, 1, base=14)
    found = decoder.decode([spoiled, after])
    assert found.kind.tolist() == [0, MALFORMED, MALFORMED, MALFORMED, 0]
    assert found.offset.tolist() == [10, 11, 12, 13, 14]
    assert found.raw(1) == (None, varint(1 << 20) + second[2:], 1_000)
    assert found.raw(2) == (None, None, 1_000)


def test_a_batch_that_ends_early_takes_nothing_from_the_next(decoder: Decoder) -> None:
    short = batch_of(record(0, None, good(EXAMPLE)), 3)
    found = decoder.decode([short, batch_of(record(0, b"k", good(EXAMPLE)), 1, base=3)])
    assert found.kind.tolist() == [0, MALFORMED, MALFORMED, 0]
    assert [found.raw(i)[1] for i in (1, 2)] == [None, None]


def test_offsets_only_grow(decoder: Decoder) -> None:
    for deltas in ([0, 0, 1], [1, 0, 2], [0, 3, 1], [-1, 0, 1], [0, 1, 1 << 40]):
        data = b"".join(record(delta, None, good(EXAMPLE)) for delta in deltas)
        batch = batch_of(data, 3)
        found = decoder.decode([batch])
        assert_equal(found, rows(batch, SCHEMAS))
        assert found.offset.tolist() == [0, 1, 2]


def test_compacted_batches_keep_their_offsets(decoder: Decoder) -> None:
    data = record(3, None, good(EXAMPLE)) + record(90, None, good(EXAMPLE))
    found = decoder.decode([batch_of(data, 2, base=1_000, span=100)], 1_004)
    assert found.offset.tolist() == [1_090]


def test_a_claim_of_two_thousand_million_records_is_bounded(decoder: Decoder) -> None:
    found = decoder.decode([batch_of(record(0, None, good(EXAMPLE)), (1 << 31) - 1)])
    assert found.n == 4_096
    assert found.kind[0] == 0
    assert (found.kind[1:] == MALFORMED).all()


def test_a_fetch_of_more_than_can_be_named_is_an_error(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MOST_BYTES", 100)
    with pytest.raises(CorruptBatch, match="fetch less"):
        decoder.decode([batch_of(record(0, None, bytes(60)), 1)] * 2)


def test_record_headers_are_walked(decoder: Decoder) -> None:
    data = record(0, b"k", good(EXAMPLE), [("a", b"1"), ("", None), ("long" * 50, b"")]) + record(
        1, None, good(EXAMPLE)
    )
    assert decoder.decode([batch_of(data, 2)]).kind.tolist() == [0, 0]
    for tail in (varint(2) + b"\x00\x00", varint(1) + varint(-1) + varint(0), varint(1 << 50), varint(-1)):
        body = record(0, b"k", good(EXAMPLE))
        size = len(body) - 2 - 1 + len(tail)
        spoiled = varint(size) + body[2:-1] + tail
        batch = batch_of(spoiled, 1)
        assert_equal(decoder.decode([batch]), rows(batch, SCHEMAS))
        assert decoder.decode([batch]).kind.tolist() == [MALFORMED]


def test_record_headers_are_given_where_the_framing_holds(decoder: Decoder) -> None:
    own = [("a", b"1"), ("", None), ("长" * 50, b"")]
    data = record(0, b"k", b"not confluent", own) + record(1, None, None, own[:1]) + record(2, None, good(EXAMPLE))
    found = decoder.decode([batch_of(data, 3), batch_of(b"\xff\xff", 1)])
    assert [found.headers(row) for row in range(4)] == [tuple(own), tuple(own[:1]), (), ()]


def test_timestamps_are_of_the_record_or_of_the_log(decoder: Decoder) -> None:
    data = b"\x00" + varint(25) + varint(0) + varint(-1) + varint(-1) + b"\x00"
    data = varint(len(data)) + data
    header = [5, 0, 0, 2, 0, 0, 0, 1_000, 2_000, -1, -1, -1, 1]
    assert decoder.decode([RawBatch(tuple(header), memoryview(data))]).timestamp.tolist() == [1_025]
    header[5] = recordbatch.LOG_APPEND_TIME
    assert decoder.decode([RawBatch(tuple(header), memoryview(data))]).timestamp.tolist() == [2_000]


def test_control_batches_are_passed_over(decoder: Decoder) -> None:
    header = (0, 0, 0, 2, 0, recordbatch.CONTROL, 0, 0, 0, 1, 0, -1, 1)
    assert decoder.decode([RawBatch(header, memoryview(b"whatever"))]).n == 0


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """A few bytes changed, removed, doubled or put in; extreme bytes are likely."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(out)))
        what = int(rng.integers(0, 5))
        if what == 0:
            out[at] = int(rng.choice([0, 1, 2, 3, 5, 126, 127, 128, 129, 254, 255]))
        elif what == 1:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 2:
            del out[at : at + int(rng.integers(1, 6))]
        elif what == 3:
            out[at:at] = varint(int(rng.choice([-(1 << 63), -2, -1, 1 << 31, 1 << 40, (1 << 63) - 1])))
        else:
            out[at:at] = out[at : at + int(rng.integers(1, 20))]
        if not out:
            return b"\x80"
    return bytes(out)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_batches_are_read_as_the_plain_reader_does(decoder: Decoder, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = [record(i, b"key" * i, good({**EXAMPLE, "number": i << 40, "text": "字" * i})) for i in range(4)]
    for _ in range(1_500):
        if rng.integers(0, 2):
            data = mutated(rng, b"".join(whole))
        else:
            spoiled = mutated(rng, good(EXAMPLE))
            data = whole[0] + record(1, b"k", spoiled) + record(2, None, good(EXAMPLE)) + whole[3]
        batch = batch_of(data, 4)
        start = int(rng.integers(0, 3))
        assert_equal(decoder.decode([batch], start), rows(batch, SCHEMAS, start))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_bytes_are_read_as_the_plain_reader_does(decoder: Decoder, data: bytes, count: int) -> None:
    for content in (data, record(0, None, confluent(EVERYTHING_ID, data)), record(0, data, confluent(OTHER_ID, data))):
        batch = batch_of(content, count)
        assert_equal(decoder.decode([batch]), rows(batch, SCHEMAS))


def test_no_byte_behind_the_buffer_is_read() -> None:
    """A child decodes mutations from a buffer that ends where unreadable memory begins; a stray read would kill it."""
    child = Path(__file__).with_name("guarded.py")
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, str(child)], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, "2000 batches\n"), done.stderr


def test_only_wanted_columns_are_kept() -> None:
    decoder = Decoder({"tick": 2, "payment": 1}, {"source": ["alipay"]}, {"tick": ["seq", "run"]})
    found = decoder.decode([])
    assert decoder.records == ("tick", "payment")
    assert sorted(found.columns["tick"]) == ["run", "run?", "seq"]
    assert len(found.columns["payment"]) == 21


def test_what_cannot_be_columns_is_refused() -> None:
    for kind in ("bytes", "float", {"type": "array", "items": "long"}, ["long", "null"], ["null", "long", "int"]):
        schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
        with pytest.raises(UnsupportedSchema, match=r"R\.f"):
            Decoder.of_schemas({"r": (1, schema)})
    with pytest.raises(UnsupportedSchema, match="no field 'colour'"):
        Decoder({"tick": 2}, {}, {"tick": ["colour"]})
    with pytest.raises(UnsupportedSchema, match="'payment'"):
        Decoder({"tick": 2}, {}, {"payment": ["seq"]})
    with pytest.raises(UnsupportedSchema, match="twice"):
        Decoder({"tick": 2}, {"source": ["a", "a"]})
    with pytest.raises(UnsupportedSchema, match="id of its own"):
        Decoder({"tick": 2, "payment": 2})
    with pytest.raises(UnknownSchema, match="no schema is named"):
        Decoder({"tock": 2})
