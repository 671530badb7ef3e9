"""Avro 1.12 read byte by byte, as the specification puts it: slow, strict, and short enough to be checked by eye.

It judges the records that the bulk decoder stumbles over. Raises MalformedError for whatever is no datum of its schema.
"""

import struct
from collections.abc import Mapping
from typing import Any

from jinliu.oracle.errors import OracleError

LONG_BYTES = 10


class MalformedError(OracleError):
    """The bytes are no datum of the schema."""


class _Cursor:
    """A position in a datum that cannot leave it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise MalformedError(f"{size} bytes from {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def long(self, bits: int = 64) -> int:
        """Zigzag varint of at most ten bytes that fits `bits`; padded forms are legal Avro."""
        value = 0
        for i in range(LONG_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                break
        else:
            raise MalformedError("varint longer than ten bytes")
        if value >= 1 << bits:
            raise MalformedError(f"integer beyond {bits} bits")
        return (value >> 1) ^ -(value & 1)


def _value(kind: Any, at: _Cursor) -> Any:
    if isinstance(kind, list):
        branch = at.long()
        if not 0 <= branch < len(kind):
            raise MalformedError(f"branch {branch} of a union of {len(kind)}")
        return _value(kind[branch], at)
    name = kind["type"] if isinstance(kind, dict) else kind
    if name == "enum":
        code = at.long()
        if not 0 <= code < len(kind["symbols"]):
            raise MalformedError(f"symbol {code} of {len(kind['symbols'])}")
        return kind["symbols"][code]
    if name == "fixed":
        return at.take(kind["size"])
    if name in ("array", "map"):
        return _blocks(kind, at)
    return _primitive(str(name), at)


def _blocks(kind: Any, at: _Cursor) -> Any:
    """An array or a map: blocks of items, a negative count being followed by the block's size in bytes."""
    items: list[Any] = []
    while count := at.long():
        if count < 0:
            count = -count
            at.long()
        if count > len(at.data):
            raise MalformedError(f"a block of {count} items in {len(at.data)} bytes")
        if kind["type"] == "map":
            items += [(_primitive("string", at), _value(kind["values"], at)) for _ in range(count)]
        else:
            items += [_value(kind["items"], at) for _ in range(count)]
    return dict(items) if kind["type"] == "map" else items


def _primitive(name: str, at: _Cursor) -> Any:
    if name == "null":
        return None
    if name == "boolean":
        byte = at.take(1)[0]
        if byte > 1:
            raise MalformedError(f"boolean {byte}")
        return byte == 1
    if name in ("int", "long"):
        return at.long(32 if name == "int" else 64)
    if name == "double":
        return struct.unpack("<d", at.take(8))[0]
    if name in ("string", "bytes"):
        data = at.take(at.long())
        try:
            return data.decode() if name == "string" else data
        except UnicodeDecodeError as error:
            raise MalformedError("string is not UTF-8") from error
    raise MalformedError(f"type {name} is not used here")


def datum(schema: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """The record's fields. Raises MalformedError, also for bytes left over."""
    at = _Cursor(data)
    out = {field["name"]: _value(field["type"], at) for field in schema["fields"]}
    if at.at != len(data):
        raise MalformedError(f"{len(data) - at.at} bytes behind the record")
    return out
