"""A rollup: one topic, grouped by closed sets of keys and by tumbling windows, with mergeable measures; and its
layout in memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams import bitmaps
from streams import measures as m
from streams.errors import DefinitionError

Int64 = npt.NDArray[np.int64]

ADD, MAX, MIN, OR = 0, 1, 2, 3
OPERATION = {
    m.COUNT: ADD, m.TOTAL: ADD, m.HISTOGRAM: ADD, m.LARGEST: MAX, m.SMALLEST: MIN, m.DISTINCT: OR, m.OVERLAP: OR,
}  # fmt: skip
CELLS_MAX = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """What to fold.

    keys: event columns with a closed set of values (enumerations, booleans, strings with a vocabulary, integers with
    narrow bounds); cells are their product. measures: name -> measure. where: only events that match are folded,
    column -> symbol or tuple of symbols, ANDed. cumulative: a window holds everything folded from the start of the run
    to its end instead of what came in it, as stocks are counted (what was funded less what was repaid is outstanding).
    """

    name: str
    topic: str
    keys: tuple[str, ...]
    measures: Mapping[str, m.Measure]
    where: m.Where = field(default_factory=dict)
    cumulative: bool = False

    def columns(self) -> tuple[str, ...]:
        """Event columns it reads besides `event_time`, in a fixed order."""
        names = [*self.keys, *self.where]
        for measure in self.measures.values():
            names.extend(measure.columns())
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Column:
    """An event column: numpy dtype name, and its symbols in code order when it is a closed set.

    nullable: whether it may be null, which the decoder makes 0. person: whether it is the topic's person field, whose
    ids are numbered within a shard. low: the column's value for its first symbol.
    """

    dtype: str
    symbols: tuple[m.Symbol, ...] | None = None
    nullable: bool = False
    person: bool = False
    low: int = 0

    def code(self, symbol: m.Symbol) -> int:
        """The value a symbol has in the column."""
        assert self.symbols is not None
        return self.low + self.symbols.index(symbol)


@dataclass(frozen=True, slots=True)
class Part:
    """Where a measure lies in a row; op merges it. shape: keys, then `by` or bins; of bitmaps (how many, words), those
    of the cells (and `by`) first, then `slices` of a weight.
    """

    offset: int
    shape: tuple[int, ...]
    op: int
    slices: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A rollup bound to its columns: a row is int64[width], sums and extremes first, then bitmaps from `bitmap` on.

    Extremes are stored so that 0 means none: v + 1 for v >= 0, else v, and 2^63 - 1 as itself. regions: int64[k, 3]
    (start, stop, op) covering the row. tag: 4 bytes that change with the definition, so that stored rows of another
    definition are refused.
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
        """int64 array of one measure: sums as they are, extremes decoded (0 where none); what bitmaps count is of the
        keys' shape (and one more axis where they weigh).
        """
        part = self.parts[name]
        cells: Int64 = row[part.offset : part.offset + part.size].reshape(part.shape)
        if part.op == ADD:
            return cells
        if part.op == OR:
            return self._people(cells.view(np.uint64), part.slices, self.rollup.measures[name].kind == m.OVERLAP)
        return np.where(cells > 0, cells - 1, cells)

    def _people(self, maps: bitmaps.UInt64, slices: int, overlap: bool) -> Int64:
        """What uint64[bitmaps, words] of a measure count."""
        keys = tuple(len(symbols) for symbols in self.symbols)
        cells = math.prod(keys)
        people, weights = maps[: len(maps) - slices], maps[len(maps) - slices :]
        if overlap:
            people = bitmaps.several(people.reshape(cells, len(people) // cells, self.words))
        return bitmaps.weighed(people, weights).reshape(*keys, 2) if slices else bitmaps.counted(people).reshape(keys)


def bind(rollup: Rollup, columns: Mapping[str, Column], people: int, metric: str = "") -> Layout:
    """Lay a rollup out. people: greatest number of persons in one shard, for bitmaps. metric: whose it is, for errors.

    Raises DefinitionError for an unknown column or symbol, a key without a closed set, a column that its use would
    misread (null as 0, doubles cut, persons of several shards as one) or too many cells.
    """
    place = f"metric {metric!r}, rollup {rollup.name!r}" if metric else f"rollup {rollup.name!r}"
    for name in rollup.columns():
        if name not in columns:
            raise DefinitionError(
                f"{place}: topic {rollup.topic!r} has no column {name!r}; it has {', '.join(columns)}"
            )
    for use in _uses(place, rollup):
        _check_use(use, rollup, columns)
    symbols = tuple(_symbols(place, columns, key) for key in rollup.keys)
    _check_where(place, columns, rollup.where)
    keys = tuple(len(values) for values in symbols)
    words = -(-people // 64)
    parts: dict[str, Part] = {}
    offset = 0
    for name, measure in sorted(rollup.measures.items(), key=lambda item: OPERATION[item[1].kind] == OR):
        at = f"{place}, measure {name!r}"
        _check_where(at, columns, measure.where)
        shape = keys + _tail(at, columns, measure)
        part = Part(offset, shape, OPERATION[measure.kind])
        if part.op == OR:
            slices = bitmaps.WEIGHT_BITS if measure.times is not None else 0
            part = Part(offset, (math.prod(shape) + slices, words), OR, slices)
        parts[name] = part
        offset += part.size
    if not parts or offset > CELLS_MAX:
        raise DefinitionError(f"{place}: {offset} cells a window; between 1 and {CELLS_MAX} are allowed")
    bitmap = min((part.offset for part in parts.values() if part.op == OR), default=offset)
    regions = np.array([(part.offset, part.offset + part.size, part.op) for part in parts.values()], np.int64)
    text = repr(
        (
            rollup.keys,
            symbols,
            sorted(rollup.where.items()),
            list(rollup.measures.items()),
            words if bitmap < offset else 0,
            *(("cumulative",) if rollup.cumulative else ()),
        )
    )
    tag = hashlib.sha256(text.encode()).digest()[:4]
    return Layout(rollup, columns, symbols, parts, offset, bitmap, words, regions, tag)


@dataclass(frozen=True, slots=True)
class _Use:
    """One reading of a column: where the definition says it, what reads it, whether that computes with its value or
    asks for its symbol, and whether it takes it for a person.
    """

    place: str
    by: str
    column: str
    valued: bool = False
    person: bool = False


def _uses(place: str, rollup: Rollup) -> Iterator[_Use]:
    """Every reading of a column, in the order of the definition."""
    for name in rollup.keys:
        yield _Use(place, "keys", name)
    for name in rollup.where:
        yield _Use(place, "where", name)
    for label, measure in rollup.measures.items():
        at = f"{place}, measure {label!r}"
        if measure.column is not None:
            yield _Use(at, measure.kind, measure.column, valued=True, person=OPERATION[measure.kind] == OR)
        if measure.times is not None:
            yield _Use(at, measure.kind, measure.times, valued=True)
        if measure.by is not None:
            yield _Use(at, "by", measure.by)
        for name in measure.where:
            yield _Use(at, "where", name)


def _check_use(use: _Use, rollup: Rollup, columns: Mapping[str, Column]) -> None:
    """Raises DefinitionError where the reading would give wrong numbers in silence."""
    column = columns[use.column]
    if column.nullable and use.by != m.TOTAL:
        raise DefinitionError(
            f"{use.place}: {use.column!r} may be null, which `{use.by}` would take for 0 or for the first symbol; of a "
            "nullable column only a `total` is allowed, where null adds nothing"
        )
    if use.valued and column.dtype.startswith("float"):
        raise DefinitionError(
            f"{use.place}: {use.column!r} is a double, which `{use.by}` would cut to a whole number; measures read int "
            "and long columns"
        )
    if use.person and not column.person:
        person = [name for name, known in columns.items() if known.person]
        allowed = f"only {person[0]!r} is allowed" if person else f"topic {rollup.topic!r} has none"
        raise DefinitionError(
            f"{use.place}: `{use.by}` counts people by the topic's person field, which {use.column!r} is not; {allowed}"
        )


def _tail(place: str, columns: Mapping[str, Column], measure: m.Measure) -> tuple[int, ...]:
    if measure.kind == m.HISTOGRAM:
        return (len(measure.edges) + 1,)
    return (len(_symbols(place, columns, measure.by)),) if measure.by is not None else ()


def _symbols(place: str, columns: Mapping[str, Column], name: str) -> tuple[m.Symbol, ...]:
    symbols = columns[name].symbols
    if symbols is None:
        raise DefinitionError(f"{place}: {name!r} has no closed set of values, so it can be no key")
    return symbols


def _check_where(place: str, columns: Mapping[str, Column], where: m.Where) -> None:
    for name, wanted in where.items():
        known = _symbols(place, columns, name)
        for symbol in wanted if isinstance(wanted, tuple) else (wanted,):
            if symbol not in known:
                raise DefinitionError(
                    f"{place}: {name!r} is never {symbol!r}; it is one of {', '.join(map(str, known))}"
                )
