"""Two months of six loans, and what the metrics of lending say of them by hand.

Span: January and February 2022, months 144 and 145. Borrower 0 (weight 100) has a card of icbc, which goes bad, and a
Baitiao loan, half repaid. The others have weight 10: a partnership loan of lan-hai, referred by jd and repaid; a
co-financed one of the same; a joint loan of alipay and icbc; and a small firm's loan of lan-hai from before the run,
which is written off and partly recovered.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from streams import metrics
from streams.metric import Metric
from streams.rows import as_dict
from tests.unit.streams import world
from tests.unit.streams.chunks import DAY, operation, plan_for
from tests.unit.streams.lending import LENDING_WORLD, NONE, loan, logged

START = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp() * 1000)
END = int(datetime(2022, 3, 1, tzinfo=UTC).timestamp() * 1000)
JANUARY, FEBRUARY = 144, 145
ONE_SHARD = replace(LENDING_WORLD, shards=1)
THREE_DAYS = 3 * DAY

CARD = {"loan_id": 0, "borrower_id": 0, "product": "CARD", "on_record": True}
BAITIAO = {
    "loan_id": 1, "borrower_id": 0, "product": "BAITIAO", "lender": "alipay", "bank": NONE, "platform": "alipay",
    "source": "alipay",
}  # fmt: skip
REFERRED = {"loan_id": 256, "borrower_id": 1, "product": "PARTNERSHIP", "lender": "lan-hai", "bank": "lan-hai"}
REFERRED |= {"platform": "jd", "weight": 10}
COFINANCED = REFERRED | {"loan_id": 1024, "borrower_id": 4, "product": "COFINANCED"}
JOINT = {"loan_id": 512, "borrower_id": 2, "product": "JOINT", "lender": "alipay", "platform": "alipay", "weight": 10}
JOINT |= {"source": "alipay"}
FIRM = {"loan_id": 768, "borrower_id": 3, "product": "SME", "lender": "lan-hai", "bank": "lan-hai", "weight": 10}


def step(of: dict[str, Any], day: int, kind: str, amount: int, actor: str = "BANK", **fields: Any) -> dict[str, Any]:
    """A step on a day of the span, from 0. Money is principal and the bank's unless told otherwise."""
    month = JANUARY if day < 31 else FEBRUARY
    vintage = fields.pop("vintage", month)
    money = {}
    if kind in ("FUNDED", "DUE", "REPAID", "CHARGED_OFF", "RECOVERED", "BROUGHT_FORWARD"):
        interest, platform = fields.get("interest_fen", 0), fields.get("platform_fen", 0)
        money = {"principal_fen": amount - interest, "bank_fen": amount - platform}
    if kind in ("FUNDED", "BROUGHT_FORWARD"):
        money |= {"outstanding_fen": amount, "bank_outstanding_fen": money["bank_fen"]}
    said = {"event_time": START + day * DAY, "kind": kind, "amount_fen": amount, "actor": actor}
    return loan(**(of | said | {"vintage": vintage, "months_on_book": month - vintage} | money | fields))


def begun(of: dict[str, Any], day: int, amount: int, took_ms: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Asked for, offered, approved and funded on one day."""
    platform = of.get("platform", NONE) != NONE
    screener, lender = ("PLATFORM" if platform else "BANK"), ("PLATFORM" if of.get("bank") == NONE else "BANK")
    referred = (
        [step(of, day, "REFERRED", amount, screener)] if of["product"] in ("PARTNERSHIP", "COFINANCED", "JOINT") else []
    )
    return [
        step(of, day, "APPLIED", amount, "BORROWER"),
        step(of, day, "SCREENED", amount, screener),
        *referred,
        step(of, day, "OFFERED", amount, lender),
        step(of, day, "APPROVED", amount, lender, took_ms=took_ms),
        step(of, day, "FUNDED", amount, lender, **fields),
    ]


def late(of: dict[str, Any], day: int, mark: str, outstanding: int, vintage: int = JANUARY) -> dict[str, Any]:
    left = {"outstanding_fen": outstanding, "bank_outstanding_fen": outstanding}
    return step(of, day, "PAST_DUE", 90, arrears=mark, vintage=vintage, **left)


EVENTS = [
    step(FIRM, 0, "BROUGHT_FORWARD", 5000, vintage=134, arrears="DPD60"),
    *begun(CARD, 5, 1000, THREE_DAYS),
    *begun(BAITIAO, 9, 500, 40_000, platform_fen=500, first=True),
    *begun(COFINANCED, 14, 1000, platform_fen=100),
    *begun(REFERRED, 19, 2000, fee_fen=50, first=True),
    step(REFERRED, 19, "COMMISSION", 20),
    step(REFERRED, 31, "REPAID", 2100, "BORROWER", interest_fen=100, vintage=JANUARY),
    step(CARD, 36, "DUE", 100, interest_fen=10, bank_funding_fen=1, outstanding_fen=1000, bank_outstanding_fen=1000,
         vintage=JANUARY),
    *(late(CARD, 37 + n, mark, 1000) for n, mark in enumerate(("DPD1", "DPD30", "DPD60", "DPD90"))),
    step(BAITIAO, 40, "REPAID", 210, "BORROWER", interest_fen=10, platform_fen=210, platform_interest_fen=10,
         outstanding_fen=300, vintage=JANUARY),
    *begun(JOINT, 35, 1000, 60_000, platform_fen=300, first=True),
    step(JOINT, 55, "DUE", 100, "PLATFORM", interest_fen=20, platform_fen=30, platform_interest_fen=6,
         bank_funding_fen=2, platform_funding_fen=1, outstanding_fen=1000, bank_outstanding_fen=700),
    step(JOINT, 56, "REPAID", 100, "BORROWER", interest_fen=20, platform_fen=30, platform_interest_fen=6, service_fen=3,
         outstanding_fen=920, bank_outstanding_fen=644),
    late(FIRM, 35, "DPD90", 5000, vintage=134),
    step(FIRM, 45, "CHARGED_OFF", 5000, arrears="DPD90", vintage=134),
    step(FIRM, 57, "RECOVERED", 1000, vintage=134),
]  # fmt: skip


def said(institution: str, day: int, kind: str, amount: int, count: int = 0) -> dict[str, Any]:
    fields = {"source": "banks", "institution": institution, "kind": kind, "amount_fen": amount, "count": count}
    return operation(event_time=START + day * DAY, **fields)


OPERATIONS = [
    said("icbc", 20, "CREDIT_RECORDS", 0, 350),
    said("icbc", 20, "ADULTS", 0, 1000),
    said("icbc", 40, "PLATFORM_FEES", 5000),
    said("icbc", 40, "BRANCH_COST", 600),
    said("icbc", 40, "LABOUR_COST", 700),
    said("icbc", 40, "OTHER_COST", 500),
    said("icbc", 50, "FINE", 40),
    said("icbc", 50, "CREDIT_RECORDS", 0, 360),
    said("icbc", 50, "ADULTS", 0, 1000),
    said("icbc", 50, "ACQUISITION_OWN", 2_600_000, 200),
    said("icbc", 50, "ACQUISITION_PLATFORM", 500_000, 200),
    said("jd", 50, "OTHER_COST", 999),
]


@cache
def rows(name: str) -> list[Any]:
    metric: Metric = metrics.load()[name]
    plans, partials = {}, []
    for topic in metric.topics():
        windows = {name: ("month", "year")}
        plans[topic] = plan_for([metric], topic, (START, END, DAY), windows=windows, world=ONE_SHARD)
        log = logged(plans[topic], 0, EVENTS if topic == "loans" else OPERATIONS)
        partials += world.partials_of(plans[topic], [log])
    return world.final_rows(metric, plans, partials)


def row(name: str, month: int, window: str = "month", **key: Any) -> dict[str, Any]:
    start = START if month == JANUARY or window == "year" else START + 31 * DAY
    wanted = {"window": window, "window_start": start} | key
    (found,) = [each for each in map(as_dict, rows(name)) if wanted.items() <= each.items()]
    assert found["status"] == "FINAL"
    return found


def lending(month: int, lender: str, product: str, window: str = "month", **key: Any) -> dict[str, Any]:
    return row("default-rates", month, window, **({"vintage": None, "lender": lender, "product": product} | key))


DEFAULT_RATES = [
    (JANUARY, "icbc", "CARD", {
        "applications": 1, "applications_weighted": 100, "approvals": 1, "approvals_weighted": 100, "rejections": 0,
        "funded_loans": 1, "funded_loans_weighted": 100, "funded_fen": 1000, "funded_weighted_fen": 100_000,
        "on_record_loans": 1, "on_record_loans_weighted": 100, "outstanding_weighted_fen": 100_000, "npl_ratio": 0.0,
        "approval_p50_ms": 75 * 3_600_000, "borrowers": None,
    }),
    (JANUARY, "ALL", "ALL", {
        "funded_loans": 4, "funded_loans_weighted": 220, "borrowers": 4, "borrowers_weighted": 130,
        "overlapping_borrowers": 1, "overlapping_borrowers_weighted": 100,
        "outstanding_weighted_fen": 100_000 + 50_000 + 10_000 + 20_000 + 50_000, "dpd60_loans": 1,
        "dpd60_weighted_fen": 50_000, "dpd90_loans": 0, "delinquency_ratio": 50_000 / 230_000,
    }),
    (JANUARY, "ALL", "BAITIAO", {"borrowers": 1, "borrowers_weighted": 100, "overlapping_borrowers": None}),
    (FEBRUARY, "icbc", "CARD", {
        "defaulted_loans": 1, "defaulted_loans_weighted": 100, "defaulted_fen": 1000, "defaulted_weighted_fen": 100_000,
        "dpd1_loans": 0, "dpd1_weighted_fen": 0, "dpd90_loans": 1, "dpd90_weighted_fen": 100_000, "npl_ratio": 1.0,
        "approval_p50_ms": None, "funded_loans": 0,
    }),
    (FEBRUARY, "lan-hai", "SME", {
        "defaulted_weighted_fen": 50_000, "charged_off_loans": 1, "charged_off_weighted_fen": 50_000,
        "recovered_loans": 1, "recovered_fen": 1000, "recovered_weighted_fen": 10_000, "outstanding_weighted_fen": 0,
        "dpd60_weighted_fen": 0, "dpd90_loans": 0, "dpd90_weighted_fen": 0, "npl_ratio": None,
    }),
    (FEBRUARY, "ALL", "ALL", {
        "borrowers": 4, "borrowers_weighted": 130, "overlapping_borrowers": 1,
        "outstanding_weighted_fen": 149_200, "npl_ratio": 100_000 / 149_200,
    }),
    (FEBRUARY, "TRADITIONAL_BANKS", "ALL", {"outstanding_weighted_fen": 100_000, "npl_ratio": 1.0}),
    (FEBRUARY, "PLATFORMS", "ALL", {"outstanding_weighted_fen": 39_200, "npl_ratio": 0.0, "funded_loans": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("month", "lender", "product", "fields"), DEFAULT_RATES)
def test_default_rates_by_hand(month: int, lender: str, product: str, fields: dict[str, Any]) -> None:
    found = lending(month, lender, product)
    assert {name: found[name] for name in fields} == fields


def test_a_year_counts_its_people_once_and_has_no_vintages() -> None:
    year = lending(JANUARY, "ALL", "ALL", "year")
    assert (year["funded_loans"], year["borrowers"], year["borrowers_weighted"]) == (5, 5, 140)
    assert year["outstanding_weighted_fen"] == 149_200
    assert {each.vintage for each in rows("default-rates") if each.window == "year"} == {None}


def test_vintages_by_hand() -> None:
    told = [each for each in rows("default-rates") if each.vintage is not None and each.months_on_book > 0]
    found = {(each.lender, each.product, each.vintage, each.months_on_book): each for each in told}
    assert sorted(found) == [
        ("ALL", "CARD", JANUARY, 1), ("ALL", "SME", 134, 11), ("TRADITIONAL_BANKS", "ALL", JANUARY, 1),
    ]  # fmt: skip
    card, firm = found["ALL", "CARD", JANUARY, 1], found["ALL", "SME", 134, 11]
    assert (card.defaulted_loans, card.defaulted_weighted_fen, card.funded_weighted_fen) == (1, 100_000, 0)
    assert (firm.defaulted_weighted_fen, firm.charged_off_weighted_fen, firm.recovered_weighted_fen) == (
        50_000,
        50_000,
        10_000,
    )
    assert lending(JANUARY, "ALL", "CARD", vintage=JANUARY)["funded_weighted_fen"] == 100_000
    assert lending(FEBRUARY, "PLATFORMS", "ALL", vintage=FEBRUARY)["funded_weighted_fen"] == 10_000


def test_channel_fees_by_hand() -> None:
    pair = row("channel-fees", JANUARY, bank="lan-hai", platform="jd")
    assert (pair["partnership_loans"], pair["partnership_weighted_fen"], pair["cofinanced_loans"]) == (1, 20_000, 1)
    assert (pair["commission_fen"], pair["commission_weighted_fen"], pair["fee_rate"]) == (20, 200, 0.01)
    assert (pair["first_loans"], pair["first_loans_weighted"]) == (1, 10)
    assert (pair["referred_weighted_fen"], pair["bank_weighted_fen"], pair["referred_share"]) == (29_000, 29_000, 1.0)
    assert pair["dependence"] is None
    every = row("channel-fees", JANUARY, bank="ALL", platform="ALL")
    assert (every["first_loans"], every["first_loans_weighted"], every["own_loans"]) == (2, 110, 2)
    later = row("channel-fees", FEBRUARY, bank="lan-hai", platform="ALL")
    assert (later["referred_loans_so_far"], later["own_defaults_so_far"], later["own_default_rate"]) == (2, 1, None)
    assert (later["referred_default_rate"], later["referred_share"], later["dependence"]) == (0.0, None, 1.0)
    icbc = row("channel-fees", FEBRUARY, bank="icbc", platform="ALL")
    assert (icbc["bank_weighted_fen"], icbc["bank_12_months_weighted_fen"]) == (7_000, 107_000)
    assert (icbc["dependence"], icbc["own_default_rate"]) == (0.0, 1.0)


def test_joint_lending_by_hand() -> None:
    for key in ({"platform": "alipay", "bank": "icbc"}, {"platform": "ALL", "bank": "ALL"}):
        found = row("joint-lending", FEBRUARY, **key)
        assert (found["loans"], found["loans_weighted"], found["funded_weighted_fen"]) == (1, 10, 10_000)
        assert (found["bank_funded_weighted_fen"], found["platform_share"]) == (7_000, 0.3)
        assert (found["bank_revenue_weighted_fen"], found["platform_revenue_weighted_fen"]) == (110, 90)
        assert found["platform_revenue_share"] == 0.45
        assert found["bank_cost_of_funds"] == pytest.approx(12 * 20 / 7_000)
        assert found["platform_cost_of_funds"] == pytest.approx(12 * 10 / 3_000)
    assert not [each for each in rows("joint-lending") if each.window_start == START and each.window == "month"]


def test_bank_income_by_hand() -> None:
    icbc = row("bank-income", FEBRUARY, bank="icbc")
    assert (icbc["interest_fen"], icbc["platform_fees_fen"], icbc["funding_fen"]) == (110, 5_000, 120)
    assert (icbc["revenue_fen"], icbc["fines"], icbc["fines_fen"], icbc["profit_fen"]) == (4_990, 1, 40, 3_150)
    assert (icbc["assets_fen"], icbc["branch_and_labour_share"]) == (100_000 + 6_440, 1300 / 1800)
    before, after = (row("bank-income", month, bank="lan-hai") for month in (JANUARY, FEBRUARY))
    assert (before["fees_fen"], before["commission_fen"], before["revenue_fen"]) == (500, 200, 300)
    assert (before["assets_fen"], before["branch_and_labour_share"]) == (79_000, None)
    assert (after["interest_fen"], after["losses_fen"], after["profit_fen"]) == (1_000, 40_000, -39_000)
    assert after["assets_fen"] == 9_000
    every = row("bank-income", FEBRUARY, bank="ALL")
    assert (every["assets_fen"], every["profit_fen"], every["other_cost_fen"]) == (115_440, -35_850, 500)
    assert {each.bank for each in rows("bank-income")} == {"icbc", "lan-hai", "ALL"}


def test_institutions_by_hand() -> None:
    january, february, year = (
        row("institutions", JANUARY, institution="icbc"),
        row("institutions", FEBRUARY, institution="icbc"),
        row("institutions", JANUARY, "year", institution="icbc"),
    )
    assert (january["coverage"], january["own_users"], january["fines"], january["branch_cost_fen"]) == (
        0.35,
        None,
        None,
        None,
    )
    assert (february["own_user_cost_fen"], february["platform_user_cost_fen"]) == (13_000.0, 2_500.0)
    assert (february["fines"], february["fines_fen"], february["platform_fees_fen"]) == (1, 40, 5_000)
    assert (year["credit_records"], year["adults"], year["coverage"]) == (710, 2_000, 0.355)
    assert row("institutions", FEBRUARY, institution="jd")["other_cost_fen"] == 999
