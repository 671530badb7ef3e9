"""Packed rows: back and forth, merged, and against bytes that mean harm."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import packing
from streams.errors import StateMismatch, SumOverflow
from streams.plan import event_columns
from streams.rollup import ADD, Layout, bind
from tests.unit.streams.chunks import BANKS, ROSTER
from tests.unit.streams.everything import KEYED, PEOPLE

COLUMNS = event_columns("payment", {"source": ROSTER, "payer_bank": BANKS, "payee_bank": BANKS}, {}, "payer_id")
LAYOUTS = [bind(KEYED, COLUMNS, 150), bind(PEOPLE, COLUMNS, 150)]
GUARD = 64
"""Cells before and behind a row that nothing may touch."""
CELLS = st.one_of(st.just(0), st.integers(-3, 200), st.integers(-(2**63), 2**63 - 1))


def scratch(layout: Layout) -> np.ndarray:
    return np.empty(packing.scratch_size(layout), np.uint8)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["keyed", "people"])
@given(st.data())
def test_unpacking_gives_the_row_back(layout: Layout, data: st.DataObject) -> None:
    row = np.array(data.draw(st.lists(CELLS, min_size=layout.width, max_size=layout.width)), np.int64)
    again = np.zeros(layout.width, np.int64)
    packing.unpack_into(layout, again, packing.pack(layout, row, scratch(layout)))
    assert again.tolist() == row.tolist()


@pytest.mark.parametrize("layout", LAYOUTS, ids=["keyed", "people"])
@given(st.data())
def test_merging_packed_equals_merging_rows_in_any_order(layout: Layout, data: st.DataObject) -> None:
    values = st.lists(st.integers(0, 2**40), min_size=layout.width, max_size=layout.width)
    rows = [np.array(data.draw(values), np.int64) for _ in range(2)]
    merged = [np.zeros(layout.width, np.int64) for _ in range(3)]
    for row in rows:
        packing.unpack_into(layout, merged[0], packing.pack(layout, row, scratch(layout)))
        packing.absorb(layout, merged[1], row)
    for row in reversed(rows):
        packing.absorb(layout, merged[2], row)
    assert merged[0].tolist() == merged[1].tolist() == merged[2].tolist()
    for part in layout.parts.values():
        if part.op == ADD:
            cells = slice(part.offset, part.offset + part.size)
            assert merged[0][cells].tolist() == (rows[0][cells] + rows[1][cells]).tolist()


def test_a_row_of_zeros_is_nothing() -> None:
    assert packing.pack(LAYOUTS[0], np.zeros(LAYOUTS[0].width, np.int64), scratch(LAYOUTS[0])) == b""


@pytest.mark.parametrize("layout", LAYOUTS, ids=["keyed", "people"])
@given(noise=st.binary(max_size=80))
def test_hostile_bytes_are_refused_or_read_within_bounds(layout: Layout, noise: bytes) -> None:
    room = np.zeros(layout.width + 2 * GUARD, np.int64)
    with contextlib.suppress(StateMismatch, SumOverflow):
        packing.unpack_into(layout, room[GUARD:-GUARD], bytes((packing.VERSION,)) + layout.tag + noise)
    assert not room[:GUARD].any()
    assert not room[-GUARD:].any()


@pytest.mark.parametrize("layout", LAYOUTS, ids=["keyed", "people"])
def test_a_row_cut_short_is_refused_or_shorter(layout: Layout) -> None:
    whole = packing.pack(layout, np.arange(1, layout.width + 1), scratch(layout))
    for cut in range(packing.HEAD + 1, len(whole)):
        with pytest.raises(StateMismatch, match="damaged"):
            packing.unpack_into(layout, np.zeros(layout.width, np.int64), whole[:cut])


def test_another_version_or_definition_is_refused() -> None:
    packed = packing.pack(LAYOUTS[0], np.ones(LAYOUTS[0].width, np.int64), scratch(LAYOUTS[0]))
    for changed in (bytes((packing.VERSION + 1,)) + packed[1:], packed[:1] + b"\0\0\0\0" + packed[5:]):
        with pytest.raises(StateMismatch, match="another version or definition"):
            packing.unpack_into(LAYOUTS[0], np.zeros(LAYOUTS[0].width, np.int64), changed)


def test_sums_that_leave_int64_are_refused() -> None:
    layout, row = LAYOUTS[0], np.zeros(LAYOUTS[0].width, np.int64)
    row[0] = 2**63 - 1
    packed = packing.pack(layout, row, scratch(layout))
    into = row.copy()
    with pytest.raises(SumOverflow, match="leaves int64"):
        packing.unpack_into(layout, into, packed)
    with pytest.raises(SumOverflow, match="leaves int64"):
        packing.absorb(layout, row.copy(), row)
