"""Record batches to NumPy columns: one generated kernel walks record framing, Confluent header and datum in one pass.

Only wanted columns are stored; everything else is skipped, yet validated. The kernel's reads are safe by padding:
between two checks against the end of a record it moves by at most ten bytes a field and the union before it, and the
buffer is longer by more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas import catalog, decode_kernel, kernels, layout
from schemas.errors import CorruptBatch, UnsupportedSchema
from schemas.layout import Field
from schemas.native import PADDING
from schemas.recordbatch import LOG_APPEND_TIME, RawBatch
from schemas.vocabulary import WordTables, checked, word_tables

NOT_CONFLUENT, UNKNOWN_SCHEMA, MALFORMED = -1, -2, -3
LEAST_RECORD = 7  # bytes of a record without key, value and headers
MOST_BYTES = (1 << 31) - 1  # the place of a text is packed into 31 bits
MOST_BROKEN = 4_096  # rows given for a batch whose bytes cannot hold the records it claims

Array = npt.NDArray[Any]
_STORES: dict[str, str] = {
    "long": "c64", "double": "c64", "text": "c64", "int": "c32", "word": "c16", "enum": "c8", "boolean": "c8",
    "fixed": "fixed",
}  # fmt: skip
_DTYPES: dict[str, Any] = {"double": np.float64, "boolean": np.bool_}


@dataclass(frozen=True, slots=True)
class Column:
    """Where the kernel stores a column: `row` of the arena `store`; `present` is the row of `<field>?` in c8, or -1."""

    field: Field
    store: str
    row: int
    present: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One record type of a decoder: its fields, the columns wanted, and the vocabulary index of its string fields."""

    name: str
    id: int
    fields: tuple[Field, ...]
    columns: Mapping[str, Column]
    words: Mapping[str, int]


@dataclass(slots=True)
class Rows:
    """What a decode found, one row a record, in log order.

    kind int8[n]: index of the record type, or NOT_CONFLUENT, UNKNOWN_SCHEMA, MALFORMED. offset int64[n], strictly
    ascending. timestamp int64[n]: wall ms. columns: record name -> field -> array, compact by record type.
    index: record name -> int64 row number of each compact entry, ascending.
    """

    n: int
    kind: npt.NDArray[np.int8]
    offset: npt.NDArray[np.int64]
    timestamp: npt.NDArray[np.int64]
    columns: dict[str, dict[str, Array]]
    index: dict[str, npt.NDArray[np.int64]]
    _buffer: npt.NDArray[np.uint8]
    _place: npt.NDArray[np.int64]
    _batches: npt.NDArray[np.int64]

    def text(self, record: str, field: str, i: int) -> str:
        """The string of a field without vocabulary, of compact entry i; "" where it is null."""
        packed = int(self.columns[record][field][i])
        start, size = packed >> 32, packed & 0xFFFFFFFF
        return self._buffer[start : start + size].tobytes().decode()

    def raw(self, row: int) -> tuple[bytes | None, bytes | None, int]:
        """Key, value and wall ms of the record in a row, whole.

        Where the framing of a batch broke, the first such row has the rest of the batch as its value, later ones none.
        """
        timestamp, place = int(self.timestamp[row]), int(self._place[row])
        if place == -1:
            return None, None, timestamp
        if place < 0:
            batch = self._batches[np.searchsorted(self._batches[:, 4], self.offset[row])]
            rest = self._buffer[-place - 2 : int(batch[1])].tobytes()
            return None, rest or None, timestamp
        key, value, _ = _key_and_value(self._buffer, place)
        return key, value, timestamp

    def headers(self, row: int) -> tuple[tuple[str, bytes | None], ...]:
        """Headers of the record in a row, in order; none where its framing broke."""
        place = int(self._place[row])
        return () if place < 0 else _headers(self._buffer, place)


class Decoder:
    """Decodes the batches of one topic.

    records: record name -> schema id, their order gives the kind codes. vocabularies: string field -> known words; its
    column is then an int16 code, -1 where unknown. columns: record name -> wanted fields (None, or a record not named:
    all). A nullable field has a companion `<field>?` bool. Raises UnknownSchema, UnsupportedSchema.
    """

    def __init__(
        self,
        records: Mapping[str, int],
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        columns: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        parsed = {name: catalog.schema(name).parsed for name in records}
        self._prepare(records, parsed, vocabularies or {}, columns or {})

    @classmethod
    def of_schemas(
        cls,
        schemas: Mapping[str, tuple[int, Mapping[str, Any]]],
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        columns: Mapping[str, Collection[str]] | None = None,
    ) -> Decoder:
        """A decoder of schemas outside the catalog: record name -> (schema id, parsed schema)."""
        made = cls.__new__(cls)
        ids = {name: number for name, (number, _) in schemas.items()}
        made._prepare(ids, {name: parsed for name, (_, parsed) in schemas.items()}, vocabularies or {}, columns or {})
        return made

    def _prepare(
        self,
        records: Mapping[str, int],
        parsed: Mapping[str, Mapping[str, Any]],
        vocabularies: Mapping[str, Sequence[str]],
        columns: Mapping[str, Collection[str]],
    ) -> None:
        if len(set(records.values())) != len(records) or not records:
            raise UnsupportedSchema("a decoder needs at least one record type, and a schema id of its own for each")
        for name in columns:
            if name not in records:
                raise UnsupportedSchema(
                    f"columns of record {name!r} are wanted, which is not among {', '.join(records)}"
                )
        known = {field: checked(field, words) for field, words in vocabularies.items()}
        words = {field: i for i, field in enumerate(known)}
        used = dict.fromkeys(("c64", "c32", "c16", "c8", "fixed"), 0)
        self._plans = [
            _plan(name, records[name], layout.fields(parsed[name]), columns.get(name), words, used) for name in records
        ]
        self._used = used
        self._padding = PADDING + 20 * max(len(plan.fields) for plan in self._plans)
        self._tables: WordTables = word_tables([known[field] for field in words])
        self._ids = np.array([plan.id for plan in self._plans], np.int64)
        self._ids.flags.writeable = False
        self._views = {plan.name: _views(plan) for plan in self._plans}

        self._kernel = kernels.compiled(decode_kernel.source(self._plans), "decode")

    @property
    def records(self) -> tuple[str, ...]:
        """Record names, at the index that is their kind."""
        return tuple(plan.name for plan in self._plans)

    def decode(self, batches: Iterable[RawBatch], start_offset: int = 0) -> Rows:
        """The records of data batches from `start_offset` on; control batches are passed over.

        Whatever the bytes, what cannot be read is a row of a negative kind. Raises CorruptBatch for more than 2 GB.
        """
        buffer, table, limit = self._gather(batches)
        stride = ((limit + 63) // 64 | 1) * 64  # an odd number of 64: columns must not all fall into one cache set
        used = self._used
        arenas = (
            np.empty((used["c64"], stride), np.int64),
            np.empty((used["c32"], stride), np.int32),
            np.empty((used["c16"], stride), np.int16),
            np.empty((used["c8"], stride), np.int8),
            np.empty(used["fixed"] * stride, np.uint8),
        )
        kind = np.empty(limit, np.int8)
        numbers = np.empty((3, stride), np.int64)  # offset, timestamp, place
        index = np.empty((len(self._plans), stride), np.int64)
        counts = np.zeros(len(self._plans), np.int64)
        tables = self._tables
        n = self._kernel(
            buffer, table, start_offset, self._ids, tables.bounds, tables.slots, tables.words, tables.pool,
            kind, numbers, index, counts, *arenas,
        )  # fmt: skip
        columns: dict[str, dict[str, Array]] = {}
        indices: dict[str, npt.NDArray[np.int64]] = {}
        for plan, count, rows in zip(self._plans, counts.tolist(), index, strict=True):
            indices[plan.name] = rows[:count]
            columns[plan.name] = _slices(self._views[plan.name], arenas, count, stride)
        return Rows(n, kind[:n], numbers[0, :n], numbers[1, :n], columns, indices, buffer, numbers[2, :n], table)

    def _gather(self, batches: Iterable[RawBatch]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], int]:
        """All payloads in one padded buffer, the table of the batches in it, and the greatest number of rows."""
        rows: list[tuple[int, ...]] = []
        parts: list[npt.NDArray[np.uint8]] = []
        size = limit = 0
        for batch in batches:
            if batch.is_control:
                continue
            payload = batch.payload
            span = batch.last_offset - batch.base_offset + 1
            count = min(batch.count, span, max(len(payload) // LEAST_RECORD + 1, MOST_BROKEN))
            appended = 1 if batch.attributes & LOG_APPEND_TIME else 0
            stamp = batch.max_ts if appended else batch.first_ts
            rows.append((size, size + len(payload), count, batch.base_offset, batch.last_offset, stamp, appended))
            parts.append(payload)
            size += len(payload)
            limit += count
        if size > MOST_BYTES:
            raise CorruptBatch(
                f"a fetch holds {size} bytes uncompressed; at most {MOST_BYTES} can be decoded: fetch less"
            )
        buffer = np.empty(size + self._padding, np.uint8)
        buffer[size:] = 0
        for row, part in zip(rows, parts, strict=True):
            buffer[row[0] : row[1]] = part
        buffer.flags.writeable = False
        table = np.array(rows, np.int64).reshape(-1, 7)
        table.flags.writeable = False
        return buffer, table, limit


def _plan(
    name: str,
    number: int,
    fields: tuple[Field, ...],
    wanted: Collection[str] | None,
    words: Mapping[str, int],
    used: dict[str, int],
) -> Plan:
    known = {field.name for field in fields}
    for field_name in sorted(wanted or ()):
        if field_name.removesuffix("?") not in known:
            raise UnsupportedSchema(f"record {name!r} has no field {field_name!r}; it has {', '.join(sorted(known))}")
    columns: dict[str, Column] = {}
    for field in fields:
        if wanted is not None and field.name not in wanted and f"{field.name}?" not in wanted:
            continue
        store = _STORES[_stored(field, words)]
        row, used[store] = used[store], used[store] + (field.size if store == "fixed" else 1)
        present = -1
        if field.nullable:
            present, used["c8"] = used["c8"], used["c8"] + 1
        columns[field.name] = Column(field, store, row, present)
    looked_up = {f.name: words[f.name] for f in fields if f.type == "string" and f.name in words}
    return Plan(name, number, fields, columns, looked_up)


def _stored(field: Field, words: Mapping[str, int]) -> str:
    return field.type if field.type != "string" else ("word" if field.name in words else "text")


_ARENAS = {"c64": 0, "c32": 1, "c16": 2, "c8": 3, "fixed": 4}


def _views(plan: Plan) -> list[tuple[str, int, int, Any, int]]:
    """(column name, arena, row, dtype to view as or None, fixed size) of every column of a record type."""
    views: list[tuple[str, int, int, Any, int]] = []
    for name, column in plan.columns.items():
        views.append((name, _ARENAS[column.store], column.row, _DTYPES.get(column.field.type), column.field.size))
        if column.present >= 0:
            views.append((f"{name}?", _ARENAS["c8"], column.present, np.bool_, 0))
    return views


def _slices(
    views: list[tuple[str, int, int, Any, int]], arenas: tuple[Array, ...], count: int, stride: int
) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    for name, arena, row, dtype, size in views:
        if arena == 4:
            columns[name] = arenas[4][row * stride : row * stride + count * size].reshape(count, size)
            continue
        column = arenas[arena][row, :count]
        columns[name] = column if dtype is None else column.view(dtype)
    return columns


def _key_and_value(buffer: npt.NDArray[np.uint8], position: int) -> tuple[bytes | None, bytes | None, int]:
    """Of a record whose framing the kernel has already checked, and the position behind them."""
    _, position = _varint(buffer, position)
    position += 1
    _, position = _varint(buffer, position)
    _, position = _varint(buffer, position)
    found: list[bytes | None] = []
    for _ in range(2):
        size, position = _varint(buffer, position)
        found.append(None if size < 0 else buffer[position : position + size].tobytes())
        position += max(size, 0)
    return found[0], found[1], position


def _headers(buffer: npt.NDArray[np.uint8], position: int) -> tuple[tuple[str, bytes | None], ...]:
    """Of a record whose framing the kernel has already checked. Names that are no UTF-8 get U+FFFD."""
    count, position = _varint(buffer, _key_and_value(buffer, position)[2])
    found: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        parts: list[bytes | None] = []
        for _ in range(2):
            size, position = _varint(buffer, position)
            parts.append(None if size < 0 else buffer[position : position + size].tobytes())
            position += max(size, 0)
        found.append(((parts[0] or b"").decode(errors="replace"), parts[1]))
    return tuple(found)


def _varint(buffer: npt.NDArray[np.uint8], position: int) -> tuple[int, int]:
    z = shift = 0
    while True:
        byte = int(buffer[position])
        position += 1
        z |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (z >> 1) ^ -(z & 1), position
