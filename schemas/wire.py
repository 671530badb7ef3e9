"""Single records in the Confluent format: a zero byte, the schema id as big-endian int32, the Avro datum."""

from __future__ import annotations

import io
import json
import operator
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import fastavro

from schemas import catalog
from schemas.errors import UnknownSchema, WireError

_HEADER = struct.Struct(">bi")

_asked_headers = operator.methodcaller("headers")
"""Not message.headers(): for a name that is not UTF-8 it sets an error and yet returns a list, with a hole in it. A
call from C turns that into SystemError; one from Python code goes on and meets the error at some later line."""


def headers(message: Any) -> list[tuple[str, Any]]:
    """Headers of a confluent_kafka message; none where one has a name that is not UTF-8."""
    try:
        return _asked_headers(message) or []
    except (SystemError, UnicodeDecodeError):
        return []


def encode(name: str, value: Mapping[str, Any], ids: Mapping[str, int]) -> bytes:
    """The record `value` of schema `name` with the id that `ids` gives it. Raises UnknownSchema, WireError."""
    schema = catalog.schema(name)
    if name not in ids:
        raise UnknownSchema(f"no schema id is known for {name!r}")
    out = io.BytesIO()
    out.write(_HEADER.pack(0, ids[name]))
    try:
        fastavro.schemaless_writer(out, _parsed(schema.text), dict(value), strict=True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error) as error:
        raise WireError(f"record {name!r} cannot be encoded: {error}") from error
    return out.getvalue()


def decode(data: bytes | None, ids: Mapping[str, int] | None = None) -> tuple[str, dict[str, Any]]:
    """Schema name and value of one record; `ids` as they were written with (default: the fixed ids).

    Raises UnknownSchema for an id that is not among them, WireError for bytes that are no such record.
    """
    if data is None or len(data) < _HEADER.size or data[0] != 0:
        raise WireError("the value is not in the Confluent format (a zero byte and a schema id)")
    number = _HEADER.unpack_from(data)[1]
    name = _name(number, ids)
    stream = io.BytesIO(data)
    stream.seek(_HEADER.size)
    try:
        value = fastavro.schemaless_reader(stream, _parsed(catalog.schema(name).text), None)
    except Exception as error:  # hostile bytes raise almost anything, from EOFError to UnicodeDecodeError
        raise WireError(f"the datum is no {name!r} record: {error!r}") from error
    if stream.read(1) or not isinstance(value, dict):
        raise WireError(f"bytes are left behind the {name!r} record")
    return name, value


def _name(number: int, ids: Mapping[str, int] | None) -> str:
    for name, known in (catalog.ids() if ids is None else ids).items():
        if known == number:
            return name
    raise UnknownSchema(f"schema id {number} is not known")


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """fastavro's parsed schema; without logical types, since time is an integer here and stays one."""
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
