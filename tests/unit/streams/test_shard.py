"""Single cases of the shard's rules, each a short log that reads like what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streams.errors import OffsetOrder, StateMismatch, SumOverflow
from streams.ledger import SOURCE_FIELDS
from streams.partials import FINAL, INCOMPLETE, PROVISIONAL
from streams.shard import META, Changes, ShardState
from tests.unit.streams import everything
from tests.unit.streams.chunks import DAY, ROSTER, payment, plan_for, rows, tick

PLAN = plan_for([everything.METRIC], waiting=(0, 3), windows={"everything": ("day",)})
OPENED = [tick(name, 0, 0, 0, kind="OPEN") for name in ROSTER]


def fold(records: Sequence[Any], state: ShardState | None = None) -> ShardState:
    state = state or ShardState(PLAN, 0)
    first = state.next_offset
    state.fold(rows(PLAN, records, first), first, first + len(records) - 1)
    return state


def day(source: str, seq: int, number: int, events: int = 0, amount_fen: int = 0) -> dict[str, Any]:
    return tick(source, seq, number * DAY, (number + 1) * DAY, events, amount_fen)


def statuses(changes: Changes) -> dict[int, tuple[str, dict[str, int]]]:
    return {p.index: (p.status, dict(p.missing)) for p in changes.partials if p.rollup == "keyed"}


def test_a_window_whose_totals_agree_is_final() -> None:
    log = [*OPENED, payment(), day("alipay", 2, 0, 1, 100), day("banks", 1, 0)]
    assert statuses(fold(log).take()) == {0: (FINAL, {})}


def test_a_lost_event_makes_its_window_incomplete_and_is_counted() -> None:
    log = [*OPENED, payment(), day("alipay", 3, 0, 2, 200), day("banks", 1, 0), day("alipay", 4, 1), day("banks", 2, 1)]
    state = fold(log)
    assert statuses(state.take()) == {0: (INCOMPLETE, {"alipay": 1}), 1: (FINAL, {})}
    assert state.accounts()[0].missing == 1


def test_a_source_in_whose_name_a_far_seq_was_told_closes_all_the_same() -> None:
    """All it tells later is a duplicate; its CLOSE is none, so that no window stays open for ever."""
    banks = [day("banks", 1 + number, number) for number in range(8)]
    ours = [day("alipay", 2 + number, number, 1, 100) for number in range(8)]
    forged = payment(seq=900_000, event_time=5)
    log = [*OPENED, payment(), forged, *(each for pair in zip(ours, banks, strict=True) for each in pair)]
    ends = [tick(name, 10, 8 * DAY, 8 * DAY, kind="CLOSE") for name in ROSTER]
    state = fold([*log, *ends])
    silent, closed = {"alipay": 0}, {"alipay": 899_998}
    assert statuses(state.take()) == {number: (INCOMPLETE, silent if number < 5 else closed) for number in range(8)}, (
        "past the patience of three days it was silent; what is missing comes out at its end"
    )
    account = state.accounts()[0]
    assert (account.folded, account.duplicate, account.missing) == (2, 0, 899_998)
    assert fold([ends[0]], state).accounts()[0].ticks == account.ticks + 1, "a second one is a duplicate"


def test_an_amount_that_differs_makes_the_window_incomplete() -> None:
    log = [*OPENED, payment(), day("alipay", 2, 0, 1, 101), day("banks", 1, 0)]
    assert statuses(fold(log).take()) == {0: (INCOMPLETE, {"alipay": 0})}


def test_a_lost_tick_makes_both_ticks_windows_incomplete() -> None:
    log = [*OPENED, payment(), day("alipay", 3, 1), day("banks", 1, 0), day("banks", 2, 1)]
    assert statuses(fold(log).take()) == {0: (INCOMPLETE, {"alipay": 1}), 1: (INCOMPLETE, {"alipay": 1})}


def test_a_silent_source_holds_windows_open_up_to_the_patience_and_is_named() -> None:
    state = fold([*OPENED, *(day("alipay", 1 + number, number) for number in range(3))])
    assert statuses(state.take()) == {}
    fold([day("alipay", 4, 3)], state)
    assert statuses(state.take()) == {0: (INCOMPLETE, {"banks": 0})}
    late = payment(source="banks", seq=1, event_time=5)
    fold([late, day("banks", 2, 0, 1, 100)], state)
    assert state.accounts()[1].late == 1
    assert statuses(state.take()) == {}


def test_a_source_just_at_the_floor_is_not_silent() -> None:
    plan = plan_for([everything.METRIC], waiting=(0, 3), windows={"everything": ("4d",)})
    log = [*OPENED, *(day("banks", 1 + number, number) for number in range(2))]
    log += [day("alipay", 1 + number, number) for number in range(5)]
    log += [day("banks", 3 + number, 2 + number) for number in range(2)]
    state = ShardState(plan, 0)
    state.fold(rows(plan, log), 0, len(log) - 1)
    assert statuses(state.take()) == {0: (FINAL, {})}


def test_a_late_event_from_before_its_own_tick_makes_the_longer_windows_incomplete() -> None:
    plan = plan_for([everything.METRIC], waiting=(0, 3), windows={"everything": ("day", "2d", "8d")})
    log = [*OPENED, *(day(name, 1, 0) for name in ROSTER), payment(seq=2, event_time=5), day("alipay", 3, 1, 1, 100)]
    log += [day("banks", 2, 1)]
    state = ShardState(plan, 0)
    state.fold(rows(plan, log), 0, len(log) - 1)
    found = {p.window + str(p.index): (p.status, dict(p.missing)) for p in state.take().partials if p.rollup == "keyed"}
    assert found == {"day0": (FINAL, {}), "day1": (FINAL, {}), "2d0": (INCOMPLETE, {"alipay": 1})}
    assert state.accounts()[0].late == 1


def test_an_event_of_a_day_that_its_source_has_ended_makes_that_day_incomplete() -> None:
    """The tick of the day before counted none, the tick it comes with counts it: the totals agree, the days do not."""
    plan = plan_for([everything.METRIC], waiting=(1, 3), windows={"everything": ("day",)})
    log = [*OPENED, *(day(name, 1, 0) for name in ROSTER), payment(seq=2, event_time=5), day("alipay", 3, 1, 1, 100)]
    log += [day("banks", 2, 1), *(day(name, seq, 2) for name, seq in zip(ROSTER, (4, 3), strict=True))]
    state = ShardState(plan, 0)
    state.fold(rows(plan, log), 0, len(log) - 1)
    assert statuses(state.take()) == {0: (INCOMPLETE, {"alipay": 0}), 1: (FINAL, {})}
    assert (state.accounts()[0].late, state.accounts()[0].folded) == (0, 1)


def test_an_event_told_with_a_tick_before_its_own_makes_its_day_incomplete() -> None:
    log = [*OPENED, payment(event_time=2 * DAY + 5), day("alipay", 2, 0, 1, 100), day("banks", 1, 0)]
    log += [row for n in (1, 2) for row in (day("alipay", 2 + n, n), day("banks", 1 + n, n))]
    assert statuses(fold(log).take()) == {
        0: (FINAL, {}),
        1: (INCOMPLETE, {"alipay": 0}),
        2: (INCOMPLETE, {"alipay": 0}),
    }


def test_a_source_that_closes_does_not_close_windows_of_the_others() -> None:
    log = [*OPENED, *(day("alipay", 1 + number, number) for number in range(5)), payment(seq=6, event_time=5 * DAY)]
    log += [tick("alipay", 7, 8 * DAY, 8 * DAY, 1, 100, "CLOSE")]
    state = fold(log)
    assert state.floor_ms == 5 * DAY, "the end of the span less the patience"
    assert not state.closed


def test_a_duplicate_tick_and_a_second_open_change_nothing() -> None:
    log = [*OPENED, payment(), day("alipay", 2, 0, 1, 100), day("alipay", 2, 0, 1, 100), OPENED[0], day("banks", 1, 0)]
    state = fold(log)
    assert statuses(state.take()) == {0: (FINAL, {})}
    assert state.accounts()[0].ticks == 4


REASONS = [
    (-1, "not the Confluent wire format"),
    (-2, "unknown schema id"),
    (-3, "malformed record"),
    (payment(source="stranger"), "source is not in the roster"),
    (payment(amount_fen=-1), "amount_fen is not between 0"),
    (payment(weight=0), "weight is not between 1"),
    (payment(latency_ms=-1), "latency_ms is not between 0"),
    (payment(latency_ms=2**31 - 1), "latency_ms is not between 0 and 60000"),
    (payment(payer_bank="nowhere"), "payer_bank is not known"),
    (payment(payer_id=1), "payer_id is no person of this shard"),
    (payment(event_time=-1), "event_time lies outside the span"),
    (payment(event_time=3 * DAY + 1), "beyond the source's last tick and the patience"),
    (payment(seq=1_000_001), "seq jumps beyond the bound"),
    (tick("alipay", 1, 1, DAY), "tick is off the grid"),
    (tick("alipay", 1, 0, 2 * DAY), "tick is off the grid"),
    (tick("alipay", 1, 4 * DAY, 5 * DAY), "beyond every source's last tick"),
    (tick("alipay", 1, 8 * DAY, 8 * DAY, kind="CLOSE"), "beyond every source's last tick"),
    (tick("alipay", 1, 0, DAY, shard=1), "tick is off the grid, outside the span, of another shard"),
]


@pytest.mark.parametrize(("record", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_what_is_refused_goes_whole_to_the_dead_letters_and_moves_nothing(record: Any, reason: str) -> None:
    state = fold([*OPENED, record, payment(), day("alipay", 2, 0, 1, 100), day("banks", 1, 0)])
    changes = state.take()
    (letter,) = changes.dead
    assert reason in letter.reason
    assert (letter.topic, letter.partition, letter.offset) == ("payments", 0, 2)
    assert letter.value == repr(record).encode()
    assert statuses(changes) == {0: (FINAL, {})}
    assert sum(row.dead for row in changes.accounting) == 1
    assert all(row.received == row.folded + row.late + row.duplicate + row.dead for row in changes.accounting)


def test_the_greatest_seq_is_refused_without_overflow() -> None:
    assert fold([*OPENED, payment(seq=2**63 - 1)]).take().dead


def test_a_chunk_may_cover_offsets_that_hold_no_rows() -> None:
    state = ShardState(PLAN, 0)
    state.fold(rows(PLAN, OPENED, offsets=[3, 7]), 0, 9)
    assert state.next_offset == 10
    state.fold(rows(PLAN, []), 10, 11)
    assert state.take().upto == 12


def test_a_gap_or_a_repeat_of_offsets_is_refused() -> None:
    state = fold(OPENED)
    for first in (0, 1, 3):
        with pytest.raises(OffsetOrder, match="offset 2 is next"):
            state.fold(rows(PLAN, OPENED, first), first, first + 1)
    with pytest.raises(OffsetOrder, match="in chunk"):
        state.fold(rows(PLAN, OPENED, 2), 2, 2)


def test_a_sum_that_leaves_int64_stops_with_a_clear_error() -> None:
    huge = [payment(seq=1 + number, amount_fen=10**10, weight=10**7) for number in range(93)]
    state = ShardState(PLAN, 0)
    state._ledger._span[-1] = 2**63 - 1
    fold([*OPENED, *huge[:92]], state)
    state._ledger.books[:, SOURCE_FIELDS.index("worth")] = 0  # a ledger that does not see it coming
    with pytest.raises(SumOverflow, match="metric 'everything', rollup 'keyed', event 0"):
        fold(huge[92:], state)


def test_a_thousand_extreme_records_stop_nothing() -> None:
    extremes = [{"latency_ms": 2**31 - 1}, {"latency_ms": 60_000}, {"amount_fen": 10**10}, {"amount_fen": 2**63 - 1}]
    log = [payment(seq=1 + n, weight=10**7, **extremes[n % 4]) for n in range(1000)]
    state = fold([*OPENED, *log, payment(seq=1001)])
    account = state.accounts()[0]
    assert account.folded + account.dead == 1001
    assert account.dead == 500 + 250 - 2**63 // 4 // 10**17
    assert state.take().partials


def test_what_a_source_tells_in_a_run_cannot_make_the_sums_leave_int64() -> None:
    huge = [payment(seq=1 + number, amount_fen=10**10, weight=10**7) for number in range(93)]
    state = fold([*OPENED, *huge, payment(seq=94)])
    dead = state.take().dead
    assert len(dead) == 93 - 2**63 // 4 // 10**17
    assert {letter.reason for letter in dead} == {
        "amount_fen * weight, summed over the source's events of this shard, leaves 2^63 / shards / sources"
    }
    account = state.accounts()[0]
    assert (account.folded, account.dead, account.missing) == (94 - len(dead), len(dead), len(dead))


def test_only_what_changed_is_taken() -> None:
    state = fold([*OPENED, payment()])
    first = state.take()
    assert {(p.rollup, p.status, p.revision) for p in first.partials} == {
        ("keyed", PROVISIONAL, 1),
        ("people", PROVISIONAL, 1),
        ("so-far", PROVISIONAL, 1),
    }
    rows_stored = {f"everything|{name}|day|0".encode() for name in ("keyed", "people", "so-far")}
    assert {key for key, _ in first.state} == rows_stored | {META}
    fold([-1], state)
    second = state.take()
    assert second.partials == []
    assert {key for key, _ in second.state} == {META}
    fold([day("alipay", 2, 0, 1, 100), day("banks", 1, 0)], state)
    third = state.take()
    assert {key for key, value in third.state if value is None} == rows_stored
    assert {key for key, value in third.state if value is not None} == {META, b"everything|so-far|carried|0"}
    assert {(p.status, p.revision) for p in third.partials} == {(FINAL, 2)}


def test_provisional_partials_can_wait() -> None:
    state = fold([*OPENED, payment()])
    assert state.take(provisional=False).partials == []
    assert len(state.take().partials) == 3


def test_what_is_cumulative_holds_all_days_up_to_its_own_and_lacks_what_one_of_them_lacks() -> None:
    log = [*OPENED, payment(amount_fen=7), day("alipay", 2, 0, 1, 7), day("banks", 1, 0)]
    log += [day("alipay", 4, 1, 1, 5), day("banks", 2, 1)]  # an event of the second day is lost
    log += [row for n in (2, 3) for row in (day("alipay", 3 + n, n), day("banks", 1 + n, n))]
    changes = fold(log).take()
    found = {p.index: p for p in changes.partials if p.rollup == "so-far"}
    assert {index: (p.status, dict(p.missing)) for index, p in found.items()} == {
        0: (FINAL, {}), 1: (INCOMPLETE, {"alipay": 1}), 2: (INCOMPLETE, {"alipay": 1}), 3: (INCOMPLETE, {"alipay": 1}),
    }  # fmt: skip
    assert {index: everything.unpacked(PLAN, [p])["paid"] for index, p in found.items()} == {
        index: {("ALIPAY",): 7} for index in range(4)
    }
    state = ShardState.restore(PLAN, 0, dict(changes.state))
    fold([payment(seq=7, event_time=4 * DAY, amount_fen=3), day("alipay", 8, 4, 1, 3), day("banks", 5, 4)], state)
    (later,) = [p for p in state.take().partials if p.rollup == "so-far"]
    assert (later.status, dict(later.missing)) == (INCOMPLETE, {"alipay": 1})
    assert everything.unpacked(PLAN, [later])["paid"] == {("ALIPAY",): 10}


def test_state_of_another_definition_or_run_is_refused() -> None:
    stored = dict(fold([*OPENED, payment()]).take().state)
    other = plan_for([everything.METRIC], waiting=(0, 3), windows={"everything": ("2d",)})
    with pytest.raises(StateMismatch, match="another rollups"):
        ShardState.restore(other, 0, stored)
    longer = plan_for([everything.METRIC], span=(0, 9 * DAY, DAY), waiting=(0, 3), windows={"everything": ("day",)})
    with pytest.raises(StateMismatch, match="another span"):
        ShardState.restore(longer, 0, stored)
    del stored[META]
    with pytest.raises(StateMismatch, match="no position"):
        ShardState.restore(PLAN, 0, stored)
    assert ShardState.restore(PLAN, 0, {}).next_offset == 0
