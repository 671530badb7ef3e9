"""The encode kernel against fastavro, `avro` and the definition of a record."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import avro.io
import avro.schema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import catalog
from schemas.decode import Decoder
from schemas.encode import Encoder
from schemas.errors import EncodeError, UnsupportedSchema
from tests.unit.schemas.reference import EVERYTHING, EVERYTHING_ID, WORDS, confluent, datum, record
from tests.unit.schemas.test_decode import INTS, LONGS, batch_of

TEXTS, MAYBE_TEXTS = ("x", "long text " * 40), ("", "数")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": LONGS | st.integers(-200, 200),
            "small": INTS,
            "colour": st.integers(0, 2),
            "flag": st.booleans(),
            "ratio": st.floats(allow_nan=False),
            "mark": st.binary(min_size=5, max_size=5),
            "word": st.sampled_from(WORDS),
            "text": st.sampled_from(TEXTS),
            "maybe_number": st.none() | LONGS,
            "maybe_small": st.none() | INTS,
            "maybe_colour": st.none() | st.integers(0, 2),
            "maybe_flag": st.none() | st.booleans(),
            "maybe_ratio": st.none() | st.floats(allow_nan=False),
            "maybe_mark": st.none() | st.binary(min_size=5, max_size=5),
            "maybe_word": st.none() | st.sampled_from(WORDS),
            "maybe_text": st.none() | st.sampled_from(MAYBE_TEXTS),
            "last": LONGS,
        }
    ),
    min_size=1,
    max_size=8,
)
CODES = {"word": WORDS, "maybe_word": WORDS, "text": TEXTS, "maybe_text": MAYBE_TEXTS}
DTYPES = {
    "number": np.int64, "last": np.int64, "small": np.int32, "colour": np.int8, "flag": np.bool_, "ratio": np.float64,
    "word": np.int16, "text": np.int16,
}  # fmt: skip


def columns_of(rows: list[dict[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        plain = name.removeprefix("maybe_")
        if plain != name:
            columns[f"{name}?"] = np.array([value is not None for value in values])
        if plain == "mark":
            columns[name] = np.array([list(value or b"\x00" * 5) for value in values], np.uint8)
            continue
        if name in CODES:
            values = [None if value is None else CODES[name].index(value) for value in values]
        columns[name] = np.array([0 if value is None else value for value in values], DTYPES[plain])
    return columns


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 20_000))
def test_records_are_byte_for_byte_as_defined(encoder: Encoder, rows: list[dict[str, Any]], delta: int) -> None:
    columns, n = columns_of(rows), len(rows)
    buffer = np.full(encoder.size_bound(n) + 3, 255, np.uint8)
    end = encoder.into(buffer, 3, columns, 0, n, delta)
    keys = [struct.pack(">q", row["number"]) for row in rows]
    data = [datum(EVERYTHING, row) for row in rows]
    expected = b"".join(record(delta + i, keys[i], confluent(EVERYTHING_ID, data[i])) for i in range(n))
    assert buffer[3:end].tobytes() == expected
    assert (buffer[:3] == 255).all()
    assert encoder.bare(columns, 0, n) == b"".join(key + value for key, value in zip(keys, data, strict=True))


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_what_is_encoded_is_decoded(encoder: Encoder, decoder: Decoder, rows: list[dict[str, Any]]) -> None:
    columns, n = columns_of(rows), len(rows)
    buffer = np.empty(encoder.size_bound(n), np.uint8)
    end = encoder.into(buffer, 0, columns, 0, n, 0)
    found = decoder.decode([batch_of(buffer[:end].tobytes(), n)])
    for name, column in found.columns["everything"].items():
        if name.endswith("text"):
            assert [found.text("everything", name, i) for i in range(n)] == [row[name] or "" for row in rows]
        else:
            assert np.array_equal(column, columns[name]), name


def test_rows_are_appended_in_parts(encoder: Encoder) -> None:
    rows = [dict(ROW, number=i * 1_000_003, text=TEXTS[i % 2]) for i in range(50)]
    columns = columns_of(rows)
    whole = np.empty(encoder.size_bound(50), np.uint8)
    parts = whole.copy()
    end = encoder.into(whole, 0, columns, 0, 50, 0)
    middle = encoder.into(parts, 0, columns, 0, 17, 0)
    assert encoder.into(parts, middle, columns, 17, 50, 17) == end
    assert np.array_equal(parts[:end], whole[:end])
    assert encoder.bare(columns, 0, 17) + encoder.bare(columns, 17, 50) == encoder.bare(columns, 0, 50)
    assert encoder.bare(columns, 5, 5) == b""


def test_the_widest_row_fits_its_bound() -> None:
    schema = {"type": "record", "name": "Wide", "fields": [{"name": f"f{i}", "type": "long"} for i in range(9)]}
    encoder = Encoder.of_schema(schema, (1 << 31) - 1, {}, "f0")
    columns = {f"f{i}": np.full(300, -(1 << 63), np.int64) for i in range(9)}
    buffer = np.full(encoder.size_bound(300) + 1, 77, np.uint8)
    end = encoder.into(buffer[:-1], 0, columns, 0, 300, (1 << 31) - 301)
    assert end <= encoder.size_bound(300)
    assert buffer[-1] == 77


ROW: dict[str, Any] = {
    "number": 1, "small": 2, "colour": 1, "flag": True, "ratio": 0.5, "mark": b"abcde", "word": "alipay", "text": "x",
    "maybe_number": None, "maybe_small": 7, "maybe_colour": None, "maybe_flag": True, "maybe_ratio": None,
    "maybe_mark": b"fghij", "maybe_word": "a", "maybe_text": None, "last": -1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value"),
    [("colour", 3), ("colour", -1), ("word", len(WORDS)), ("word", -1), ("maybe_word", 99), ("maybe_text", 2)],
)
def test_codes_out_of_range_are_named(encoder: Encoder, column: str, value: int) -> None:
    columns = columns_of([ROW, ROW, ROW])
    columns[column][1] = value
    columns.update({f"{column}?": np.ones(3, np.bool_)} if column.startswith("maybe") else {})
    with pytest.raises(EncodeError, match=rf"Everything\.{column}: the value at row 1 "):
        encoder.bare(columns, 0, 3)
    assert encoder.bare(columns, 0, 1)


def test_a_null_hides_whatever_code_lies_under_it(encoder: Encoder) -> None:
    columns = columns_of([ROW])
    columns["maybe_text"][0] = -5
    assert encoder.bare(columns, 0, 1) == struct.pack(">q", 1) + datum(EVERYTHING, ROW)


def test_columns_that_do_not_fit_are_refused(encoder: Encoder) -> None:
    columns = columns_of([ROW, ROW])

    def refused(match: str, **changes: Any) -> None:
        changed = {name: column for name, column in {**columns, **changes}.items() if column is not None}
        with pytest.raises(EncodeError, match=match):
            encoder.bare(changed, 0, 2)

    refused("column 'small' is missing", small=None)
    refused("both columns", **{"maybe_small?": None})
    refused("float64 is not int64", number=np.ones(2))
    refused("int64 is not int32", small=np.ones(2, np.int64))
    refused("shape", number=np.ones(1, np.int64))
    refused("shape", number=np.ones((2, 2), np.int64))
    refused("rows are of 4 bytes, not 5", mark=np.zeros((2, 4), np.uint8))
    with pytest.raises(EncodeError, match="are no range"):
        encoder.bare(columns, 2, 1)
    with pytest.raises(EncodeError, match="too few"):
        encoder.into(np.empty(encoder.size_bound(2) - 1, np.uint8), 0, columns, 0, 2, 0)
    with pytest.raises(EncodeError, match="offset delta"):
        encoder.into(np.empty(encoder.size_bound(2), np.uint8), 0, columns, 0, 2, -1)


def test_read_only_strided_and_narrower_columns_are_taken(encoder: Encoder) -> None:
    columns = columns_of([ROW, ROW, ROW])
    expected = encoder.bare(columns, 0, 3)
    columns["small"] = columns["small"].astype(np.int16)
    columns["number"] = np.repeat(columns["number"], 2)[::2]
    columns["last"].flags.writeable = False
    assert encoder.bare(columns, 0, 3) == expected


def test_a_nullable_column_may_be_left_out_and_a_key_may_be_a_word() -> None:
    encoder = Encoder("tick", 2, {"source": ["alipay", "银行"]}, "source")
    columns = {
        "source": np.array([1, 0], np.int16),
        "seq": np.array([5, 6]),
        "kind": np.array([1, 2], np.int8),
        "shard": np.array([3, 3], np.int32),
        "tick_start": np.array([0, 10]),
        "tick_end": np.array([10, 10]),
        "events": np.array([4, 0]),
        "amount_fen": np.array([-1, 0]),
    }
    buffer = np.empty(encoder.size_bound(2), np.uint8)
    end = encoder.into(buffer, 0, columns, 0, 2, 0)
    found = Decoder({"tick": 2}, {"source": ["alipay", "银行"]}).decode([batch_of(buffer[:end].tobytes(), 2)])
    assert [found.raw(i)[0] for i in range(2)] == ["银行".encode(), b"alipay"]
    assert not found.columns["tick"]["run?"].any()
    for name, column in columns.items():
        assert np.array_equal(found.columns["tick"][name], column)


def test_payments_are_read_back_by_avro() -> None:
    rng = np.random.default_rng(3)
    schema = catalog.schema("payment")
    banks = ["icbc", "industrial-and-commercial", "lan-hai"]
    words = {"source": ["alipay", "banks"], "payer_bank": banks, "payee_bank": banks}
    columns: dict[str, np.ndarray[Any, Any]] = {}
    symbols: dict[str, list[str]] = {}
    n = 40
    for field in schema.parsed["fields"]:
        name, kind = field["name"], field["type"]
        if name in words:
            columns[name] = rng.integers(0, len(words[name]), n).astype(np.int16)
            symbols[name] = words[name]
        elif isinstance(kind, dict) and kind["type"] == "enum":
            columns[name] = rng.integers(0, len(kind["symbols"]), n).astype(np.int8)
            symbols[name] = kind["symbols"]
        elif kind == "boolean":
            columns[name] = rng.random(n) < 0.5
        else:
            bits = 31 if kind == "int" else 63
            size = rng.integers(0, bits, n)
            columns[name] = rng.integers(0, 1 << size).astype(np.int32 if kind == "int" else np.int64)
    encoder = Encoder("payment", schema.id, words, "payer_id")
    stream = io.BytesIO(encoder.bare(columns, 0, n))
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(_plain(schema.parsed))))
    for i in range(n):
        assert stream.read(8) == int(columns["payer_id"][i]).to_bytes(8, "big")
        found = reader.read(avro.io.BinaryDecoder(stream))
        assert found == {
            name: symbols[name][column[i]] if name in symbols else column[i].item() for name, column in columns.items()
        }
    assert stream.read() == b""


def _plain(node: Any) -> Any:
    """The schema without logical types, so that `avro` gives integers."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    return [_plain(item) for item in node] if isinstance(node, list) else node


def test_schemas_and_keys_that_cannot_be_encoded_are_refused() -> None:
    with pytest.raises(UnsupportedSchema, match="needs a vocabulary"):
        Encoder("payment", 1, {}, "payer_id")
    with pytest.raises(UnsupportedSchema, match="no field 'nobody'"):
        Encoder("tick", 2, {"source": ["a"]}, "nobody")
    with pytest.raises(UnsupportedSchema, match="a key is a long or a string"):
        Encoder("tick", 2, {"source": ["a"]}, "shard")
