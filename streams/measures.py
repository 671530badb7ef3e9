"""What a rollup can sum: count, total, largest, smallest, histogram, distinct, overlap. All of them merge.

Every measure may be restricted by `where` (column -> symbol or tuple of symbols, ANDed) and, if it counts or adds,
spread over one more column by `by`. Values are int64; a sum that would leave int64 raises SumOverflow, it never
wraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from streams.errors import DefinitionError

Symbol: TypeAlias = str | bool | int
Where: TypeAlias = Mapping[str, "Symbol | tuple[Symbol, ...]"]

COUNT, TOTAL, LARGEST, SMALLEST, HISTOGRAM, DISTINCT, OVERLAP = (
    "count", "total", "largest", "smallest", "histogram", "distinct", "overlap",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of a rollup; made by the functions below."""

    kind: str
    column: str | None = None
    times: str | None = None
    by: str | None = None
    edges: tuple[int, ...] = ()
    where: Where = field(default_factory=dict)

    def columns(self) -> tuple[str, ...]:
        """Event columns it reads."""
        named = (self.column, self.times, self.by, *self.where)
        return tuple(dict.fromkeys(name for name in named if name is not None))


def count(*, by: str | None = None, where: Where | None = None) -> Measure:
    """Number of events."""
    return Measure(COUNT, by=by, where=where or {})


def total(column: str, *, times: str | None = None, by: str | None = None, where: Where | None = None) -> Measure:
    """Sum of a column, multiplied event by event with another when `times` is given (such as `weight`)."""
    return Measure(TOTAL, column, times, by, where=where or {})


def largest(column: str, *, where: Where | None = None) -> Measure:
    """Greatest value of a column; 2^63 - 1 counts as 2^63 - 2, since 0 of the stored form stands for none."""
    return Measure(LARGEST, column, where=where or {})


def smallest(column: str, *, where: Where | None = None) -> Measure:
    """Least value of a column; 2^63 - 1 counts as 2^63 - 2, as in `largest`."""
    return Measure(SMALLEST, column, where=where or {})


def histogram(column: str, edges: Sequence[int], *, times: str | None = None, where: Where | None = None) -> Measure:
    """Counts (or sums of `times`) of a column's values in bins.

    edges: ascending integers e[0..k-1]. Bin 0 holds values below e[0], bin j values in [e[j-1], e[j]), bin k values
    from e[k-1] up.
    """
    edges = tuple(edges)
    if not edges or any(low >= high for low, high in pairwise(edges)):
        raise DefinitionError(f"histogram of {column!r}: edges must be ascending integers, at least one")
    return Measure(HISTOGRAM, column, times, edges=edges, where=where or {})


def distinct(column: str, *, times: str | None = None, where: Where | None = None) -> Measure:
    """Number of distinct person ids, exact, by a bitmap over the shard's people (id // shards within a shard).

    People of different shards are different, so counts of shards add up. The column is the topic's person field; no
    other one numbers people within a shard.

    With `times` (such as `weight`, at most 2^24 - 1) each value is a pair on one more axis: how many people there are,
    and the sum of the column over them, each person once. Whoever has not one value of it in a window counts with the
    bitwise or of all of them, over the events that the measure takes, whatever their cell.
    """
    return Measure(DISTINCT, column, times, where=where or {})


def overlap(column: str, by: str, *, times: str | None = None, where: Where | None = None) -> Measure:
    """Number of distinct person ids that occur with at least two different symbols of the column `by`, exact: who has
    loans of two or more lenders. One bitmap of the shard's people a symbol; what a derivation sees is the number, and
    `times` adds its axis as in `distinct`.
    """
    return Measure(OVERLAP, column, times, by, where=where or {})
