"""The book of loans in the state topic: deltas and bases, and rows that are missing, damaged or a stranger's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from streams import loankernel as k
from streams import loanpages
from streams.errors import StateMismatch
from streams.loanbook import FIELDS
from streams.shard import META, ShardState
from tests.unit.streams.chunks import plan_for, rows
from tests.unit.streams.loanlives import OPENED, PLAN, application, parties, step

Stored = dict[bytes, bytes | None]


def fold(state: ShardState, records: Sequence[Any]) -> None:
    first = state.next_offset
    state.fold(rows(state.plan, records, first), first, first + len(records) - 1)


def applications(low: int, high: int) -> list[Any]:
    shared = parties("CARD")
    return [step(shared | {"loan_id": n}, "APPLIED", 1, seq=1 + n) for n in range(low, high)]


def take(state: ShardState, kept: Stored) -> dict[bytes, bytes | None]:
    """The book's rows of a take; `kept` holds what is stored behind it, as a compacted topic would."""
    changes = dict(state.take().state)
    for key, value in changes.items():
        kept.pop(key, None)
        if value is not None:
            kept[key] = value
    return {key: value for key, value in changes.items() if key.startswith(b"book|")}


def loans(state: ShardState) -> Any:
    assert state._ledger.loans is not None
    return state._ledger.loans.loans()


def test_a_take_writes_the_loans_that_changed_and_no_others() -> None:
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, [*OPENED, *applications(0, 100)])
    first = take(state, kept)
    assert {key: len(value or b"") for key, value in first.items()} == {b"book|delta|0": 12 + 100 * 56}
    fold(state, [step(parties("CARD") | {"loan_id": 7}, "SCREENED", 1, seq=101)])
    second = take(state, kept)
    assert {key: len(value or b"") for key, value in second.items()} == {b"book|delta|1": 12 + 56}
    fold(state, [-1])
    assert take(state, kept) == {}
    restored = ShardState.restore(PLAN, 0, kept)
    np.testing.assert_array_equal(loans(restored), loans(state))
    fold(restored, [step(parties("CARD") | {"loan_id": 8}, "SCREENED", 1, seq=102)])
    assert list(take(restored, kept)) == [b"book|delta|2"], "it goes on numbering"


def test_steps_that_change_nothing_of_a_loan_are_not_written() -> None:
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, [*OPENED, *(event | {"seq": 1 + n} for n, event in enumerate(application("CARD", 1000)))])
    take(state, kept)
    fold(state, [step(parties("CARD"), "DUE", 1, outstanding=1000, seq=10)])
    assert take(state, kept) == {}


def test_a_loan_that_is_over_leaves_the_book_behind_it() -> None:
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, [*OPENED, *applications(0, 3)])
    take(state, kept)
    shared = parties("CARD") | {"loan_id": 1}
    fold(state, [step(shared, "SCREENED", 1, seq=4), step(shared, "REJECTED", 1, seq=5)])
    take(state, kept)
    restored = ShardState.restore(PLAN, 0, kept)
    assert loans(restored)[:, k.LOAN].tolist() == [0, 2]
    fold(restored, [step(shared, "APPLIED", 1, seq=6)])
    take(restored, kept)
    assert loans(ShardState.restore(PLAN, 0, kept))[:, k.LOAN].tolist() == [0, 1, 2]


def test_a_new_base_takes_the_place_of_deltas_that_outgrow_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loanpages, "PAGE_LOANS", 10)
    monkeypatch.setattr(loanpages, "DELTA_LOANS", 20)
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, [*OPENED, *applications(0, 15)])
    assert list(take(state, kept)) == [b"book|delta|0", b"book|delta|1"], "a delta has pages too"
    fold(state, applications(15, 25))
    based = take(state, kept)
    assert [key for key, value in based.items() if value is not None] == [b"book|base|%d" % n for n in range(3)]
    assert [key for key, value in based.items() if value is None] == [b"book|delta|0", b"book|delta|1"]
    np.testing.assert_array_equal(loans(ShardState.restore(PLAN, 0, kept)), loans(state))
    for number in range(25):
        shared = parties("CARD") | {"loan_id": number}
        fold(
            state, [step(shared, "SCREENED", 1, seq=30 + 2 * number), step(shared, "REJECTED", 1, seq=31 + 2 * number)]
        )
        take(state, kept)
        np.testing.assert_array_equal(loans(ShardState.restore(PLAN, 0, kept)), loans(state))
        found = [key for key in kept if key.startswith(b"book|")]
        book = json.loads(kept[META] or b"")["book"]
        assert len(found) == book["pages"] + book["deltas"] <= 28, "what is of no more use is gone"
    assert len(loans(state)) == 0
    fold(state, applications(90, 91))
    take(state, kept)
    assert [key for key in kept if key.startswith(b"book|")] == [b"book|base|0"], "the smaller base has fewer pages"


def test_no_row_is_larger_than_half_a_megabyte_and_what_is_written_stays_near_what_changed() -> None:
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, OPENED)
    written = 0
    for low in range(0, 30_000, 1000):
        fold(state, applications(low, low + 1000))
        changed = take(state, kept)
        assert max(len(value or b"") for value in changed.values()) < 256_000
        written += sum(len(value or b"") for value in changed.values())
    assert written < 4 * 30_000 * 56
    assert len(loans(ShardState.restore(PLAN, 0, kept))) == 30_000


def stored() -> dict[bytes, bytes]:
    """A base of two pages and two deltas."""
    state, kept = ShardState(PLAN, 0), Stored()
    fold(state, [*OPENED, *applications(0, 5000)])
    take(state, kept)
    fold(state, [step(parties("CARD") | {"loan_id": n}, "SCREENED", 1, seq=6000 + n) for n in range(2)])
    take(state, kept)
    shared = parties("CARD") | {"loan_id": 1}
    fold(state, [step(shared, "REJECTED", 1, seq=7000)])
    take(state, kept)
    assert sorted(key for key in kept if key != META) == [
        b"book|base|0", b"book|base|1", b"book|delta|0", b"book|delta|1"
    ]  # fmt: skip
    return {key: value for key, value in kept.items() if value is not None}


SOUND = stored()


def page(key: bytes, changed: dict[str, int] | None = None, at: int = 0, order: int = 1) -> bytes:
    """The page of SOUND with one loan another, and a checksum that fits."""
    body = np.frombuffer(SOUND[key][12:], "<i8").reshape(-1, len(FIELDS)).copy()
    for name, value in (changed or {}).items():
        body[at, FIELDS.index(name)] = value
    text = body[::order].tobytes()
    return SOUND[key][:8] + zlib.crc32(key + text).to_bytes(4, "little") + text


def test_a_sound_state_is_taken_up_and_goes_on() -> None:
    restored = ShardState.restore(PLAN, 0, SOUND)
    assert loans(restored)[:2, [k.LOAN, k.STAND]].tolist() == [[0, k.IN_SCREENED], [2, k.IN_APPLIED]]
    assert page(b"book|base|1") == SOUND[b"book|base|1"]
    fold(restored, [step(parties("CARD") | {"loan_id": 0}, "OFFERED", 1, seq=8000)])
    assert restored.take().dead == []


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (b"book|base|1", None, "this page of the book of loans is missing"),
        (b"book|delta|0", None, "this page of the book of loans is missing"),
        (b"book|delta|0", b"", "damaged: 0 bytes"),
        (b"book|delta|0", SOUND[b"book|delta|0"][:12], "damaged: 12 bytes"),
        (b"book|delta|0", SOUND[b"book|delta|0"][:-1], "are no page of loans"),
        (b"book|delta|0", b"another!" + SOUND[b"book|delta|0"][8:], "another version or definition"),
        (b"book|delta|0", SOUND[b"book|delta|0"][:-1] + b"\1", "its checksum is another"),
        (b"book|delta|1", SOUND[b"book|delta|0"], "its checksum is another"),
        (b"book|base|0", page(b"book|base|0", order=-1), "not in order of their numbers"),
        (b"book|base|1", page(b"book|base|1", {"loan_id": 5}), "repeats loans"),
        (b"book|base|1", page(b"book|base|1", dict.fromkeys(FIELDS[1:], 0)), "some that are over"),
        (b"book|delta|1", page(b"book|delta|1", {"left_fen": 1}), "a loan that is over has more than its number"),
        (b"book|base|0", page(b"book|base|0", {"borrower_id": 1}), "borrower's shard is not between 0 and 0"),
        (b"book|base|0", page(b"book|base|0", {"borrower_id": 200}), "borrower is not between 0 and 199"),
        (b"book|base|0", page(b"book|base|0", {"weight": 0}), "weight is not between 1 and"),
        (b"book|base|0", page(b"book|base|0", {"stand": 8}), "stage is not between 1 and 7"),
        (b"book|base|0", page(b"book|base|0", {"stand": 6 | 5 << 4}), "arrears is not between 0 and 4"),
        (b"book|base|0", page(b"book|base|0", {"stand": 6 | 256 << 8}), "vintage is not between 0 and 255"),
        (b"book|base|0", page(b"book|base|0", {"stand": 6 | -1 << 8}), "vintage is not between 0 and 255"),
        (b"book|base|0", page(b"book|base|0", {"left_fen": -1}), "amount is not between 0 and"),
        (b"book|base|0", page(b"book|base|0", {"bank_left_fen": 1}), "bank's part is not between 0 and"),
        (b"book|base|0", page(b"book|base|0", {"parties": 8}), "product is not between 0 and 7"),
        (b"book|base|0", page(b"book|base|0", {"parties": 3 << 8}), "lender is not between 0 and 2"),
        (b"book|base|0", page(b"book|base|0", {"parties": 3 << 24}), "bank is not between 0 and 2"),
        (b"book|base|0", page(b"book|base|0", {"parties": -1 << 40}), "platform is not between 0 and 3"),
        (b"book|delta|1", page(b"book|delta|1", {"loan_id": 9999}), "4999 loans under way, its pages hold 5000"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_sense_is_named(key: bytes, value: bytes | None, what: str) -> None:
    spoilt = dict(SOUND)
    del spoilt[key]
    with pytest.raises(StateMismatch) as caught:
        ShardState.restore(PLAN, 0, spoilt | ({key: value} if value is not None else {}))
    assert str(caught.value).startswith("state.loans/0, key b'")
    assert what in str(caught.value)
    assert str(caught.value).endswith(": use a new prefix or data directory")


@pytest.mark.parametrize(
    "book", [None, [], {}, {"pages": 1}, {**loanpages.NOTHING, "pages": -1}, {**loanpages.NOTHING, "held": "x"}]
)
def test_a_position_whose_book_makes_no_sense_is_named(book: Any) -> None:
    meta = json.loads(SOUND[META]) | {"book": book}
    with pytest.raises(StateMismatch, match=r"state\.loans/0, key b'meta': book: .*new prefix"):
        ShardState.restore(PLAN, 0, SOUND | {META: json.dumps(meta).encode()})


def test_pages_that_the_position_does_not_name_and_strange_keys_are_passed_over() -> None:
    strange = (b"book|base|2", b"book|delta|2", b"book|delta|00", b"book|delta|-1", b"book|other|0", b"book|delta|0|0")
    with capture_logs() as told:
        restored = ShardState.restore(PLAN, 0, SOUND | dict.fromkeys(strange, b"noise"))
    assert {line["key"] for line in told} == {repr(key) for key in strange}
    np.testing.assert_array_equal(loans(restored), loans(ShardState.restore(PLAN, 0, SOUND)))


def test_pages_without_a_position_are_refused() -> None:
    rows_alone = {key: value for key, value in SOUND.items() if key != META}
    with pytest.raises(StateMismatch, match="holds 4 rows but no position"):
        ShardState.restore(PLAN, 0, rows_alone)


def test_a_topic_without_a_lifecycle_knows_no_pages() -> None:
    payments = plan_for([])
    with capture_logs() as told:
        assert ShardState.restore(payments, 0, {b"book|delta|0": b"noise"}).next_offset == 0
    assert [line["event"] for line in told] == ["stored row ignored"]
    assert "book" not in json.loads(dict(ShardState(payments, 0).take().state)[META] or b"")
