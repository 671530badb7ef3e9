"""A metric as its author sees it: rollups, a row class, and how rows derive from merged rollups. Nothing of Kafka."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.alarm import Alarm
from streams.errors import DefinitionError, SumOverflow
from streams.measures import Symbol
from streams.packing import unpack_into
from streams.rollup import OR, Layout, Rollup
from streams.rows import Row

Int64 = npt.NDArray[np.int64]
SUM_MAX = 9.2e18
NAME = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
NAME_MAX = 100
"""With the longest prefix and what else stands in a topic's name it stays below Kafka's 249."""


@dataclass(frozen=True, slots=True)
class Window:
    """The window a row is derived for: name, start (inclusive) and end (exclusive) in UTC ms."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class World:
    """What a derivation may know of the topology.

    weight: real payments an event stands for as a rule, person_weight: real people a person stands for. people:
    persons simulated, borrowers: those numbered by the topic `loans`. certified: institution id -> date of its
    interface's certification, None when never. banks, institutions: ids in code order. kinds: institution id -> its
    kind. joint_loan_cap: (from when, UTC ms; the most a platform may fund of a joint loan, a share) by date; none where
    the world has no such lever.
    """

    weight: int
    person_weight: int
    shards: int
    people: int
    borrowers: int
    banks: tuple[str, ...]
    institutions: tuple[str, ...]
    certified: Mapping[str, date | None]
    kinds: Mapping[str, str] = field(default_factory=dict)
    joint_loan_cap: tuple[tuple[int, float], ...] = ()


class Folded:
    """One rollup of one window, summed over all shards. `folded["measure"]` is int64 of shape keys (+ `by` symbols or
    bins).
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._row: Int64 = np.zeros(layout.width, np.int64)
        self._people: dict[str, Int64] = {}

    def add(self, packed: bytes) -> None:
        """Merge one shard's packed row. Bitmaps number the people of their own shard, so their counts add up."""
        unpack_into(self._layout, self._row, packed)
        if packed and self._layout.bitmap < self._layout.width:
            for name, part in self._layout.parts.items():
                if part.op == OR:
                    self._people[name] = self._people.get(name, 0) + self._layout.view(self._row, name)
            self._row[self._layout.bitmap :] = 0

    def __getitem__(self, measure: str) -> Int64:
        return self._people[measure] if measure in self._people else self._layout.view(self._row, measure)

    def symbols(self, column: str) -> tuple[Symbol, ...]:
        """Symbols of a key or `by` column, in the order of the array's axis."""
        symbols = self._layout.columns[column].symbols
        assert symbols is not None, column
        return symbols

    def code(self, column: str, symbol: Symbol) -> int:
        """Place of a symbol on its axis."""
        return self.symbols(column).index(symbol)


class Merged(Mapping[str, Folded]):
    """All rollups of a metric for one window, by name, and the world they were folded in."""

    def __init__(self, world: World, folded: Mapping[str, Folded]) -> None:
        self.world, self._folded = world, folded

    def __getitem__(self, name: str) -> Folded:
        return self._folded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._folded)

    def __len__(self) -> int:
        return len(self._folded)


Derive = Callable[[Window, Merged], Iterator[Row]]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A metric topic `metrics.<name>`.

    row: a dataclass derived from `streams.rows.Row`. key: fields that name a row, and the topic's key. derive: yields
    rows without their window and status, which the merge fills in; deterministic, and doubles computed from integers
    the row also holds. proof: SQL over the accepted events that returns one row per final row with the fields of
    `row` except status, revision, missing and window_end (`verify` refuses SQL that leaves one out); `{window}` is the
    window's name, `{w}` the column with its start, and the table `windows` (window_start, window_end) has those of the
    run, for what is cumulative. claims: ids of rows of claims.yaml it helps to measure. windows:
    used when the topology names none for this metric (else its default). alarms: limits that closed rows are held
    against. A metric without rollups is written by the engine itself.

    Raises DefinitionError for what cannot be meant.
    """

    name: str
    row: type[Any]
    key: tuple[str, ...]
    rollups: tuple[Rollup, ...] = ()
    derive: Derive | None = None
    proof: str = ""
    claims: tuple[str, ...] = ()
    windows: tuple[str, ...] = field(default=())
    alarms: tuple[Alarm, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > NAME_MAX:
            raise DefinitionError(
                f"metric {self.name!r}: a name is at most {NAME_MAX} lower-case letters and digits with single hyphens "
                "between them, such as qr-by-segment, for it is part of a topic's"
            )
        self._refuse_strings()
        names = [rollup.name for rollup in self.rollups]
        if len(set(names)) != len(names):
            raise DefinitionError(f"metric {self.name!r}: two rollups have one name")
        if bool(self.rollups) != (self.derive is not None):
            raise DefinitionError(f"metric {self.name!r}: rollups and derive go together")
        if self.rollups and not self.proof.strip():
            raise DefinitionError(f"metric {self.name!r}: no proof; give it the SQL that recomputes its rows")
        fields = getattr(self.row, "__dataclass_fields__", {})
        for name in self.key:
            if name not in fields:
                raise DefinitionError(f"metric {self.name!r}: key field {name!r} is no field of {self.row.__name__}")
        self._check_alarms()

    def _check_alarms(self) -> None:
        if self.alarms and not self.rollups:
            raise DefinitionError(f"metric {self.name!r}: alarms are of merged rows, and it has no rollups")
        rules = [alarm.rule for alarm in self.alarms]
        if len(set(rules)) != len(rules):
            raise DefinitionError(f"metric {self.name!r}: two alarms have one rule")
        hints = typing.get_type_hints(self.row) if self.alarms else {}
        for alarm in self.alarms:
            alarm.check(self.name, hints, self.key)

    def _refuse_strings(self) -> None:
        """Raises DefinitionError for a string in place of a tuple: it would be taken letter by letter."""
        said = {name: getattr(self, name) for name in ("key", "claims", "windows")}
        said |= {f"keys of rollup {rollup.name!r}": rollup.keys for rollup in self.rollups}
        for name, value in said.items():
            if isinstance(value, str):
                raise DefinitionError(f"metric {self.name!r}: {name} is the string {value!r}; write ({value!r},)")

    def topics(self) -> tuple[str, ...]:
        """Event topics it reads."""
        return tuple(dict.fromkeys(rollup.topic for rollup in self.rollups))

    def window_names(self, windows: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Windows it is computed over. windows: the topology's, by metric, with a `default`."""
        return tuple(windows.get(self.name) or self.windows or windows.get("default") or ("day",))

    def key_of(self, row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.key)


def ratio(part: int | np.int64, whole: int | np.int64) -> float | None:
    """part / whole in double precision from the two integers, None where there is nothing to divide by.

    Both are rounded to double first, as SQL's CAST AS DOUBLE does, so that a proof gets the same bits.
    """
    return float(part) / float(whole) if whole else None


def totalled(cells: Int64, *axes: int) -> Int64:
    """The cells with their sum appended along each of the axes. Raises SumOverflow if a sum would leave int64."""
    for axis in axes:
        if cells.size and np.abs(cells.astype(np.float64)).sum(axis=axis).max(initial=0.0) > SUM_MAX:
            raise SumOverflow("a total over the cells of a window leaves int64; use a shorter window or drop a weight")
        cells = np.concatenate((cells, cells.sum(axis=axis, keepdims=True)), axis=axis)
    return cells
