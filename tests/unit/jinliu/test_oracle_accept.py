"""Acceptance, floor and completeness as the proof recomputes them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jinliu.oracle.accept import Acceptor
from jinliu.oracle.decode import Decoder
from jinliu.oracle.rules import NOBODY
from schemas import catalog
from tests.unit.jinliu.oracle_world import HOUR, ROSTER, START, payment, rules, tick, together, told

SCHEMAS = {name: (catalog.schema(name).id, catalog.schema(name).text) for name in ("payment", "tick")}


def judged(values: list[bytes | None], size: int = 1000, **other: Any) -> tuple[Acceptor, list[bool]]:
    acceptor, decoder, folded = Acceptor(rules(**other), 0), Decoder(SCHEMAS), []
    for at in range(0, len(values), size):
        part = values[at : at + size]
        folded += acceptor.feed(decoder.decode(part), range(at, at + len(part))).tolist()
    return acceptor, folded


def statuses(acceptor: Acceptor, name: str = "hour") -> list[dict[str, int] | None]:
    """By window: None while open, else what is missing."""
    calendar = acceptor.calendars[name]
    return [calendar.missing.get(i, {}) if i < calendar.upto else None for i in range(len(calendar.windows))]


def test_a_whole_log_is_folded_whole_and_every_window_is_final() -> None:
    acceptor, folded = judged(together(told("alipay"), told("banks")))
    assert folded == [True] * 36
    assert statuses(acceptor) == [{}] * 6
    assert statuses(acceptor, "2h") == [{}] * 3
    assert acceptor.ledgers["alipay"].folded == 18
    assert acceptor.ledgers["alipay"].ticks == 8


def test_windows_stay_open_until_watermark_and_lateness_have_passed() -> None:
    acceptor, _ = judged(told("alipay")[:9] + told("banks")[:9])
    assert statuses(acceptor) == [{}, None, None, None, None, None]


def test_a_duplicate_is_counted_and_folded_once() -> None:
    values = together(told("alipay"), told("banks"))
    acceptor, folded = judged(values[:3] + values[1:3] + values[3:])
    assert sum(folded) == 36
    assert acceptor.ledgers["alipay"].duplicate == 2
    assert statuses(acceptor) == [{}] * 6


def test_a_lost_event_makes_its_windows_incomplete_and_names_the_source() -> None:
    alipay = told("alipay")
    acceptor, _ = judged(together(alipay[:2] + alipay[3:], told("banks")))
    assert statuses(acceptor) == [{"alipay": 1}, {}, {}, {}, {}, {}]
    assert statuses(acceptor, "2h") == [{"alipay": 1}, {}, {}]
    assert acceptor.ledgers["alipay"].missing == 1


def test_a_lost_tick_makes_the_ticks_around_it_incomplete() -> None:
    alipay = told("alipay")
    acceptor, _ = judged(together(alipay[:4] + alipay[5:], told("banks")))
    assert statuses(acceptor) == [{"alipay": 1}, {"alipay": 1}, {}, {}, {}, {}]


def test_a_changed_amount_is_a_defect_without_a_count() -> None:
    alipay = told("alipay")
    alipay[2] = payment("alipay", 2, 1000, amount=999)
    acceptor, folded = judged(together(alipay, told("banks")))
    assert sum(folded) == 36
    assert statuses(acceptor)[0] == {"alipay": 0}


def test_a_silent_source_holds_windows_up_to_the_patience_and_is_named() -> None:
    acceptor, _ = judged(told("alipay")[:21] + told("banks")[:1])
    assert statuses(acceptor) == [{"banks": 0}, None, None, None, None, None]


def test_a_late_event_is_counted_and_folded_nowhere_but_its_tick_agrees() -> None:
    late = [payment("alipay", 17, 10), tick("alipay", 18, 4, 1, 100)]
    values = told("alipay")[:17] + told("banks")[:17]
    acceptor, folded = judged(values + late, windows=("hour", "2h", "6h"))
    assert folded[-1] is False
    assert acceptor.ledgers["alipay"].late == 1
    assert acceptor.sources[0].gap == 0
    assert statuses(acceptor) == [{}, {}, {}, None, None, None]
    assert statuses(acceptor, "2h")[:2] == [{}, None]
    assert acceptor.calendars["6h"].missing == {0: {"alipay": 1}}, "no tick counted it, and this window is open"


def test_an_event_outside_the_tick_that_counts_it_makes_its_hours_incomplete() -> None:
    before, ahead = told("alipay"), told("alipay")
    before[6] = payment("alipay", 6, 10, amount=101)  # in the second hour's tick, of the first hour, not late yet
    ahead[6] = payment("alipay", 6, 3 * HOUR + 10, amount=101)
    acceptor, folded = judged(together(before, told("banks")))
    assert sum(folded) == 36
    assert statuses(acceptor) == [{"alipay": 0}, {}, {}, {}, {}, {}]
    acceptor, folded = judged(together(ahead, told("banks")))
    assert sum(folded) == 36
    assert statuses(acceptor) == [{}, {}, {"alipay": 0}, {"alipay": 0}, {}, {}]


@pytest.mark.parametrize(
    "bad",
    [
        payment("alipay", 2, 10, amount=-1),
        payment("alipay", 2, 10, weight=0),
        payment("alipay", 2, 10, payer_bank="bank-of-nowhere"),
        payment("alipay", 2, 10, payer_id=1),
        payment("alipay", 2, 10, payer_id=100),
        payment("alipay", 2, -1),
        payment("alipay", 2, 6 * HOUR),
        payment("alipay", 2, 5 * HOUR),
        payment("alipay", 5000, 10),
    ],
)
def test_an_impossible_event_moves_nothing(bad: bytes) -> None:
    values = told("alipay")[:2]
    acceptor, folded = judged([*values, bad])
    assert folded == [True, False]
    assert acceptor.ledgers["alipay"].dead == 1
    assert acceptor.sources[0].seq == 1


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_the_sums_could_not_hold_is_dead_and_moves_nothing(size: int) -> None:
    values = [payment("alipay", 1 + i, 10, amount=10**10, weight=10**7) for i in range(30)]
    acceptor, folded = judged([tick("alipay", 0, 0, 0, 0, kind="OPEN"), *values, payment("alipay", 31, 10)], size)
    held = (2**63 - 1) // (2 * len(ROSTER)) // 10**17
    assert folded == [True] * held + [False] * (30 - held) + [True]
    assert acceptor.ledgers["alipay"].dead == acceptor.ledgers["alipay"].missing == 30 - held


def test_what_names_no_source_of_the_roster_is_nobodys() -> None:
    acceptor, _ = judged([None, b"noise", payment("stranger", 1, 10), tick("stranger", 2, 0, 0, 0)])
    assert acceptor.ledgers[NOBODY].dead == 4


def test_ticks_off_the_grid_are_dead() -> None:
    bad = [
        tick("alipay", 1, 0, 0, 0, tick_end=START + 1),
        tick("alipay", 1, 0, -1, 0),
        tick("alipay", 1, 0, 0, 0, shard=1),
        tick("alipay", 1, 1, 0, 0, kind="OPEN"),
        tick("alipay", 1, 5, 0, 0, kind="CLOSE"),
        tick("alipay", 2000, 0, 0, 0),
        tick("alipay", 1, 0, 0, 0, tick_end=START + 2 * HOUR),
        tick("alipay", 1, 4, 0, 0),
        tick("alipay", 1, 6, 0, 0, kind="CLOSE"),
    ]
    acceptor, _ = judged([tick("alipay", 0, 0, 0, 0, kind="OPEN"), *bad])
    assert acceptor.ledgers["alipay"].dead == len(bad)
    assert acceptor.sources[0].tick_end == START


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_chunking_changes_nothing(data: st.DataObject) -> None:
    values: list[bytes | None] = list(together(told("alipay"), told("banks")))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(values) - 1))
        deed = data.draw(st.sampled_from(["drop", "repeat", "swap", "noise"]))
        if deed == "drop":
            values.pop(at)
        elif deed == "repeat":
            values.insert(data.draw(st.integers(at, len(values))), values[at])
        elif deed == "swap" and at:
            values[at - 1], values[at] = values[at], values[at - 1]
        else:
            values.insert(at, None)
    whole, folded = judged(values)
    parts, piecewise = judged(values, data.draw(st.integers(1, 9)))
    assert folded == piecewise
    assert whole.ledgers == parts.ledgers
    assert statuses(whole) == statuses(parts)
    assert whole.floor == parts.floor
    assert sum(ledger.folded for ledger in whole.ledgers.values()) == int(np.sum(folded))
