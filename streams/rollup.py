"""A rollup: one topic, grouped by closed sets of keys and by tumbling windows, with mergeable measures; and its
layout in memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams import measures as m
from streams.errors import DefinitionError

Int64 = npt.NDArray[np.int64]

ADD, MAX, MIN, OR = 0, 1, 2, 3
OPERATION = {m.COUNT: ADD, m.TOTAL: ADD, m.HISTOGRAM: ADD, m.LARGEST: MAX, m.SMALLEST: MIN, m.DISTINCT: OR}
CELLS_MAX = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """What to fold.

    keys: event columns with a closed set of values (enumerations, booleans, strings with a vocabulary); cells are
    their product. measures: name -> measure. where: only events that match are folded, column -> symbol or tuple of
    symbols, ANDed.
    """

    name: str
    topic: str
    keys: tuple[str, ...]
    measures: Mapping[str, m.Measure]
    where: m.Where = field(default_factory=dict)

    def columns(self) -> tuple[str, ...]:
        """Event columns it reads besides `event_time`, in a fixed order."""
        names = [*self.keys, *self.where]
        for measure in self.measures.values():
            names.extend(measure.columns())
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Column:
    """An event column: numpy dtype name, and its symbols in code order when it is a closed set."""

    dtype: str
    symbols: tuple[m.Symbol, ...] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Where a measure lies in a row: shape is keys, then `by`, bins or bitmap words; op merges it."""

    offset: int
    shape: tuple[int, ...]
    op: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A rollup bound to its columns: a row is int64[width], sums and extremes first, then bitmaps from `bitmap` on.

    Extremes are stored so that 0 means none: v + 1 for v >= 0, else v. regions: int64[k, 3] (start, stop, op)
    covering the row. tag: 4 bytes that change with the definition, so that stored rows of another definition are
    refused.
    """

    rollup: Rollup
    columns: Mapping[str, Column]
    symbols: tuple[tuple[m.Symbol, ...], ...]
    parts: Mapping[str, Part]
    width: int
    bitmap: int
    words: int
    regions: Int64
    tag: bytes

    def view(self, row: Int64, name: str) -> Int64:
        """int64 array of one measure's shape: sums as they are, extremes decoded (0 where none), bitmaps counted."""
        part = self.parts[name]
        cells: Int64 = row[part.offset : part.offset + part.size].reshape(part.shape)
        if part.op == ADD:
            return cells
        if part.op == OR:
            people: Int64 = np.bitwise_count(cells.view(np.uint64)).sum(axis=-1, dtype=np.int64)
            return people
        return np.where(cells > 0, cells - 1, cells)


def bind(rollup: Rollup, columns: Mapping[str, Column], people: int) -> Layout:
    """Lay a rollup out. people: greatest number of persons in one shard, for bitmaps.

    Raises DefinitionError for an unknown column or symbol, a key without a closed set, or too many cells.
    """
    for name in rollup.columns():
        if name not in columns:
            raise DefinitionError(
                f"rollup {rollup.name!r}: topic {rollup.topic!r} has no column {name!r}; it has {', '.join(columns)}"
            )
    symbols = tuple(_symbols(rollup, columns, key) for key in rollup.keys)
    _check_where(rollup, columns, rollup.where)
    keys = tuple(len(values) for values in symbols)
    words = -(-people // 64)
    parts: dict[str, Part] = {}
    offset = 0
    for name, measure in sorted(rollup.measures.items(), key=lambda item: item[1].kind == m.DISTINCT):
        _check_where(rollup, columns, measure.where)
        shape = keys + _tail(rollup, columns, measure, words)
        parts[name] = Part(offset, shape, OPERATION[measure.kind])
        offset += math.prod(shape)
    if not parts or offset > CELLS_MAX:
        raise DefinitionError(f"rollup {rollup.name!r}: {offset} cells a window; between 1 and {CELLS_MAX} are allowed")
    bitmap = min((part.offset for part in parts.values() if part.op == OR), default=offset)
    regions = np.array([(part.offset, part.offset + part.size, part.op) for part in parts.values()], np.int64)
    text = repr(
        (
            rollup.keys,
            symbols,
            sorted(rollup.where.items()),
            list(rollup.measures.items()),
            words if bitmap < offset else 0,
        )
    )
    tag = hashlib.sha256(text.encode()).digest()[:4]
    return Layout(rollup, columns, symbols, parts, offset, bitmap, words, regions, tag)


def _tail(rollup: Rollup, columns: Mapping[str, Column], measure: m.Measure, words: int) -> tuple[int, ...]:
    if measure.kind == m.HISTOGRAM:
        return (len(measure.edges) + 1,)
    if measure.kind == m.DISTINCT:
        return (words,)
    return (len(_symbols(rollup, columns, measure.by)),) if measure.by is not None else ()


def _symbols(rollup: Rollup, columns: Mapping[str, Column], name: str) -> tuple[m.Symbol, ...]:
    symbols = columns[name].symbols
    if symbols is None:
        raise DefinitionError(f"rollup {rollup.name!r}: {name!r} has no closed set of values, so it can be no key")
    return symbols


def _check_where(rollup: Rollup, columns: Mapping[str, Column], where: m.Where) -> None:
    for name, wanted in where.items():
        known = _symbols(rollup, columns, name)
        for symbol in wanted if isinstance(wanted, tuple) else (wanted,):
            if symbol not in known:
                raise DefinitionError(
                    f"rollup {rollup.name!r}: {name!r} is never {symbol!r}; it is one of {', '.join(map(str, known))}"
                )
