"""Claims about small banks that lean on facilitators (sections 3.2 and 4.2 of the paper)."""

from collections.abc import Sequence
from datetime import date

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, UncoveredError, by_window, named, some, total, year
from jinliu.report.intervals import Line
from jinliu.report.measured import Measured, measures

FEES, INCOME = "channel-fees", "bank-income"
ALL = "ALL"
UNDER_STUDY = "lan-hai"
LAG_MONTHS = 8
"""From funding to default, on average: of twelve instalments, weights falling linearly, the fifth and 90 days."""
LEAST_MONTHS = 24


def _of_year(facts: Facts, metric: str, number: int, **key: str) -> list[Row]:
    rows = facts.over(metric, year(number), **key)
    some(rows, f"row of {UNDER_STUDY} in {number}")
    return rows


def _spanning(facts: Facts, first: int, last: int) -> None:
    """Raise UncoveredError unless the run covers the years."""
    period = Period(year(first).first, year(last).after)
    if facts.span.first > period.first or facts.span.after < period.after:
        raise UncoveredError(f"needs a run over {period}; this one is over {facts.span}")


@measures("coop.fee-rise")
def fee_rise(facts: Facts) -> Measured:
    """Commission over what was originated by partnership, of the bank under study, 2018 and 2023."""
    _spanning(facts, 2018, 2023)
    values, bounds, read, loans = [], [], [], []
    for number in (2018, 2023):
        rows = _of_year(facts, FEES, number, bank=UNDER_STUDY, platform=ALL)
        parts = [float(row["commission_weighted_fen"]) for row in rows]
        wholes = [float(row["partnership_weighted_fen"]) for row in rows]
        some([whole for whole in wholes if whole], f"partnership loan of {UNDER_STUDY} in {number}")
        values.append(sum(parts) / sum(wholes))
        bounds.append(intervals.ratio(parts, wholes, rows[0]["window"]))
        read.append(named(FEES, rows, year(number), bank=UNDER_STUDY, platform=ALL))
        loans.append(total(rows, "partnership_loans"))
    note = f"{loans[0]:,} partnership loans in 2018, {loans[1]:,} in 2023"
    return Measured(tuple(values), tuple(bounds), tuple(read), note=note)


@measures("coop.lanhai-growth")
def growth(facts: Facts) -> Measured:
    """Assets at the year's end, revenue and profit, 2023 over 2018."""
    _spanning(facts, 2018, 2023)
    before, after = (_of_year(facts, INCOME, number, bank=UNDER_STUDY) for number in (2018, 2023))
    assets = [int(rows[-1]["assets_fen"]) for rows in (before, after)]
    if assets[0] <= 0:
        raise UncoveredError(f"{UNDER_STUDY} has no assets at the end of 2018")
    values, bounds = [assets[1] / assets[0]], [None]
    times = _times(before, after, ("revenue_fen", "profit_fen"))
    read = (
        named(INCOME, before, year(2018), bank=UNDER_STUDY),
        named(INCOME, after, year(2023), bank=UNDER_STUDY),
    )
    note = f"assets {assets[0] / 1e11:.2f} and {assets[1] / 1e11:.2f} billion yuan: stocks, without an interval"
    return Measured(
        (*values, *(value for value, _ in times)), (*bounds, *(interval for _, interval in times)), read, note=note
    )


@measures("coop.lanhai-fall")
def fall(facts: Facts) -> Measured:
    """Profit and revenue of 2024 over 2023, and the fines of the first half of 2024, yuan."""
    _spanning(facts, 2023, 2024)
    before, after = (_of_year(facts, INCOME, number, bank=UNDER_STUDY) for number in (2023, 2024))
    half = facts.over(INCOME, Period(date(2024, 1, 1), date(2024, 7, 1)), bank=UNDER_STUDY)
    times = _times(before, after, ("profit_fen", "revenue_fen"))
    read = (
        named(INCOME, before, year(2023), bank=UNDER_STUDY),
        named(INCOME, after, year(2024), bank=UNDER_STUDY),
    )
    return Measured(
        (*(value for value, _ in times), total(half, "fines_fen") / 100),
        (*(interval for _, interval in times), None),
        read,
        besides={"two fines": total(half, "fines") == 2},
        note="fines are counted, not sampled",
    )


def _times(
    before: Sequence[Row], after: Sequence[Row], names: Sequence[str]
) -> list[tuple[float, intervals.Interval | None]]:
    """A later year over an earlier one, of each field; its months are the clusters."""
    found = []
    for name in names:
        parts, wholes = ([float(total(window, name)) for window in by_window(rows)] for rows in (after, before))
        if sum(wholes) <= 0:
            raise UncoveredError(f"{UNDER_STUDY}'s {name.removesuffix('_fen')} of the earlier year is not above 0")
        alike = len(parts) == len(wholes)
        found.append((sum(parts) / sum(wholes), intervals.ratio(parts, wholes, "calendar month") if alike else None))
    return found


@measures("coop.overreliance")
def overreliance(facts: Facts) -> Measured:
    """Default rate of the loans of banks that take referrals, at the least and the most referred share of them.

    By a line of least squares over the banks. What defaulted is set against what was funded `LAG_MONTHS` before, the
    referred share is of that money.
    """
    period = facts.months()
    rows = [row for row in facts.over(FEES, period, platform=ALL) if row["bank"] != ALL]
    windows = by_window(rows)
    if len(windows) < LEAST_MONTHS:
        raise UncoveredError(f"needs a run over at least {LEAST_MONTHS} whole months; this one is over {facts.span}")
    last = {row["bank"]: row for row in windows[-1]}
    banks = [bank for bank, row in last.items() if row["referred_loans_so_far"]]
    shares, rates, own = [], [], []
    begun = {row["bank"]: row for row in windows[LAG_MONTHS - 1]}
    funded = {row["bank"]: row for row in windows[-1 - LAG_MONTHS]}
    for bank in banks:
        cohort = [row for window in windows[: len(windows) - LAG_MONTHS] for row in window if row["bank"] == bank]
        if bank not in funded or not total(cohort, "bank_weighted_fen"):
            continue
        late = {name: last[bank][name] - (begun[bank][name] if bank in begun else 0) for name in _DEFAULTED}
        lent = {name: funded[bank][name] for name in _FUNDED}
        shares.append(total(cohort, "referred_weighted_fen") / total(cohort, "bank_weighted_fen"))
        rates.append(sum(late.values()) / sum(lent.values()))
        own.append(late[_DEFAULTED[0]] / lent[_FUNDED[0]] if lent[_FUNDED[0]] else 0.0)
    found = intervals.line(shares, rates)
    if found is None:
        raise UncoveredError("needs at least three banks that lean differently on referrals")
    low, high = (found.at(share) for share in (min(shares), max(shares)))
    defaults = sum(last[bank]["referred_defaults_so_far"] + last[bank]["own_defaults_so_far"] for bank in banks)
    leaning = f"referred share {min(shares):.0%} to {max(shares):.0%}"
    note = f"{len(shares)} banks, {defaults:,} defaults; {leaning}; {_said(found)}"
    alone = intervals.line(shares, own)
    if alone is not None:
        note += f"; of loans that were not referred, {_said(alone)}"
    read = named(FEES, rows, period, bank=f"each of {len(shares)} with referrals", platform=ALL)
    return Measured((low[0], high[0]), (low[1], high[1]), (read,), note=note)


_DEFAULTED = ("own_defaulted_so_far_weighted_fen", "referred_defaulted_so_far_weighted_fen")
_FUNDED = ("own_so_far_weighted_fen", "referred_so_far_weighted_fen")


def _said(found: Line) -> str:
    bounds = found.slope_interval
    return f"slope {found.slope:.3f} ({bounds.low:.3f} to {bounds.high:.3f})"
