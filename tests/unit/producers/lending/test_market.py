"""The lending market by day: shapes of loans, levers, and what dependence does to a small bank."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import norm

import topologies
from producers.economy import DAY_MS, Economy
from producers.lending import calendar, regional
from producers.lending.emitter import LoanEmitter
from producers.lending.market import loan_shape, nominal
from producers.lending.scoring import cutoff
from tests.unit.producers.lending import expected
from topologies import Topology

SMALL = topologies.load("small")
ECONOMY = Economy(SMALL, 7)
WARM = SMALL.lending.warm_up_days


def at(year: int, month: int = 1, day: int = 1) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days * DAY_MS


def index(year: int, month: int = 1, day: int = 1) -> int:
    return WARM + ECONOMY.index(at(year, month, day))


def offer(name: str) -> int:
    return [each.name for each in ECONOMY.offers.offers].index(name)


def moved(*levers: tuple[str, Any]) -> Economy:
    return Economy(SMALL, 7, [(name, value, at(2018)) for name, value in levers])


def with_lending(**changes: Any) -> Topology:
    return SMALL.model_copy(update={"lending": SMALL.lending.model_copy(update=changes)})


def test_civil_dates() -> None:
    for day in (-800_000, -1, 0, 59, 60, 10_956, 10_957, 19_000, 29_219, 29_220, 40_000, 500_000):
        civil = date(1970, 1, 1) + timedelta(days=day) if day > -719_000 else None
        month = calendar.month_of(day)
        if civil is not None:
            assert month == civil.year * 12 + civil.month - 1
            assert calendar.first_day(month) == day - civil.day + 1
    assert calendar.due_ms(at(2020, 1, 31) + 5, 1) == at(2020, 2, 28)
    assert calendar.due_ms(at(2020, 1, 15) + 5, 12) == at(2021, 1, 15)
    assert calendar.vintage(at(2018)) == 96


def test_the_shape_of_a_loan() -> None:
    life, exposure = loan_shape(0.0, 12)
    assert life == pytest.approx(sum(range(1, 13)) / 12 / 12, abs=1e-6)
    assert exposure == pytest.approx(sum(k * k for k in range(1, 13)) / 12 / 78, abs=1e-6)
    assert loan_shape(0.3, 12)[0] > life
    assert (1 + nominal(0.24) / 12) ** 12 == pytest.approx(1.24, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_quadrature_by_arithmetic_alone(n: int) -> None:
    nodes, weights = regional.legendre(n)
    wanted = np.polynomial.legendre.leggauss(n)
    assert nodes == pytest.approx(wanted[0], abs=1e-14)
    assert weights == pytest.approx(wanted[1], abs=1e-13)
    for degree in range(0, 2 * n, 2):
        assert float((weights * nodes**degree).sum()) == pytest.approx(2 / (degree + 1), abs=1e-12)


@pytest.mark.parametrize("quality", [1.0, 0.4, 0.1])
@pytest.mark.parametrize(("mean", "own", "referred", "highest"), [(-1.9, 3.0, 0.4, 0.1), (-0.8, 1.0, 0.4, 0.2)])
def test_what_a_bank_expects_of_its_screening(
    mean: float, own: float, referred: float, highest: float, quality: float
) -> None:
    last = cutoff(mean, own + referred, highest)
    approved, defaults = regional.outcome(mean, own, referred, quality, last, regional.NODES, regional.WEIGHTS)
    spread = math.sqrt(own / quality + referred) / (1 + own + referred)

    def taken(z: float) -> float:
        return float(norm.pdf(z) * norm.cdf((last - (own + referred) / (1 + own + referred) * z) / spread))

    share = integrate.quad(taken, -9, 9, epsabs=1e-12)[0]
    lost = integrate.quad(lambda z: taken(z) * norm.cdf(mean + z), -9, 9, epsabs=1e-12)[0]
    assert approved == pytest.approx(share, rel=1e-7)
    assert defaults == pytest.approx(lost / share, rel=1e-5)
    if quality == 1.0:
        assert (approved, defaults) == pytest.approx(expected.outcome(mean, own + referred, highest), rel=1e-5)


def test_leaning_on_referrals_spoils_screening_and_raises_the_fee() -> None:
    market, lan_hai = ECONOMY.market, offer("lan-hai-referred")
    first, last = index(2018), index(2023, 12, 31)
    assert market.quality[last, lan_hai] < 0.7 * market.quality[first, lan_hai]
    assert market.commission_ppm[last, lan_hai] > 1.5 * market.commission_ppm[first, lan_hai] >= 5000
    quiet = moved(("fee-bargaining", False)).market
    assert set(quiet.commission_ppm[index(2018, 1, 2) :, lan_hai]) == {5000}
    spared, leaning = offer("beijing-rural-referred"), offer("lan-hai-referred")
    assert market.quality[last, spared] > market.quality[last, leaning]


def test_the_cap_drops_the_opaque_bands_and_the_floor_lifts_shares() -> None:
    bands = [offer(f"joint-{band}") for band in range(1, 6)]
    market = ECONOMY.market
    before, after = index(2021, 2, 18), index(2021, 2, 22)
    assert (market.ask[before, bands] > 0).all()
    kept = market.ask[after, bands] > 0
    assert kept.tolist() == (market.platform_ppm[after, bands] <= 300_000).tolist()
    assert 0 < kept.sum() < 5
    assert (np.diff(market.platform_ppm[before, bands]) > 0).all(), "the more opaque, the more the bank demands"
    lifted = moved(("partner-floor", 0.25)).market
    assert lifted.platform_ppm[before, bands].min() == 250_000


def test_a_rate_cap_lowers_rates_and_takes_fewer() -> None:
    capped, lan_hai = moved(("loan-rate-cap", 0.15)).market, offer("lan-hai-referred")
    d = index(2019)
    assert capped.rate_ppm[d].max() == round(nominal(0.15) * 1e6)
    assert (capped.cutoff[d, lan_hai] < ECONOMY.market.cutoff[d, lan_hai]).all()


def test_joining_the_credit_system_sharpens_and_disciplines() -> None:
    market, weilidai = ECONOMY.market, offer("weilidai")
    before, after = index(2020, 6, 1), index(2020, 8, 1)
    assert market.own[after, weilidai, 1] > market.own[before, weilidai, 1]
    assert market.own[after, weilidai, 0] == market.own[before, weilidai, 0]
    assert market.mean[after, weilidai, 1] < market.mean[before, weilidai, 1]


def test_a_lender_gets_what_its_screening_promises() -> None:
    """Alone with its pool, no debt elsewhere, full quality: approval and default as the closed form has them."""
    offers = {"baitiao": SMALL.lending.offers["baitiao"].model_copy(update={"ask": 1.0})}
    pools = {"unbanked": SMALL.lending.pools["unbanked"].model_copy(update={"several": 0.0, "people": 1_000_000_000})}
    world = with_lending(offers=offers, pools=pools, joint=None, regional=None, thin=4)
    economy = Economy(world, 3)
    emitter = LoanEmitter(economy, "jd", economy.start_ms)
    shelves = [emitter.shelf(shard).loans for shard in range(2)]
    first = [np.unique(loans.borrower, return_index=True)[1] for loans in shelves]
    outcome = np.concatenate([loans.outcome[at] for loans, at in zip(shelves, first, strict=True)])
    defaults = np.concatenate([loans.default[at] > 0 for loans, at in zip(shelves, first, strict=True)])
    life, exposure = loan_shape(0.18, 12)
    margin = (0.18 - 0.05 - 0.02) * life
    wanted = expected.outcome(world.lending.mean, 1.0, margin / (margin + 0.65 * exposure))
    taken = np.isin(outcome, [2, 3])
    n = len(outcome)
    assert n > 50_000
    assert taken.mean() == pytest.approx(wanted.approved, abs=4 * math.sqrt(0.25 / n))
    funded = outcome == 3
    spread = math.sqrt(wanted.default_rate / funded.sum())
    assert defaults[funded].mean() == pytest.approx(wanted.default_rate, abs=4 * spread)


def test_shared_data_lowers_overlapping_debt() -> None:
    def overlapping(economy: Economy) -> int:
        """Loans of alipay funded within a year of one of jd to the same borrower, in both directions."""
        when: list[dict[int, list[int]]] = []
        for source in ("jd", "alipay"):
            loans = LoanEmitter(economy, source, economy.start_ms).shelf(0).loans
            mine: dict[int, list[int]] = {}
            for row in np.flatnonzero((loans.outcome == 3) & (loans.applied_ms >= at(2018))).tolist():
                mine.setdefault(int(loans.borrower[row]), []).append(int(loans.funded_ms[row]))
            when.append(mine)
        ours, theirs = when
        return sum(
            any(abs(one - other) < 365 * DAY_MS for one in ours[borrower] for other in theirs[borrower])
            for borrower in ours.keys() & theirs.keys()
        )

    world = with_lending(thin=5)
    shared, alone = overlapping(Economy(world, 7, [("data-sharing", True, at(2018))])), overlapping(Economy(world, 7))
    assert alone > 1000
    assert shared < alone - 4 * math.sqrt(alone)


def test_on_some_occasions_two_lenders_are_asked() -> None:
    world = with_lending(thin=5)
    economy = Economy(world, 7)
    found: dict[int, list[int]] = {}
    for source in ("jd", "alipay"):
        loans = LoanEmitter(economy, source, economy.start_ms).shelf(0).loans
        for borrower, applied in zip(loans.borrower.tolist(), loans.applied_ms.tolist(), strict=True):
            found.setdefault(borrower, []).append(applied)
    times = [sorted(each) for each in found.values()]
    pairs = sum(later - earlier == 60_000 for each in times for earlier, later in pairwise(each))
    occasions = sum(map(len, times)) - pairs
    assert pairs / occasions == pytest.approx(SMALL.lending.pools["unbanked"].several, abs=0.01)
