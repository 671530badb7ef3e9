"""What banks' months come to beside their loans."""

from __future__ import annotations

from datetime import date

import pytest

import topologies
from producers.economy import Economy
from producers.months import Entry, Months

CHINA = topologies.load("china")
ECONOMY = Economy(CHINA, 7)
MONTHS = Months(ECONOMY)
EPOCH = date(1970, 1, 1)


def on(bank: str, day: date, months: Months = MONTHS) -> dict[str, Entry]:
    return {entry.kind: entry for entry in months.of(bank, (day - EPOCH).days)}


def test_totals_are_told_on_the_last_day_of_a_month() -> None:
    assert on("icbc", date(2022, 2, 27)) == {}
    told = on("icbc", date(2022, 2, 28))
    assert told.keys() == {
        "PLATFORM_FEES", "BRANCH_COST", "LABOUR_COST", "OTHER_COST", "ACQUISITION_OWN", "ACQUISITION_PLATFORM",
    }  # fmt: skip
    amounts = {kind: entry.amount_fen or 0 for kind, entry in told.items()}
    cost = amounts["BRANCH_COST"] + amounts["LABOUR_COST"] + amounts["OTHER_COST"]
    assert cost == round(CHINA.lending.costs.yuan_a_year * 100 * CHINA.economy.bank_size["icbc"] * 28 / 365)
    assert (amounts["BRANCH_COST"] + amounts["LABOUR_COST"]) / cost == pytest.approx(0.63)


def test_a_bank_earns_on_what_platforms_pay_from_its_cards() -> None:
    days = range(ECONOMY.index(0) + (date(2022, 2, 1) - EPOCH).days, ECONOMY.index(0) + (date(2022, 3, 1) - EPOCH).days)
    carried = sum(float(ECONOMY.day(d).amount_fen[:3].sum()) for d in days)
    share = float(ECONOMY.size[CHINA.banks.index("icbc")])
    told = on("icbc", date(2022, 2, 28))["PLATFORM_FEES"].amount_fen
    assert told == pytest.approx(carried * share * CHINA.lending.costs.platform_fee, abs=1)
    assert told > (on("lan-hai", date(2022, 2, 28))["PLATFORM_FEES"].amount_fen or 0) > 0


def test_a_small_banks_cost_goes_with_its_loans() -> None:
    small, large = (on("lan-hai", day)["OTHER_COST"].amount_fen or 0 for day in (date(2018, 1, 31), date(2023, 1, 31)))
    assert large > 1.5 * small


def test_fines_are_told_on_their_day_and_add_up_to_the_papers() -> None:
    days = range((date(2024, 1, 1) - EPOCH).days, (date(2024, 7, 1) - EPOCH).days)
    fines = [e.amount_fen for day in days for e in MONTHS.of("lan-hai", day) if e.kind == "FINE"]
    assert (len(fines), sum(x or 0 for x in fines)) == (2, 140_000_000)
    assert not [e for day in days for e in MONTHS.of("icbc", day) if e.kind == "FINE"]


def test_records_are_counted_in_the_sample() -> None:
    told = on("cmb", date(2020, 5, 31))
    known, adults = told["CREDIT_RECORDS"].count or 0, told["ADULTS"].count or 0
    assert adults == ECONOMY.people.population * CHINA.scale.person_weight
    assert known / adults == pytest.approx(0.35, abs=0.01)
    assert known / adults != 0.35
    assert "ADULTS" not in on("icbc", date(2020, 5, 31))


def test_acquisition_costs_lie_in_their_ranges_and_differ_by_month_and_seed() -> None:
    other = Months(Economy(CHINA, 8))
    costs = []
    for months, day in ((MONTHS, date(2020, 5, 31)), (MONTHS, date(2020, 6, 30)), (other, date(2020, 6, 30))):
        told = on("cmb", day, months)
        for kind, (least, most) in (("ACQUISITION_OWN", (120, 150)), ("ACQUISITION_PLATFORM", (20, 30))):
            cost = (told[kind].amount_fen or 0) / (told[kind].count or 1) / 100
            assert least <= cost <= most
            costs.append(cost)
    assert len(set(costs)) == 6
