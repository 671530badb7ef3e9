"""The early warning against plain Python and its proof over four years of random lives, and by hand where it warns."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from streams import metrics
from streams.alerts import raised
from streams.rows import as_dict
from streams.windows import month_of
from tests.unit.streams import lending, world
from tests.unit.streams.chunks import DAY, plan_for
from tests.unit.streams.lending import LENDING_WORLD, loan, logged
from tests.unit.streams.test_metrics_proved import metric_key, proved, without

METRIC = metrics.load()["early-warning"]
ONE_SHARD = replace(LENDING_WORLD, shards=1)
START = int(datetime(2018, 5, 11, tzinfo=UTC).timestamp() * 1000)
END = int(datetime(2022, 6, 1, tzinfo=UTC).timestamp() * 1000)
FIRST = 100
"""Month of START: May 2018, since January 2010."""
Event = dict[str, Any]


def rows_of(events: list[Event]) -> list[Any]:
    plan = plan_for([METRIC], "loans", (START, END, DAY), windows={METRIC.name: ("month", "year")}, world=ONE_SHARD)
    return world.final_rows(METRIC, {"loans": plan}, world.partials_of(plan, [logged(plan, 0, events)], 4000))


@cache
def random_events() -> list[Event]:
    plan = plan_for([METRIC], "loans", (START, END, DAY), windows={METRIC.name: ("month", "year")}, world=ONE_SHARD)
    draw = random.Random(1)
    return [record for record in lending.told(plan, 0, draw, 4) if "tick" not in record]


@cache
def random_rows() -> list[Any]:
    return rows_of(random_events())


def ratio(part: int, whole: int, told: bool = True) -> float | None:
    return part / whole if whole and told else None


def less(now: float | None, before: float | None) -> float | None:
    return now - before if now is not None and before is not None else None


def by_hand(events: list[Event], bank: str, end_ms: int) -> Event:
    """The fields of a bank's row of a window that ends then."""
    latest = month_of(end_ms - 1)
    so_far = [event for event in events if event["event_time"] < end_ms]
    months = latest - min(event["vintage"] for event in so_far if event["kind"] == "FUNDED") + 1
    ours = [event for event in so_far if event["bank"] == bank]
    referred = [event for event in ours if event["product"] in ("PARTNERSHIP", "COFINANCED")]

    def money(of: list[Event], kind: str, field: str, youngest: int) -> int:
        chosen = (e for e in of if e["kind"] == kind and 0 <= latest - e["vintage"] - youngest < 12)
        return sum(e[field] * e["weight"] for e in chosen)

    def defaulted(before: int) -> int:
        """What had defaulted so many months ago of the vintages that were 6 to 17 months old then."""
        found = 0
        for event in referred:
            age = latest - before - event["vintage"]
            late = event["kind"] == "PAST_DUE" and event["arrears"] == "DPD90"
            if late and 6 <= age <= 17 and event["months_on_book"] <= age:
                found += event["bank_outstanding_fen"] * event["weight"]
        return found

    partnership = [event for event in referred if event["product"] == "PARTNERSHIP"]
    row: Event = {
        "bank": bank,
        "months_told": months,
        "referred_weighted_fen": money(referred, "FUNDED", "bank_fen", 0),
        "bank_weighted_fen": money(ours, "FUNDED", "bank_fen", 0),
        "commission_weighted_fen": money(partnership, "COMMISSION", "amount_fen", 0),
        "partnership_weighted_fen": money(partnership, "FUNDED", "amount_fen", 0),
        "earlier_commission_weighted_fen": money(partnership, "COMMISSION", "amount_fen", 12),
        "earlier_partnership_weighted_fen": money(partnership, "FUNDED", "amount_fen", 12),
        "aged_weighted_fen": money(referred, "FUNDED", "bank_fen", 6),
        "aged_defaulted_weighted_fen": defaulted(0),
        "earlier_aged_weighted_fen": money(referred, "FUNDED", "bank_fen", 18),
        "earlier_aged_defaulted_weighted_fen": defaulted(12),
    }
    row["referred_share"] = ratio(row["referred_weighted_fen"], row["bank_weighted_fen"])
    row["fee_rate"] = ratio(row["commission_weighted_fen"], row["partnership_weighted_fen"], months >= 12)
    row["earlier_fee_rate"] = ratio(
        row["earlier_commission_weighted_fen"], row["earlier_partnership_weighted_fen"], months >= 24
    )
    row["default_rate"] = ratio(row["aged_defaulted_weighted_fen"], row["aged_weighted_fen"], months >= 18)
    row["earlier_default_rate"] = ratio(
        row["earlier_aged_defaulted_weighted_fen"], row["earlier_aged_weighted_fen"], months >= 30
    )
    row["fee_change"] = less(row["fee_rate"], row["earlier_fee_rate"])
    past = [
        ratio(money(partnership, "COMMISSION", "amount_fen", age), money(partnership, "FUNDED", "amount_fen", age))
        for age in range(12, months - 11)
    ]
    row["lowest_fee_rate"] = min((rate for rate in past if rate is not None), default=None)
    row["fee_rise"] = less(row["fee_rate"], row["lowest_fee_rate"])
    row["default_change"] = less(row["default_rate"], row["earlier_default_rate"])
    limits = (("referred_share", 2 / 3), ("fee_rise", 0.002), ("default_change", 0.005))
    row["signals"] = sum(row[name] is not None and row[name] > limit for name, limit in limits)
    return row | {"warning": row["signals"] == 3}


def test_rows_equal_plain_python() -> None:
    events, seen = random_events(), set[Any]()
    for row in random_rows():
        hand = by_hand(events, row.bank, row.window_end)
        found = {name: getattr(row, name) for name in hand}
        assert found == hand
        seen.add(row.signals)
    for name in ("fee_change", "fee_rise", "default_change", "referred_share"):
        assert any(getattr(row, name) is not None for row in random_rows()), name
    assert seen == {0, 1, 2}


def test_rows_equal_the_proof() -> None:
    plan = plan_for([METRIC], "loans", (START, END, DAY), windows={METRIC.name: ("month", "year")}, world=ONE_SHARD)
    for window in ("month", "year"):
        expected = {
            metric_key(METRIC, row): row for row in proved(METRIC, {"loans": plan}, window, {"loans": random_events()})
        }
        found = {METRIC.key_of(row): without(as_dict(row)) for row in random_rows() if row.window == window}
        assert found == expected


def test_a_bank_has_a_row_from_its_first_referral_on() -> None:
    firsts: dict[str, int] = {}
    for event in random_events():
        if event["kind"] == "FUNDED" and event["product"] in ("PARTNERSHIP", "COFINANCED"):
            firsts[event["bank"]] = min(event["event_time"], firsts.get(event["bank"], END))
    told = {(row.bank, row.window_end) for row in random_rows() if row.window == "month"}
    ends = {end for _, end in told}
    assert told == {(bank, end) for bank, first in firsts.items() for end in ends if end > first}


def at(month: int) -> int:
    """The twentieth day of a month since January 2010."""
    return int(datetime(2010 + month // 12, month % 12 + 1, 20, tzinfo=UTC).timestamp() * 1000)


def lent(number: int, month: int, product: str, fee: int, lost_after: int | None) -> list[Event]:
    """A loan of 100 yuan of lan-hai, its commission of `fee` fen, and its default so many months later."""
    platform = "jd" if product == "PARTNERSHIP" else "none"
    fixed = {"product": product, "lender": "lan-hai", "bank": "lan-hai", "platform": platform, "weight": 10}
    borrower = number % 200
    fixed |= {"loan_id": 256 * borrower + number // 200, "borrower_id": borrower, "vintage": month, "actor": "BANK"}
    opened = {"event_time": at(month), "amount_fen": 10_000, "bank_fen": 10_000, "principal_fen": 10_000}
    owed = {"outstanding_fen": 10_000, "bank_outstanding_fen": 10_000}
    steps = [
        loan(**(fixed | {"kind": kind, "event_time": at(month), "actor": actor, "amount_fen": 10_000}))
        for kind, actor in (
            ("APPLIED", "BORROWER"),
            ("SCREENED", "PLATFORM" if product == "PARTNERSHIP" else "BANK"),
            *([("REFERRED", "PLATFORM")] if product == "PARTNERSHIP" else []),
            ("OFFERED", "BANK"),
            ("APPROVED", "BANK"),
        )
    ]
    steps.append(loan(**(fixed | opened | owed | {"kind": "FUNDED"})))
    if fee:
        steps.append(loan(**(fixed | {"kind": "COMMISSION", "event_time": at(month), "amount_fen": fee})))
    if lost_after is not None:
        late = {"event_time": at(month + lost_after), "months_on_book": lost_after, "amount_fen": 900}
        marks = ("DPD1", "DPD30", "DPD60", "DPD90")
        steps += [loan(**(fixed | late | owed | {"kind": "PAST_DUE", "arrears": mark})) for mark in marks]
    return steps


def test_it_warns_of_a_bank_that_pays_ever_more_for_worse_loans() -> None:
    """Each month twelve referred loans and three own ones. The fee begins at 50 fen of 100 yuan and rises by 2 a month;
    of the first year's referred loans one of twelve goes bad, in the seventh month, and later two.
    """
    events: list[Event] = []
    for age in range(40):
        for n in range(15):
            product, fee = ("PARTNERSHIP", 50 + 2 * age) if n < 12 else ("CONSUMER", 0)
            events += lent(15 * age + n, FIRST + age, product, fee, 6 if n < (2 if age >= 12 else 1) else None)
    events.sort(key=lambda event: event["event_time"])
    rows = {month_of(row.window_start) - FIRST: row for row in rows_of(events) if row.window == "month"}
    for age in range(40):
        row = rows[age]
        assert row.months_told == age + 1
        assert row.referred_share == pytest.approx(0.8)
        assert row.fee_rate == (None if age < 11 else pytest.approx(0.005 + 0.0002 * (age - 5.5)))
        assert row.fee_change == (None if age < 23 else pytest.approx(0.0024))
        assert row.fee_rise == (None if age < 23 else pytest.approx(0.0002 * (age - 11)))
        assert row.default_change == (None if age < 29 else pytest.approx((41 - age) / 144))
        assert row.signals == 1 + (age >= 23) + (age >= 29)
        assert row.warning == (age >= 29)
        assert (row.default_rate is None) == (age < 17)
    alerts = [alert for age in range(40) for alert in raised(METRIC, rows[age])]
    assert [alert.rule for alert in alerts] == ["fee-spike"] * 6 + ["fee-spike", "early-warning"] * 11
    spike, warning = alerts[0], alerts[7]
    assert (spike.subject, spike.institution, spike.limit) == (
        "early-warning month 2020-04-01 lan-hai",
        "lan-hai",
        0.002,
    )
    assert spike.value == pytest.approx(0.0024)
    assert spike.text == (
        "lan-hai pays 0.24% of the amount more for partnership loans than twelve months before 2020-04-01, above 0.20%."
    )
    assert (warning.subject, warning.value, warning.limit) == ("early-warning month 2020-10-01 lan-hai", 3.0, 2.0)
    assert warning.text.startswith("lan-hai shows 3 signs of trouble in the month of 2020-10-01: ")
