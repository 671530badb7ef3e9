"""Confluent-framed Avro to Arrow: in bulk by pyruhvro, byte by byte where a chunk holds bad records.

The bulk decoder is lenient: it takes trailing bytes, integers that overflow and strings that are not UTF-8. So strings
are validated, and every bulk result is encoded again: bytes that come out as they went in were well-formed. Of each
chunk some records are also decoded by the `avro` package, which checks this decoder itself. Times are int64
milliseconds (logical types are dropped).
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import avro.io
import avro.schema
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyruhvro

from jinliu.oracle import plain
from jinliu.oracle.errors import OracleError

NOT_CONFLUENT, UNKNOWN_SCHEMA, MALFORMED = -1, -2, -3
HEADER = 5
SAMPLE = 3
"""Records of a chunk that the `avro` package decodes too (70 us each)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One chunk.

    `kind` int8[n] (index into the record names, or a code below 0); by record name its rows in log order.
    """

    kind: npt.NDArray[np.int8]
    rows: dict[str, pa.RecordBatch]


class _Record:
    """One record type: its schema in the decoders' forms."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.parsed = bare(json.loads(text))
        self.text = json.dumps(self.parsed)
        self.arrow: pa.Schema = pyruhvro.avro_to_arrow_schema(self.text)
        self._texts = [
            field["name"] for field in self.parsed["fields"] if field["type"] in ("string", ["null", "string"])
        ]
        self._avro = avro.io.DatumReader(avro.schema.parse(self.text))

    def bulk(self, data: list[bytes]) -> pa.RecordBatch | None:
        """The rows, or None where any record is not well-formed or not in its shortest form."""
        try:
            batch = pyruhvro.deserialize_array(data, self.text)
            for name in self._texts:
                batch.column(name).validate(full=True)
        except (ValueError, OverflowError):
            return None
        again = b"".join(_content(part) for part in pyruhvro.serialize_record_batch(batch, self.text, 1))
        return batch if again == b"".join(data) else None

    def one_by_one(self, data: list[bytes]) -> tuple[pa.RecordBatch, list[int]]:
        """The well-formed rows, and the positions of the others."""
        good, bad = [], []
        for i, item in enumerate(data):
            try:
                good.append(plain.datum(self.parsed, item))
            except plain.MalformedError:
                bad.append(i)
        return pa.RecordBatch.from_pylist(good, schema=self.arrow), bad

    def check(self, batch: pa.RecordBatch, data: list[bytes]) -> None:
        """Hold some rows against the `avro` package. Raises OracleError where they differ."""
        for i in range(0, len(data), max(1, len(data) // SAMPLE)):
            expected = self._avro.read(avro.io.BinaryDecoder(io.BytesIO(data[i])))
            found = batch.slice(i, 1).to_pylist()[0]
            if expected != found:
                raise OracleError(f"decoders disagree about a {self.name}: avro {expected!r}, pyruhvro {found!r}")


def bare(schema: Any) -> Any:
    """A schema without logical types and docs."""
    if isinstance(schema, dict):
        return {k: bare(v) for k, v in schema.items() if k not in ("logicalType", "doc")}
    return [bare(item) for item in schema] if isinstance(schema, list) else schema


def _content(array: pa.Array) -> memoryview:
    """The concatenated bytes of a binary array."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    return memoryview(array.buffers()[2])[int(offsets[0]) : int(offsets[-1])]


class Decoder:
    """Decodes the values of a topic that holds the records `schemas` (name -> (id on the wire, schema text))."""

    def __init__(self, schemas: Mapping[str, tuple[int, str]]) -> None:
        self.names = tuple(schemas)
        self._records = [_Record(name, text) for name, (_, text) in schemas.items()]
        self._kinds = {b"\x00" + number.to_bytes(4, "big"): k for k, (number, _) in enumerate(schemas.values())}

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """A chunk's rows. Raises OracleError where the decoders disagree about a sampled record."""
        heads = [b"" if value is None else value[:HEADER] for value in values]
        known = {head: self._kind(head) for head in set(heads)}
        kind = np.array([known[head] for head in heads], np.int8)
        rows = {}
        for k, record in enumerate(self._records):
            index = np.flatnonzero(kind == k)
            data = [value[HEADER:] for value in map(values.__getitem__, index.tolist()) if value is not None]
            batch = record.bulk(data) if data else None
            if batch is None:
                batch, bad = record.one_by_one(data)
                kind[index[bad]] = MALFORMED
            else:
                record.check(batch, data)
            rows[record.name] = batch
        return Decoded(kind, rows)

    def _kind(self, head: bytes) -> int:
        if len(head) < HEADER or head[0] != 0:
            return NOT_CONFLUENT
        return self._kinds.get(head, UNKNOWN_SCHEMA)
