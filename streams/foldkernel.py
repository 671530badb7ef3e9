"""One generated numba pass per rollup: every folded event of a chunk goes straight into the row of its window.

The pass walks a chunk once, keeps the bounds of the last window it saw (events come nearly in order) and adds into
int64 cells. Products are checked in float64 against 2^63 and sums by their sign bits, so nothing wraps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.kernels import compiled
from streams import measures as m
from streams.bitmaps import WEIGHT_BITS
from streams.nativecode import HEADER, NUMBA_TYPE
from streams.rollup import OR, Layout, Part

DONE, GROW, OVERFLOW, OUT_OF_RANGE = 0, 1, 2, 3
LOOKUP_MAX = 1 << 16
PRODUCT_MAX = "9.2e18"


@dataclass(frozen=True, slots=True)
class FoldPass:
    """The compiled pass and what it needs beside the event columns: column names in order, lookup tables of histogram
    bins.
    """

    run: Callable[..., tuple[int, int, int]]
    columns: tuple[str, ...]
    tables: tuple[npt.NDArray[np.int64] | npt.NDArray[np.int16], ...]


def fold_pass(layout: Layout) -> FoldPass:
    """Generate and compile the pass of a layout.

    run(start, used, keep, event_time, *columns, *tables, edges, params, slots, touched, free, rows) -> (status,
    position, used) keep uint8[n], event_time int64[n], edges int64 window boundaries or empty, params int64 (window
    origin, length, first open window, shards), slots int32 (row of each open window, -1 none), touched uint8 beside
    it, free int32 stack of unused rows (`used` of them are taken), rows int64[capacity, width]. Status GROW asks for
    more rows and resumption at `position`.
    """
    columns = layout.rollup.columns()
    histograms = [measure for measure in layout.rollup.measures.values() if measure.kind == m.HISTOGRAM]
    tables = tuple(_table(measure.edges) for measure in histograms)
    return FoldPass(compiled(source(layout), "fold"), columns, tables)


def source(layout: Layout) -> str:
    """The pass as Python text."""
    rollup = layout.rollup
    columns = rollup.columns()
    histograms = [name for name, measure in rollup.measures.items() if measure.kind == m.HISTOGRAM]
    arguments = [f"c_{name}" for name in columns] + [f"h_{name}" for name in histograms]
    types = [f"ro({NUMBA_TYPE[layout.columns[name].dtype]})" for name in columns]
    types += [f"ro(t.{_table(rollup.measures[name].edges).dtype})" for name in histograms]
    signature = ", ".join(
        [
            *("t.int64", "t.int64", "ro(t.uint8)", "ro(t.int64)", *types),
            *("ro(t.int64)", "ro(t.int64)", "rw(t.int32)", "rw(t.uint8)", "ro(t.int32)", "rw(t.int64, 2)"),
        ]
    )
    names = "".join(name + ", " for name in arguments)
    body = _Body(layout)
    body.write()
    lines = "\n".join(f"        {line}" for line in body.lines)
    return f"""{HEADER}

@njit(t.UniTuple(t.int64, 3)({signature}), nogil=True, cache=True)
def fold(start, used, keep, time, {names}edges, params, slots, touched, free, rows):
    origin, length, base, shards = params[0], params[1], params[2], params[3]
    lo = hi = np.int64(0)
    k = np.int64(0)
    row = np.int64(0)
    for i in range(start, keep.shape[0]):
        if keep[i] == 0:
            continue
{lines}
    return 0, keep.shape[0], used
"""


WINDOW = """\
if time[i] < lo or time[i] >= hi:
    if length > 0:
        k = (time[i] - origin) // length
        lo = origin + k * length
        hi = lo + length
    else:
        k = np.searchsorted(edges, time[i], side="right") - 1
        lo = edges[k]
        hi = edges[k + 1]
    k -= base
    if k < 0 or k >= slots.shape[0]:
        return 3, i, used
    row = np.int64(slots[k])
    if row < 0:
        if used >= free.shape[0]:
            return 1, i, used
        row = np.int64(free[used])
        used += 1
        slots[k] = row
    touched[k] = 1"""


class _Body:
    """Writes the statements for one event; values used twice are computed once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.lines: list[str] = []
        self.products: dict[tuple[str, str | None], str] = {}

    def write(self) -> None:
        rollup, layout = self.layout.rollup, self.layout
        if rollup.where:
            self.lines += [f"if not ({self._condition(rollup.where)}):", "    continue"]
        self.lines += WINDOW.split("\n")
        cell = ""
        for key, symbols in zip(rollup.keys, layout.symbols, strict=True):
            cell = f"({cell}) * {len(symbols)} + {self._code(key)}" if cell else self._code(key)
        self.lines.append(f"cell = {cell or 'np.int64(0)'}")
        for measure in rollup.measures.values():
            if measure.kind in (m.TOTAL, m.HISTOGRAM) and (measure.column or measure.times):
                self._product(measure)
        for name, measure in rollup.measures.items():
            self._measure(name, measure)

    def _product(self, measure: m.Measure) -> None:
        """The value a sum adds; the check of a product is in floating point, where 2^63 is far beyond any money."""
        column = measure.times if measure.kind == m.HISTOGRAM else measure.column
        times = None if measure.kind == m.HISTOGRAM else measure.times
        if column is None or (column, times) in self.products:
            return
        name = self.products[(column, times)] = f"v{len(self.products)}"
        self.lines.append(f"{name} = np.int64(c_{column}[i])")
        if times is not None:
            self.lines.append(f"if abs(float({name}) * float(c_{times}[i])) > {PRODUCT_MAX}:")
            self.lines.append("    return 2, i, used")
            self.lines.append(f"{name} = {name} * np.int64(c_{times}[i])")

    def _measure(self, name: str, measure: m.Measure) -> None:
        part = self.layout.parts[name]
        pad = ""
        if measure.where:
            self.lines.append(f"if {self._condition(measure.where)}:")
            pad = "    "
        at = "cell" if part.offset == 0 else f"{part.offset} + cell"
        if measure.kind in (m.COUNT, m.TOTAL, m.HISTOGRAM):
            if measure.by is not None:
                at = f"{part.offset} + cell * {part.shape[-1]} + {self._code(measure.by)}"
            if measure.kind == m.HISTOGRAM:
                at = f"{part.offset} + cell * {part.shape[-1]} + {self._bin(name, measure)}"
            lines = self._sum(at, measure)
        elif part.op == OR:
            lines = self._person(part, measure)
        else:
            sign = ">" if measure.kind == m.LARGEST else "<"
            lines = [
                f"e = np.int64(c_{measure.column}[i])",
                "if e >= 0 and e < np.int64(9223372036854775807):",  # the greatest of all counts as the one before it
                "    e += 1",
                f"if rows[row, {at}] == 0 or e {sign} rows[row, {at}]:",
                f"    rows[row, {at}] = e",
            ]
        self.lines += [pad + line for line in lines]

    def _sum(self, at: str, measure: m.Measure) -> list[str]:
        column = measure.times if measure.kind == m.HISTOGRAM else measure.column
        if column is None:
            return [f"rows[row, {at}] += 1"]
        value = self.products[(column, None if measure.kind == m.HISTOGRAM else measure.times)]
        return [
            f"j = {at}",
            f"s = rows[row, j] + {value}",
            f"if ((s ^ rows[row, j]) & (s ^ {value})) < 0:",
            "    return 2, i, used",
            "rows[row, j] = s",
        ]

    def _person(self, part: Part, measure: m.Measure) -> list[str]:
        """Sets the person's bit in the bitmap of the cell, and in the slices of the bits of the weight."""
        words, cell = self.layout.words, "cell"
        if measure.by is not None:
            cell = f"(cell * {len(self.layout.columns[measure.by].symbols or ())} + {self._code(measure.by)})"
        lines = [
            f"p = np.int64(c_{measure.column}[i]) // shards",
            f"if p < 0 or p >= {words * 64}:",
            "    return 3, i, used",
            "bit = np.int64(1) << (p & np.int64(63))",
            f"rows[row, {part.offset} + {cell} * {words} + (p >> 6)] |= bit",
        ]
        if part.slices:
            lines += [
                f"w = np.int64(c_{measure.times}[i])",
                f"if w < 0 or w >= {1 << WEIGHT_BITS}:",
                "    return 3, i, used",
                f"j = {part.offset + (part.shape[0] - part.slices) * words} + (p >> 6)",
                "while w != 0:",
                "    if w & np.int64(1):",
                "        rows[row, j] |= bit",
                "    w >>= np.int64(1)",
                f"    j += {words}",
            ]
        return lines

    def _bin(self, name: str, measure: m.Measure) -> str:
        value, last = f"np.int64(c_{measure.column}[i])", measure.edges[-1]
        if _by_lookup(measure.edges):
            return f"np.int64(h_{name}[min(max({value}, np.int64(0)), np.int64({last}))])"
        return f'np.int64(np.searchsorted(h_{name}, {value}, side="right"))'

    def _code(self, column: str) -> str:
        """Place of the event's value on the column's axis; the topic's rules have refused what has none."""
        low = self.layout.columns[column].low
        return f"(np.int64(c_{column}[i]) - np.int64({low}))" if low else f"np.int64(c_{column}[i])"

    def _condition(self, where: m.Where) -> str:
        terms = []
        for column, wanted in where.items():
            known = self.layout.columns[column]
            codes = sorted(known.code(symbol) for symbol in (wanted if isinstance(wanted, tuple) else (wanted,)))
            terms.append("(" + " or ".join(f"c_{column}[i] == {code}" for code in codes) + ")")
        return " and ".join(terms)


def _by_lookup(edges: tuple[int, ...]) -> bool:
    return edges[0] >= 1 and edges[-1] <= LOOKUP_MAX


def _table(edges: tuple[int, ...]) -> npt.NDArray[np.int64] | npt.NDArray[np.int16]:
    """Bin of each value 0..last edge, or the edges themselves where that table would be large."""
    bounds = np.array(edges, np.int64)
    if not _by_lookup(edges):
        return bounds
    return np.searchsorted(bounds, np.arange(edges[-1] + 1), side="right").astype(np.int16)
