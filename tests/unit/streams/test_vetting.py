"""Every field of a hostile partial that could stop or spoil the merge is refused, with the reason."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import catalog, wire
from streams.packing import pack, scratch_size
from streams.partials import FINAL, INCOMPLETE, PROVISIONAL, Partial
from streams.vetting import COUNT_MAX, Refused, Vetting
from tests.unit.streams import everything, world
from tests.unit.streams.chunks import DAY, plan_for

METRIC = everything.METRIC
PLAN = plan_for([METRIC], windows={"everything": ("day", "4d")})
IDS = catalog.ids()
DRAW = random.Random(3)
ALL = world.partials_of(PLAN, [world.told(PLAN, shard, DRAW, world.random_payment, 6) for shard in (0, 1)], 9)
GOOD = next(p for p in ALL if (p.rollup, p.window, p.index, p.status) == ("keyed", "day", 2, FINAL))
LAYOUT = next(bound.layout for bound in PLAN.rollups if bound.name == "keyed")
COUNTED = next(name for name, measure in LAYOUT.rollup.measures.items() if measure.kind == "count")


def vetting(partition: int = 0) -> Vetting:
    return Vetting(METRIC, {"payments": PLAN}, IDS, partition)


def record(partial: Partial) -> tuple[bytes, bytes]:
    return partial.key, wire.encode("partial", partial.value(), IDS)


def packed(measure: str, value: int) -> bytes:
    row = np.zeros(LAYOUT.width, np.int64)
    row[LAYOUT.parts[measure].offset] = value
    return pack(LAYOUT, row, np.empty(scratch_size(LAYOUT), np.uint8))


def test_every_partial_of_a_run_passes_in_its_partition() -> None:
    for partial in ALL:
        vetted = vetting(partial.partition).read(*record(partial))
        assert vetted.partial == replace(partial, index=-1)
        assert vetted.magnitude >= 0
        with pytest.raises(Refused, match=f"its window belongs to partition {partial.partition}"):
            vetting(1 - partial.partition).read(*record(partial))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"rollup": "other"}, "has no rollup 'other'"),
        ({"topic": "operations"}, "has no shard operations/0"),
        ({"shard": 2}, "has no shard payments/2"),
        ({"shard": -1}, "has no shard payments/-1"),
        ({"window": "week"}, "has no window 'week'"),
        ({"window_start": 2 * DAY + 1}, "is no window 'day'"),
        ({"window_start": 8 * DAY, "window_end": 9 * DAY}, "is no window 'day'"),
        ({"window_start": -(2**63)}, "is no window 'day'"),
        ({"window_end": 4 * DAY}, "is no window 'day'"),
        ({"revision": 0}, "out of range"),
        ({"revision": 2**62}, "out of range"),
        ({"upto": -1}, "out of range"),
        ({"upto": COUNT_MAX + 1}, "out of range"),
        ({"missing": {"nobody": 1}}, "1 events missing of source 'nobody'"),
        ({"missing": {"alipay": -1}}, "-1 events missing"),
        ({"missing": {"alipay": 1}}, "it is FINAL and names 1 sources"),
        ({"status": INCOMPLETE}, "it is INCOMPLETE and names 0 sources"),
        ({"folded": b"x"}, "another version or definition"),
        ({"folded": b"\x02" + GOOD.folded[1:]}, "another version or definition"),
        ({"folded": GOOD.folded[:1] + b"abcd" + GOOD.folded[5:]}, "another version or definition"),
        ({"folded": GOOD.folded[:-1]}, "damaged"),
        ({"folded": GOOD.folded[:5] + b"\xff" * 30}, "damaged"),
        ({"folded": GOOD.folded + b"\x00\xff\xff\xff\x7f"}, "damaged"),
        ({"folded": packed(COUNTED, GOOD.upto + 1)}, "or more than were folded"),
        ({"folded": packed(COUNTED, -1)}, "counts fewer than no records"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as caught:
        vetting().read(*record(replace(GOOD, **fields)))
    assert reason in str(caught.value)


def test_a_bitmap_of_more_people_than_records_is_refused() -> None:
    people = next(p for p in ALL if (p.rollup, p.window, p.index, p.status) == ("people", "day", 2, FINAL))
    with pytest.raises(Refused, match="more people than records"):
        vetting().read(*record(replace(people, upto=1)))


def test_a_slice_of_weights_of_more_people_than_records_is_refused() -> None:
    people = next(p for p in ALL if (p.rollup, p.window, p.index, p.status) == ("people", "day", 2, FINAL))
    layout = next(bound.layout for bound in PLAN.rollups if bound.name == "people")
    part, row = layout.parts["weighed"], np.zeros(layout.width, np.int64)
    row[part.offset + part.size - layout.words] = 0b11
    forged = replace(people, folded=pack(layout, row, np.empty(scratch_size(layout), np.uint8)), upto=1)
    with pytest.raises(Refused, match="measure 'weighed' counts more people than records"):
        vetting().read(*record(forged))
    vetting().read(*record(replace(forged, upto=2)))


def test_a_key_that_is_not_the_partials_is_refused() -> None:
    key, value = record(GOOD)
    for other in (None, b"", key + b"0", record(replace(GOOD, shard=1))[0]):
        with pytest.raises(Refused, match="the record's key is"):
            vetting().read(other, value)


def test_a_window_told_open_may_name_what_is_missing() -> None:
    opened = replace(GOOD, status=PROVISIONAL, missing={"banks": 0})
    assert vetting().read(*record(opened)).partial.missing == {"banks": 0}


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_noise_is_refused_or_read_and_never_raises_anything_else(data: st.DataObject) -> None:
    key, value = record(GOOD)
    at = data.draw(st.integers(0, len(value)))
    noise = value[:at] + data.draw(st.binary(max_size=12)) + value[data.draw(st.integers(at, len(value))) :]
    try:
        vetted = vetting().read(key, noise)
    except Refused:
        return
    assert vetted.partial.key == key
