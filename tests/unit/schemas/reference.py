"""A second, plain reader and writer of record batches and datums: what the kernels must agree with, byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from schemas.recordbatch import RawBatch

WORDS = ("alipay", "wechat-pay", "a", "", "exactly8", "bank-of-communications", "bank-of-kommunications", "中国银行")

EVERYTHING: dict[str, Any] = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "number", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN", "BLUE"]}},
        {"name": "flag", "type": "boolean"},
        {"name": "ratio", "type": "double"},
        {"name": "mark", "type": {"type": "fixed", "name": "Mark", "size": 5}},
        {"name": "word", "type": "string"},
        {"name": "text", "type": "string"},
        {"name": "maybe_number", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "maybe_small", "type": ["null", "int"]},
        {"name": "maybe_colour", "type": ["null", "Colour"]},
        {"name": "maybe_flag", "type": ["null", "boolean"]},
        {"name": "maybe_ratio", "type": ["null", "double"]},
        {"name": "maybe_mark", "type": ["null", "Mark"]},
        {"name": "maybe_word", "type": ["null", "string"]},
        {"name": "maybe_text", "type": ["null", "string"]},
        {"name": "last", "type": "long"},
    ],
}
OTHER: dict[str, Any] = {
    "type": "record",
    "name": "Other",
    "fields": [{"name": "word", "type": "string"}, {"name": "number", "type": "long"}],
}
EVERYTHING_ID, OTHER_ID = 7, 1_000_000
VOCABULARIES = {"word": WORDS, "maybe_word": WORDS}


class BadError(Exception):
    """The bytes are not a record."""


@dataclass
class Reader:
    """Reads from data[at:end] and never beyond."""

    data: bytes
    at: int
    end: int

    def take(self, size: int) -> bytes:
        if size < 0 or size > self.end - self.at:
            raise BadError
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        z = 0
        for i in range(10):
            byte = self.take(1)[0]
            z |= (byte & 127) << 7 * i
            if byte < 128:
                if z >= 1 << 64:
                    raise BadError
                return (z >> 1) ^ -(z & 1)
        raise BadError

    def sized(self) -> bytes | None:
        size = self.varint()
        if size == -1:
            return None
        return self.take(size)


@dataclass
class Row:
    """One row as Rows should have it; value None for a bad one."""

    kind: int
    offset: int
    key: bytes | None
    raw: bytes | None
    value: dict[str, Any] | None


def rows(batch: RawBatch, schemas: Sequence[tuple[int, Mapping[str, Any]]], start: int = 0) -> list[Row]:
    """The rows of one batch: bad framing spoils the rest of the batch."""
    data = batch.payload.tobytes()
    found: list[Row] = []
    at, previous, broken = 0, batch.base_offset - 1, False
    for i in range(batch.count):
        if not broken:
            try:
                offset, key, value, at = _record(data, at, batch)
                if offset <= previous or offset > batch.last_offset - (batch.count - 1 - i):
                    raise BadError
                previous = offset
                if offset >= start:
                    found.append(_row(offset, key, value, schemas))
                continue
            except BadError:
                broken = True
        previous += 1
        if previous >= start:
            found.append(Row(-3, previous, None, None, None))
    return found


def _record(data: bytes, at: int, batch: RawBatch) -> tuple[int, bytes | None, bytes | None, int]:
    outer = Reader(data, at, len(data))
    size = outer.varint()
    outer.take(size)
    reader = Reader(data, outer.at - size, outer.at)
    reader.take(1)
    reader.varint()
    offset = batch.base_offset + reader.varint()
    if offset < batch.base_offset:
        raise BadError
    key, value = reader.sized(), reader.sized()
    count = reader.varint()
    if count < 0:
        raise BadError
    for _ in range(count):
        if reader.sized() is None:
            raise BadError
        reader.sized()
    if reader.at != reader.end:
        raise BadError
    return offset, key, value, outer.at


def _row(offset: int, key: bytes | None, value: bytes | None, schemas: Sequence[tuple[int, Mapping[str, Any]]]) -> Row:
    if value is None or len(value) < 5 or value[0] != 0:
        return Row(-1, offset, key, value, None)
    (number,) = struct.unpack(">I", value[1:5])
    for kind, (known, schema) in enumerate(schemas):
        if number == known:
            reader = Reader(value, 5, len(value))
            try:
                datum = {field["name"]: _datum(reader, field["type"]) for field in schema["fields"]}
            except (BadError, UnicodeDecodeError):
                return Row(-3, offset, key, value, None)
            return Row(kind if reader.at == reader.end else -3, offset, key, value, datum)
    return Row(-2, offset, key, value, None)


def _datum(reader: Reader, kind: Any) -> Any:
    if isinstance(kind, list):
        branch = reader.varint()
        if branch not in (0, 1):
            raise BadError
        return None if branch == 0 else _datum(reader, kind[1])
    plain = kind["type"] if isinstance(kind, dict) else {"Colour": "enum", "Mark": "fixed"}.get(kind, kind)
    if plain in ("long", "int", "enum"):
        value = reader.varint()
        symbols = kind["symbols"] if isinstance(kind, dict) and plain == "enum" else ("RED", "GREEN", "BLUE")
        if (plain == "int" and not -(1 << 31) <= value < 1 << 31) or (
            plain == "enum" and not 0 <= value < len(symbols)
        ):
            raise BadError
        return value
    if plain == "boolean":
        byte = reader.take(1)[0]
        if byte > 1:
            raise BadError
        return bool(byte)
    if plain == "double":
        return reader.take(8)
    if plain == "fixed":
        return reader.take(5)
    text = reader.sized()
    if text is None:
        raise BadError
    return text.decode()


def datum(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bytes:
    """The Avro datum by fastavro; enums are given as indices."""
    out = io.BytesIO()
    named = dict(value)
    for field, name in (("colour", "colour"), ("maybe_colour", "maybe_colour")):
        if isinstance(named.get(name), int):
            named[field] = ("RED", "GREEN", "BLUE")[named[name]]
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), named)
    return out.getvalue()


def record(
    delta: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()
) -> bytes:
    """One record of a batch by its definition."""
    body = b"\x00" + varint(0) + varint(delta) + sized(key) + sized(value) + varint(len(headers))
    for name, content in headers:
        body += sized(name.encode()) + sized(content)
    return varint(len(body)) + body


def sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def varint(value: int) -> bytes:
    z, out = ((value << 1) ^ (value >> 63)) & (1 << 64) - 1, bytearray()
    while z >= 128:
        out.append(z & 127 | 128)
        z >>= 7
    return bytes([*out, z])


def confluent(number: int, data: bytes) -> bytes:
    return b"\x00" + number.to_bytes(4, "big") + data
