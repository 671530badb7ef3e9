"""NumPy columns to Kafka records: key, Confluent header and Avro datum of each row, in one generated kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas import catalog, encode_kernel, kernels, layout
from schemas.errors import EncodeError, UnsupportedSchema
from schemas.layout import Field
from schemas.vocabulary import Snippets, checked, snippets

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
SLACK = 64  # bytes behind the last record that the kernel may scribble on
_FRAMING = 5 + 1 + 1 + 5 + 5 + 5 + 5 + 1  # length, attributes, time, offset, key length, value length, id, headers
_DTYPES: dict[str, Any] = {
    "long": np.int64, "int": np.int32, "enum": np.int8, "boolean": np.bool_, "double": np.float64, "string": np.int16,
    "fixed": np.uint8,
}  # fmt: skip
_VIEWS: dict[str, Any] = {"boolean": np.uint8, "double": np.uint64}
_MOST = {"long": 10, "int": 5, "enum": 2, "boolean": 1, "double": 8}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the kernel writes. Columns are its arguments in order: per field the values, then `<field>?` if nullable.

    begins: string field -> first snippet of its vocabulary. sizes: string field -> number of words.
    """

    fields: tuple[Field, ...]
    key: Field
    begins: Mapping[str, int]
    sizes: Mapping[str, int]


class Encoder:
    """Encodes rows of one record type.

    vocabularies: string field -> words that its int16 codes name (a nullable string without one can only be null).
    key: the field written as the record's key, a long as 8 bytes big-endian (Kafka's LongSerializer) or a string.
    Columns: long int64, int int32, enum int8, boolean bool, double float64, string int16, fixed uint8[n, size]; a
    nullable field has a companion `<field>?` bool, and may be left out with it (all null). Raises UnsupportedSchema.
    """

    def __init__(self, name: str, schema_id: int, vocabularies: Mapping[str, Sequence[str]] | None, key: str) -> None:
        self._prepare(name, schema_id, catalog.schema(name).parsed, vocabularies or {}, key)

    @classmethod
    def of_schema(
        cls, parsed: Mapping[str, Any], schema_id: int, vocabularies: Mapping[str, Sequence[str]] | None, key: str
    ) -> Encoder:
        """An encoder of a schema outside the catalog."""
        made = cls.__new__(cls)
        made._prepare(str(parsed["name"]), schema_id, parsed, vocabularies or {}, key)
        return made

    def _prepare(
        self, name: str, schema_id: int, parsed: Mapping[str, Any], vocabularies: Mapping[str, Sequence[str]], key: str
    ) -> None:
        self.name = name
        fields = layout.fields(parsed)
        strings = [field for field in fields if field.type == "string"]
        for field in strings:
            if field.name not in vocabularies and not field.nullable:
                raise UnsupportedSchema(f"{name}.{field.name}: a string column needs a vocabulary to be encoded")
        words = {field.name: checked(field.name, vocabularies.get(field.name, ())) for field in strings}
        self._snippets: Snippets
        self._snippets, begins = snippets([words[field.name] for field in strings])
        self._plan = Plan(
            fields,
            _key(name, fields, key),
            dict(zip(words, begins, strict=True)),
            {field: len(known) for field, known in words.items()},
        )
        self._most = _FRAMING + _most_bytes(self._plan, words)
        header = b"\x00" + schema_id.to_bytes(4, "big", signed=True)
        self._header = int.from_bytes(header, "little")
        self._kernel = kernels.compiled(encode_kernel.source(self._plan), "encode")

    def size_bound(self, n: int) -> int:
        """Bytes of buffer that n rows need at most, slack included."""
        return n * self._most + SLACK

    def into(self, buf: Bytes, pos: int, columns: Mapping[str, Array], lo: int, hi: int, delta: int) -> int:
        """Appends rows lo..hi as v2 records from `pos`, offset deltas from `delta`; returns the position behind them.

        buf: writable contiguous uint8 with at least size_bound(hi - lo) bytes from pos; what follows the returned
        position may be scribbled on. Raises EncodeError naming the field and row that cannot be written.
        """
        need = self.size_bound(hi - lo)
        if not 0 <= pos <= len(buf) - need:
            raise EncodeError(f"{self.name}: rows {lo}..{hi} may take {need} bytes; {len(buf)} from {pos} are too few")
        if not 0 <= delta <= 0x7FFFFFFF - (hi - lo):
            raise EncodeError(f"{self.name}: offset delta {delta} does not fit a record batch")
        return self._run(buf, pos, self._arguments(columns, lo, hi), lo, hi, delta, True)

    def bare(self, columns: Mapping[str, Array], lo: int, hi: int) -> bytes:
        """Key and datum of rows lo..hi without framing and Confluent header, concatenated: what a digest hashes."""
        arguments = self._arguments(columns, lo, hi)
        buf = np.empty(self.size_bound(hi - lo), np.uint8)
        return buf[: self._run(buf, 0, arguments, lo, hi, 0, False)].tobytes()

    def _run(self, buf: Bytes, pos: int, arguments: Sequence[Array], lo: int, hi: int, delta: int, framed: bool) -> int:
        words = self._snippets
        end: int = self._kernel(
            buf, pos, lo, hi, delta, framed, self._header, words.pool, words.at, words.size, words.head, *arguments
        )
        if end < 0:
            row, fault = divmod(-end - 1, len(self._plan.fields))
            field = self._plan.fields[fault]
            raise EncodeError(f"{self.name}.{field.name}: the value at row {row} is out of range")
        return end

    def _arguments(self, columns: Mapping[str, Array], lo: int, hi: int) -> list[Array]:
        if not 0 <= lo <= hi:
            raise EncodeError(f"{self.name}: rows {lo}..{hi} are no range")
        arguments: list[Array] = []
        for field in self._plan.fields:
            name = field.name
            values = columns.get(name)
            if field.nullable:
                present = columns.get(f"{name}?")
                if present is None and values is None:
                    present = np.zeros(hi, np.bool_)
                    values = np.zeros((hi, field.size) if field.size else hi, _DTYPES[field.type])
                elif present is None or values is None:
                    raise EncodeError(f"{self.name}: of {name!r} and {name + '?'!r} both columns are needed, or none")
                arguments.append(self._column(field, values, hi))
                arguments.append(self._checked(f"{name}?", present, np.bool_, 1, hi).view(np.uint8))
                continue
            if values is None:
                raise EncodeError(f"{self.name}: column {name!r} is missing")
            arguments.append(self._column(field, values, hi))
        return arguments

    def _column(self, field: Field, values: Array, hi: int) -> Array:
        array = self._checked(field.name, values, _DTYPES[field.type], 2 if field.type == "fixed" else 1, hi)
        if field.type == "fixed" and array.shape[1] != field.size:
            raise EncodeError(f"{self.name}.{field.name}: rows are of {array.shape[1]} bytes, not {field.size}")
        view = _VIEWS.get(field.type)
        return array if view is None else array.view(view)

    def _checked(self, name: str, array: Array, dtype: Any, dimensions: int, hi: int) -> Array:
        """The array as the kernel's signature wants it: exact dtype, C-contiguous, writable (else the call fails)."""
        if array.ndim != dimensions or len(array) < hi:
            raise EncodeError(f"{self.name}.{name}: shape {array.shape} is not {dimensions}-dimensional with {hi} rows")
        if array.dtype != dtype:
            if not np.can_cast(array.dtype, dtype, "safe"):
                raise EncodeError(f"{self.name}.{name}: a column of {array.dtype} is not {np.dtype(dtype)}")
            return array.astype(dtype)
        flags = array.flags
        return array if flags.c_contiguous and flags.writeable else array.copy()


def _key(name: str, fields: Sequence[Field], key: str) -> Field:
    for field in fields:
        if field.name == key:
            if field.type not in ("long", "string") or field.nullable:
                raise UnsupportedSchema(f"{name}.{key}: a key is a long or a string that is never null")
            return field
    raise UnsupportedSchema(f"record {name!r} has no field {key!r} for its key")


def _most_bytes(plan: Plan, words: Mapping[str, Sequence[str]]) -> int:
    """Bytes of the widest key and datum."""

    def widest(field: Field) -> int:
        if field.type == "string":
            return max((len(word.encode()) for word in words[field.name]), default=0) + 5
        return field.size if field.type == "fixed" else _MOST[field.type]

    key = 8 if plan.key.type == "long" else widest(plan.key)
    return key + sum(widest(field) + field.nullable for field in plan.fields)
