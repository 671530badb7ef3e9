"""`distinct` and `overlap`: who is counted, once each, and with what weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.bitmaps import WEIGHT_BITS, several, weighed
from streams.errors import OutOfRange
from streams.foldkernel import fold_pass
from streams.measures import distinct, overlap
from streams.metric import Folded
from streams.openwindows import BoundRollup, OpenWindows
from streams.rollup import Column, Layout, Rollup, bind
from streams.windows import nested
from tests.unit.streams.chunks import DAY

COLUMNS = {
    "payer": Column("int64", person=True),
    "colour": Column("int8", ("RED", "BLUE", "GREEN")),
    "shop": Column("int16", ("north", "south")),
    "weight": Column("int64"),
}
SHARDS = 2
NAMES = ("event_time", "payer", "colour", "shop", "weight")
EVENTS = (  # of shard 0: persons 0, 2, 4 ... are its bits 0, 1, 2 ...
    (1, 0, "RED", "north", 5),
    (2, 0, "BLUE", "north", 5),
    (3, 2, "RED", "south", 7),
    (4, 2, "RED", "north", 7),
    (5, 200, "GREEN", "north", 100),
    (DAY + 1, 200, "RED", "north", 100),
    (DAY + 2, 200, "BLUE", "south", 3),
)


def layout(cumulative: bool = False, **measures: Any) -> Layout:
    return bind(Rollup("r", "things", ("shop",), measures, cumulative=cumulative), COLUMNS, 101)


def opened(bound: Layout) -> OpenWindows:
    return OpenWindows(BoundRollup("m", bound, nested(("day", "4d"), 0, 4 * DAY, DAY)), fold_pass(bound), SHARDS)


def fold(windows: OpenWindows, events: Any = EVENTS) -> None:
    columns = {}
    for name, values in zip(NAMES, zip(*events, strict=True), strict=True):
        known = COLUMNS.get(name, Column("int64"))
        codes = [known.code(value) for value in values] if known.symbols else list(values)
        columns[name] = np.array(codes, known.dtype)
    windows.fold(np.ones(len(events), np.uint8), columns, max(event[0] for event in events))


def counted(bound: Layout, *packed: bytes) -> dict[str, Any]:
    folded = Folded(bound)
    for one in packed:
        folded.add(one)
    return {name: folded[name].tolist() for name in bound.rollup.measures}


OVERLAP = {"colours": overlap("payer", by="colour"), "valued": overlap("payer", by="colour", times="weight")}


def test_who_occurs_with_two_symbols_is_counted_once_in_each_cell() -> None:
    bound = layout(**OVERLAP)
    windows = opened(bound)
    fold(windows)
    written = {(w.level, w.index): w.packed for w in windows.close(4 * DAY)}
    assert counted(bound, written[0, 0]) == {"colours": [1, 0], "valued": [[1, 5], [0, 0]]}
    assert counted(bound, written[0, 1]) == {"colours": [0, 0], "valued": [[0, 0], [0, 0]]}
    # Over four days person 200 is seen GREEN and RED in the north; its weight is 100 | 3 wherever that was told.
    assert counted(bound, written[1, 0]) == {"colours": [2, 0], "valued": [[2, 5 + 103], [0, 0]]}


def test_counts_of_shards_add_up() -> None:
    bound = layout(**OVERLAP)
    packed = []
    for moved in (0, 1):
        windows = opened(bound)
        fold(windows, [(time, payer + moved, *rest) for time, payer, *rest in EVENTS])
        packed.append(windows.close(4 * DAY)[-1].packed)
    assert counted(bound, *packed) == {"colours": [4, 0], "valued": [[4, 2 * 108], [0, 0]]}


def test_a_cumulative_rollup_knows_who_came_in_different_windows() -> None:
    bound = layout(cumulative=True, **OVERLAP)
    windows = opened(bound)
    fold(windows)
    days = [w.packed for w in windows.close(4 * DAY) if w.level == 0]
    assert [counted(bound, day)["valued"][0] for day in days] == [[1, 5], [2, 108], [2, 108], [2, 108]]


def test_stored_rows_are_taken_back() -> None:
    bound = layout(**OVERLAP)
    windows, again = opened(bound), opened(bound)
    fold(windows, EVENTS[:5])
    for level, index, row in windows.changes():
        assert row is not None
        again.restore(level, index, row)
    fold(again, EVENTS[5:])
    assert counted(bound, again.close(4 * DAY)[-1].packed) == {"colours": [2, 0], "valued": [[2, 108], [0, 0]]}


def test_a_weight_counts_once_for_a_person_and_beside_the_number_of_people() -> None:
    bound = layout(people=distinct("payer", times="weight"), red=distinct("payer", where={"colour": "RED"}))
    windows = opened(bound)
    fold(windows)
    first = windows.close(DAY)[0].packed
    assert counted(bound, first) == {"people": [[3, 112], [1, 7]], "red": [2, 1]}


def test_only_the_events_a_measure_takes_give_it_weights() -> None:
    bound = layout(people=distinct("payer", times="weight", where={"shop": "south"}))
    windows = opened(bound)
    fold(windows)
    assert counted(bound, windows.close(4 * DAY)[-1].packed) == {"people": [[0, 0], [2, 10]]}


@pytest.mark.parametrize(("weight", "payer"), [(1 << WEIGHT_BITS, 0), (-1, 0), (1, 256), (1, -2)])
def test_a_weight_or_person_outside_the_bitmaps_stops_the_fold(weight: int, payer: int) -> None:
    windows = opened(layout(people=distinct("payer", times="weight")))
    fold(windows, [(1, 254, "RED", "north", (1 << WEIGHT_BITS) - 1)])
    with pytest.raises(OutOfRange, match=r"metric 'm', rollup 'r', event 0 .* outside its bitmap"):
        fold(windows, [(1, payer, "RED", "north", weight)])


def test_one_symbol_overlaps_with_nothing_and_nobody_with_himself() -> None:
    maps = np.array([[[0b0110]], [[0b1111]]], np.uint64)
    assert several(maps).tolist() == [[0], [0]]
    maps = np.array([[[0b0110], [0b0011], [0b1010]]], np.uint64)
    assert several(maps).tolist() == [[0b0010]]


def test_weights_are_sums_of_slices() -> None:
    slices = np.zeros((WEIGHT_BITS, 1), np.uint64)
    slices[0], slices[23] = 0b01, 0b11
    people = np.array([[0b01], [0b11], [0b10], [0]], np.uint64)
    assert weighed(people, slices).tolist() == [[1, 2**23 + 1], [2, 2**24 + 1], [1, 2**23], [0, 0]]
