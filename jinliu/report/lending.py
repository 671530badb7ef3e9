"""Claims about lending: speed, users, bad debts and delinquency (sections 2.2, 2.3.2 and 5.2.2 of the paper)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, UncoveredError, by_window, named, some, total, year
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, measures

RATES, DOINGS = "default-rates", "institutions"
ALL, BANKS, PLATFORMS = "ALL", "TRADITIONAL_BANKS", "PLATFORMS"
CMB = "cmb"
MINUTE_MS, DAY_MS = 60_000, 86_400_000
MATURITY_MONTHS = 18
"""Loans run twelve months and pass the last mark 90 days behind an instalment: by then nothing more can default."""
VINTAGE_ZERO = 2010
Months = Callable[[date], bool]


def _speed(facts: Facts, product: str, quantiles: Sequence[str], unit_ms: int) -> Measured:
    """Quantiles of the time from application to approval: the months' mean, weighted by approvals."""
    period = facts.usual()
    found = facts.over(RATES, period, lender=ALL, product=product, vintage=None)
    rows = some([row for row in found if row["approvals"]], f"approval of {product}")
    whole, values, bounds = total(rows, "approvals_weighted"), [], []
    for name in quantiles:
        values.append(sum(row[name] * row["approvals_weighted"] for row in rows) / whole / unit_ms)
        bounds.append(intervals.mean([row[name] / unit_ms for row in rows], rows[0]["window"]))
    read = named(RATES, rows, period, lender=ALL, product=product)
    value = values[0] if len(values) == 1 else tuple(values)
    return Measured(value, tuple(bounds), (read,), note=f"{total(rows, 'approvals'):,} approvals told")


@measures("loan.weilidai-speed")
def weilidai_speed(facts: Facts) -> Measured:
    """99th percentile of Weilidai's time to approve, minutes."""
    return _speed(facts, "WEILIDAI", ["approval_p99_ms"], MINUTE_MS)


@measures("loan.bank-speed")
def bank_speed(facts: Facts) -> Measured:
    """5th and 95th percentile of the time to approve a credit card, days."""
    return _speed(facts, "CARD", ["approval_p5_ms", "approval_p95_ms"], DAY_MS)


@measures("loan.baitiao-users")
def baitiao_users(facts: Facts) -> Measured:
    """Distinct borrowers with Baitiao on the books in 2022."""
    rows = [row for row in facts.whole_year(RATES, 2022) if row["lender"] == ALL and row["product"] == "BAITIAO"]
    (row,) = some([row for row in rows if row["vintage"] is None], "Baitiao loan")
    people, weighted = row["borrowers"], row["borrowers_weighted"]
    interval = intervals.poisson(people, weighted / people) if people else None
    read = named(RATES, [row], year(2022), lender=ALL, product="BAITIAO")
    return Measured(weighted, (interval,), (read,), note=f"{people:,} borrowers of the sample")


@dataclass(frozen=True, slots=True)
class Matured:
    """Vintages whose loans have all ended: what defaulted of them (parts) and what was funded (wholes), fen, each."""

    parts: tuple[float, ...]
    wholes: tuple[float, ...]
    defaults: int
    loans: int
    read: str

    @property
    def rate(self) -> float:
        """Defaulted over funded amount."""
        return sum(self.parts) / sum(self.wholes)

    @property
    def interval(self) -> Interval | None:
        """By vintage."""
        return intervals.ratio(self.parts, self.wholes, "vintage")

    def __str__(self) -> str:
        return f"{self.defaults:,} of {self.loans:,} loans in {len(self.parts)} vintages"


def matured(facts: Facts, lender: str, product: str, when: Months = lambda month: True) -> Matured:
    """The vintages funded inside the run, `MATURITY_MONTHS` before its end and in months of which `when` is true.

    Raises UncoveredError where there are none.
    """
    period = facts.months()
    months = [month for month in _months(period) if when(month) and _later(month, MATURITY_MONTHS + 1) <= period.after]
    if not months:
        raise UncoveredError(
            f"needs loans funded {MATURITY_MONTHS} months before the run's end; this one is over {facts.span}"
        )
    wanted = {(month.year - VINTAGE_ZERO) * 12 + month.month - 1: month for month in months}
    rows = facts.over(RATES, period, lender=lender, product=product)
    by_vintage: dict[int, list[Row]] = {}
    for row in rows:
        if row["vintage"] in wanted:
            by_vintage.setdefault(row["vintage"], []).append(row)
    groups = some([by_vintage[vintage] for vintage in sorted(by_vintage)], f"loan of {lender}/{product}")
    span = Period(months[0], _later(months[-1], 1))
    return Matured(
        tuple(float(total(group, "defaulted_weighted_fen")) for group in groups),
        tuple(float(total(group, "funded_weighted_fen")) for group in groups),
        sum(total(group, "defaulted_loans") for group in groups),
        sum(total(group, "funded_loans") for group in groups),
        named(RATES, [row for group in groups for row in group], period, lender=lender, product=product)
        + f" vintages funded {span}",
    )


def _months(period: Period) -> list[date]:
    """First days of the months of a period of whole months."""
    count = (period.after.year - period.first.year) * 12 + period.after.month - period.first.month
    return [_later(period.first, n) for n in range(count)]


def _later(month: date, n: int) -> date:
    """The first of the n-th month after."""
    number = month.year * 12 + month.month - 1 + n
    return date(number // 12, number % 12 + 1, 1)


@measures("loan.baitiao-bad")
def baitiao_bad(facts: Facts) -> Measured:
    """Defaulted over disbursed amount of Baitiao's matured vintages."""
    loans = matured(facts, ALL, "BAITIAO")
    return Measured(loans.rate, (loans.interval,), (loans.read,), note=f"{loans} defaulted")


@measures("loan.baitiao-gap")
def baitiao_gap(facts: Facts) -> Measured:
    """Baitiao's rate less that of traditional banks' own loans, the same vintages and the same definition."""
    baitiao, banks = matured(facts, ALL, "BAITIAO"), matured(facts, BANKS, ALL)
    interval = None
    if len(baitiao.parts) == len(banks.parts):
        interval = intervals.difference((baitiao.parts, baitiao.wholes), (banks.parts, banks.wholes), "vintage")
    note = f"Baitiao {baitiao.rate:.2%} ({baitiao} defaulted), banks {banks.rate:.2%} ({banks})"
    return Measured(baitiao.rate - banks.rate, (interval,), (baitiao.read, banks.read), note=note)


@measures("loan.cmb-delinquency")
def cmb_delinquency(facts: Facts) -> Measured:
    """Outstanding 30 days or more past due over all outstanding on China Merchants Bank's cards, the mean of months.

    From 2019 on. Months share loans, so years are the clusters where there are several.
    """
    period = facts.months(date(2019, 1, 1))
    found = facts.over(RATES, period, lender=CMB, product="CARD", vintage=None)
    rows = some([row for row in found if row["delinquency_ratio"] is not None], "card of China Merchants Bank")
    years: dict[int, list[float]] = {}
    for row in rows:
        years.setdefault(_year(row), []).append(row["delinquency_ratio"])
    months = [row["delinquency_ratio"] for row in rows]
    means = [sum(values) / len(values) for values in years.values()]
    interval = intervals.mean(means, "year") if len(means) > 1 else intervals.mean(months, rows[0]["window"])
    late = [sum(row[f"dpd{mark}_loans"] for mark in (30, 60, 90)) for row in rows]
    read = named(RATES, rows, period, lender=CMB, product="CARD")
    note = f"{sum(late) / len(late):,.0f} loans 30 days or more past due at a month's end"
    return Measured(sum(months) / len(months), (interval,), (read,), note=note)


def _year(row: Row) -> int:
    return date.fromordinal(date(1970, 1, 1).toordinal() + row["window_start"] // DAY_MS).year


@measures("loan.cmb-coverage")
def cmb_coverage(facts: Facts) -> Measured:
    """Adults whom the central bank's credit system knows, of all; people are drawn alike, one by one."""
    period = facts.usual()
    rows = some([row for row in facts.over(DOINGS, period, institution=CMB) if row["adults"]], "credit record")
    weight, last = facts.topology.scale.person_weight, rows[-1]  # it is told once a month
    known, adults = last["credit_records"] // weight, last["adults"] // weight
    return Measured(
        total(rows, "credit_records") / total(rows, "adults"),
        (intervals.wilson(known, adults),),
        (named(DOINGS, rows, period, institution=CMB),),
        note=f"{known:,} of {adults:,} people of the sample",
    )


@measures("loan.weilidai-bureau")
def weilidai_bureau(facts: Facts) -> Measured:
    """Default rate of Weilidai's matured vintages funded after it joined the credit system, below those before."""
    day = facts.decided("credit-system-access", True)
    before = matured(facts, ALL, "WEILIDAI", lambda month: _later(month, 1) <= day)
    after = matured(facts, ALL, "WEILIDAI", lambda month: month >= day)
    note = f"before {before.rate:.2%} ({before} defaulted), after {after.rate:.2%} ({after})"
    return Measured(
        after.rate,
        (after.interval,),
        (before.read, after.read),
        besides={"after below before": after.rate < before.rate},
        note=note,
    )


@measures("loan.npl-order")
def npl_order(facts: Facts) -> Measured:
    """Non-performing ratio of traditional banks' own loans, then of platforms' products, pooled by outstanding."""
    period, values, bounds, read, loans = facts.usual(), [], [], [], []
    for lender in (BANKS, PLATFORMS):
        found = facts.over(RATES, period, lender=lender, product=ALL, vintage=None)
        rows = some([row for row in found if row["outstanding_weighted_fen"]], f"loan of {lender}")
        parts = [float(total(window, "dpd90_weighted_fen")) for window in by_window(rows)]
        wholes = [float(total(window, "outstanding_weighted_fen")) for window in by_window(rows)]
        values.append(sum(parts) / sum(wholes))
        bounds.append(intervals.ratio(parts, wholes, rows[0]["window"]))
        read.append(named(RATES, rows, period, lender=lender, product=ALL))
        loans.append(total(rows, "dpd90_loans") / len(rows))
    note = f"loans 90 days or more past due at a month's end: banks {loans[0]:,.0f}, platforms {loans[1]:,.0f}"
    return Measured(tuple(values), tuple(bounds), tuple(read), note=note)
