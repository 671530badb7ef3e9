"""Metric rows on the wire: Confluent header and Avro datum, keyed by the JSON text of the row's key fields.

A union is what costs most in fastavro, which tries its branches on every value. A nullable field is therefore written
as what it is on the wire, the number of the branch (an int) and then the value: one plain schema for each set of
fields that are null, made when it is first met. The bytes are those of the row's own schema.
"""

from __future__ import annotations

import dataclasses
import io
import json
import operator
import struct
from typing import TYPE_CHECKING, Any

import fastavro

from schemas import catalog
from streams.transaction import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.metric import Metric

_HEADER = struct.Struct(">bi")
_BRANCH = "__branch"
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class RowWriter:
    """Encodes the rows of one metric (some 8 us a row)."""

    def __init__(self, metric: Metric, ids: Mapping[str, int], topic: str) -> None:
        """topic: full name of the metric's topic."""
        self._record = catalog.schema(metric.name).parsed
        self._header = _HEADER.pack(0, ids[metric.name])
        self._topic = topic
        self._names = tuple(field.name for field in dataclasses.fields(metric.row))
        self._values = operator.attrgetter(*self._names)
        self._key = metric.key
        self._nullable = tuple(field["name"] for field in self._record["fields"] if isinstance(field["type"], list))
        self._schemas: dict[tuple[bool, ...], tuple[Any, dict[str, int]]] = {}

    def record(self, row: Any) -> Record:
        """The record of one row. Raises ValueError or TypeError if a value is not its schema's."""
        fields = dict(zip(self._names, self._values(row), strict=True))
        nulls = tuple([fields[name] is None for name in self._nullable])
        if nulls not in self._schemas:
            self._schemas[nulls] = self._plain(nulls)
        schema, branches = self._schemas[nulls]
        key = self._key_of([fields[name] for name in self._key])
        fields.update(branches)
        buffer = io.BytesIO()
        buffer.write(self._header)
        fastavro.schemaless_writer(buffer, schema, fields)
        return Record(self._topic, -1, key, buffer.getvalue())

    def tombstone(self, key: Sequence[Any]) -> Record:
        """The record that takes the row with these key fields back."""
        return Record(self._topic, -1, self._key_of(key), None)

    def _key_of(self, values: Sequence[Any]) -> bytes:
        return _text(dict(zip(self._key, values, strict=True))).encode()

    def _plain(self, nulls: tuple[bool, ...]) -> tuple[Any, dict[str, int]]:
        """The schema for rows with these nulls, without unions, and the branch numbers it wants as fields."""
        null = dict(zip(self._nullable, nulls, strict=True))
        fields: list[dict[str, Any]] = []
        branches = {}
        for field in self._record["fields"]:
            kind = field["type"]
            if isinstance(kind, list):
                number = kind.index("null") if null[field["name"]] else 1 - kind.index("null")
                branches[field["name"] + _BRANCH] = number
                fields.append({"name": field["name"] + _BRANCH, "type": "int"})
                kind = kind[number]
            elif isinstance(kind, dict) and "logicalType" in kind:
                kind = kind["type"]
            fields.append({"name": field["name"], "type": kind})
        return fastavro.parse_schema({"type": "record", "name": self._record["name"], "fields": fields}), branches
