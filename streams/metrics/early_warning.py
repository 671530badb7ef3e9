"""`metrics.early-warning`: three signs that a bank which lends on referral is getting into trouble.

A row is told of every bank that has taken referrals (PARTNERSHIP, COFINANCED) since the run began, month by month. A
loan belongs to the calendar month it was funded in, its vintage; the window's last month is the latest one. All money
is the bank's own part.

1. Referred share: referred over all money lent in the twelve latest months; as `dependence` of `metrics.channel-fees`.
2. Fee rate: commissions over the partnership loans they were paid for, of the twelve latest vintages, less the lowest
   of any twelve vintages in a row before them. Facilitators raise it while a bank still has a choice, loans go bad a
   year or more later: so the sign remembers. (`fee_change`, against the twelve vintages before, is the alarm
   `fee-spike`.)
3. Default rate: of the twelve vintages that are 6 to 17 months old, what has passed 90 days past due up to now, as it
   was outstanding then, over what was lent. Less the same of the twelve vintages before, each at the age that the one a
   year younger has now; that is the default rate as it stood a year ago. Loans younger than that have hardly had the
   time to default, and older ones are over.

A rate is told when the run has told loans of all the months it is about (`months_told`): younger runs have no trend.

A sign is on above its limit. More than two thirds of what is lent are referred: others screen most of it. The fee is
0.2 points higher: more than a quarter of the way from 0.5% to 1.2% that the fees of small banks went (coop.fee-rise).
The default rate rises by half a point: as much as all that referrals cost in fees at first. All three in one month are
the warning. The limit of the share, and that the fee's sign remembers, were chosen on seeds 1 to 10; what they come to
on others is told by `python -m bench.early_warning`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streams.alarm import Alarm
from streams.loanproducts import REFERRED
from streams.measures import Measure, Where, count, total
from streams.metric import Folded, Int64, Merged, Metric, Window, ratio, totalled
from streams.rollup import Rollup
from streams.rows import Row, doc
from streams.windows import month_of

NONE = "none"
YEAR = 12
AGES = tuple(range(6, 18))
"""Months on book of the vintages that the default rate is about."""
SHARE_LIMIT, FEE_LIMIT, DEFAULT_LIMIT = 2 / 3, 0.002, 0.005


@dataclass(slots=True, kw_only=True)
class EarlyWarningRow(Row):
    """Signs of trouble of one bank that takes referrals, up to the end of the window."""

    bank: str = doc("Institution id of the bank.")
    months_told: int = doc("Calendar months from the first loan funded in the run, whoever lent it, to the latest.")
    referred_weighted_fen: int = doc("Real money of the bank in referred loans of the twelve latest months, fen.")
    bank_weighted_fen: int = doc("Real money of the bank in all loans of these months, fen.")
    referred_share: float | None = doc("referred_weighted_fen / bank_weighted_fen.")
    commission_weighted_fen: int = doc("Real commissions for partnership loans of the twelve latest months, fen.")
    partnership_weighted_fen: int = doc("Real amount of these loans, fen.")
    earlier_commission_weighted_fen: int = doc("The same of the twelve months before, fen.")
    earlier_partnership_weighted_fen: int = doc("Real amount of these loans, fen.")
    fee_rate: float | None = doc(
        "commission_weighted_fen / partnership_weighted_fen; null below 12 months_told.", default=None
    )
    earlier_fee_rate: float | None = doc(
        "earlier_commission_weighted_fen / earlier_partnership_weighted_fen; null below 24 months_told.", default=None
    )
    fee_change: float | None = doc("fee_rate - earlier_fee_rate.", default=None)
    lowest_fee_rate: float | None = doc(
        "The lowest fee rate of twelve vintages in a row, all at least 12 months old; null below 24 months_told.",
        default=None,
    )
    fee_rise: float | None = doc("fee_rate - lowest_fee_rate.", default=None)
    aged_weighted_fen: int = doc("Real money of the bank in referred loans funded 6 to 17 months ago, fen.")
    aged_defaulted_weighted_fen: int = doc(
        "Of it, real money outstanding in loans as they passed 90 days past due, up to the window's end, fen."
    )
    earlier_aged_weighted_fen: int = doc("Real money of the bank in referred loans funded 18 to 29 months ago, fen.")
    earlier_aged_defaulted_weighted_fen: int = doc("Of it, what had passed 90 days past due twelve months ago, fen.")
    default_rate: float | None = doc(
        "aged_defaulted_weighted_fen / aged_weighted_fen; null below 18 months_told.", default=None
    )
    earlier_default_rate: float | None = doc(
        "earlier_aged_defaulted_weighted_fen / earlier_aged_weighted_fen; null below 30 months_told.", default=None
    )
    default_change: float | None = doc("default_rate - earlier_default_rate.", default=None)
    signals: int = doc("How many are on: referred_share > 2 / 3, fee_rise > 0.002, default_change > 0.005.")
    warning: bool = doc("Whether all three are.")


def measures() -> dict[str, Measure]:
    """Money by vintage, and what of it defaulted up to the first age and at each later one."""
    referred: Where = {"kind": "FUNDED", "product": REFERRED}
    partnership: Where = {"kind": "FUNDED", "product": "PARTNERSHIP"}
    return {
        "loans": count(where={"kind": "FUNDED"}),
        "referred_loans": count(where=referred),
        "bank": total("bank_fen", times="weight", where={"kind": "FUNDED"}),
        "referred": total("bank_fen", times="weight", where=referred),
        "partnership": total("amount_fen", times="weight", where=partnership),
        "commission": total("amount_fen", times="weight", where={"kind": "COMMISSION"}),
        **{
            f"defaulted_{age}": total(
                "bank_outstanding_fen",
                times="weight",
                where={
                    "kind": "PAST_DUE",
                    "arrears": "DPD90",
                    "product": REFERRED,
                    "months_on_book": age if age > AGES[0] else tuple(range(age + 1)),
                },
            )
            for age in AGES
        },
    }


HISTORY = Rollup(
    name="history",
    topic="loans",
    keys=("bank", "vintage"),
    where={"kind": ("FUNDED", "COMMISSION", "PAST_DUE")},
    measures=measures(),
    cumulative=True,
)


def derive(window: Window, merged: Merged) -> Iterator[EarlyWarningRow]:
    history, latest = merged["history"], month_of(window.end - 1)
    age: Int64 = latest - np.array(history.symbols("vintage"), np.int64)
    told: Int64 = age[history["loans"].sum(axis=0) > 0]
    sums = {
        "referred_weighted_fen": _sum(history["referred"], age, 0),
        "bank_weighted_fen": _sum(history["bank"], age, 0),
        "commission_weighted_fen": _sum(history["commission"], age, 0),
        "partnership_weighted_fen": _sum(history["partnership"], age, 0),
        "earlier_commission_weighted_fen": _sum(history["commission"], age, YEAR),
        "earlier_partnership_weighted_fen": _sum(history["partnership"], age, YEAR),
        "aged_weighted_fen": _sum(history["referred"], age, AGES[0]),
        "aged_defaulted_weighted_fen": _defaulted(history, age),
        "earlier_aged_weighted_fen": _sum(history["referred"], age, AGES[0] + YEAR),
        "earlier_aged_defaulted_weighted_fen": _defaulted(history, age - YEAR),
    }
    months = int(told.max(initial=-1)) + 1
    lowest = _lowest_fee_rates(history, age, months)
    takes = history["referred_loans"].sum(axis=1) > 0
    for b, bank in enumerate(history.symbols("bank")):
        if takes[b] and bank != NONE:
            cell: dict[str, Any] = {name: each[b] for name, each in sums.items()}
            signs = _signs(cell, months, lowest[b])
            yield EarlyWarningRow(bank=str(bank), months_told=months, **cell, **signs)


def _sum(cells: Int64, age: Int64, youngest: int) -> list[int]:
    """Per bank, over the twelve vintages from an age on. age: int64[vintages], months."""
    chosen: Int64 = cells[:, (age >= youngest) & (age < youngest + YEAR)]
    sums: list[int] = totalled(chosen, 1)[:, -1].tolist()
    return sums


def _lowest_fee_rates(history: Folded, age: Int64, months_told: int) -> list[float | None]:
    """Per bank, over every twelve vintages in a row that are 12 to months_told - 1 months old."""
    old: Int64 = np.flatnonzero((age >= YEAR) & (age < months_told))  # vintages are keys in their order, without gaps
    if len(old) < YEAR:
        return [None] * len(history["commission"])
    commission, partnership = (
        sliding_window_view(totalled(history[name][:, old], 1)[:, :-1], YEAR, axis=1).sum(axis=2).astype(np.float64)
        for name in ("commission", "partnership")
    )
    rates = np.divide(commission, partnership, out=np.full(commission.shape, np.inf), where=partnership != 0)
    return [least if np.isfinite(least) else None for least in rates.min(axis=1).tolist()]


def _defaulted(history: Folded, age: Int64) -> list[int]:
    """Per bank, what of each vintage defaulted up to the age given for it, over those 6 to 17 months old."""
    parts: Int64 = np.stack([history[f"defaulted_{months}"] for months in AGES])
    totalled(parts, 0)  # whose partial sums fit where the whole does
    by_age = zip(AGES, parts.cumsum(axis=0), strict=True)
    chosen: Int64 = np.concatenate([so_far[:, age == months] for months, so_far in by_age], axis=1)
    sums: list[int] = totalled(chosen, 1)[:, -1].tolist()
    return sums


def _signs(cell: Mapping[str, int], months_told: int, lowest: float | None) -> dict[str, Any]:
    def rate(part: str, whole: str, months: int) -> float | None:
        return ratio(cell[part], cell[whole]) if months_told >= months else None

    oldest = AGES[-1] + 1
    rates = {
        "referred_share": rate("referred_weighted_fen", "bank_weighted_fen", 0),
        "fee_rate": rate("commission_weighted_fen", "partnership_weighted_fen", YEAR),
        "earlier_fee_rate": rate("earlier_commission_weighted_fen", "earlier_partnership_weighted_fen", 2 * YEAR),
        "default_rate": rate("aged_defaulted_weighted_fen", "aged_weighted_fen", oldest),
        "earlier_default_rate": rate("earlier_aged_defaulted_weighted_fen", "earlier_aged_weighted_fen", oldest + YEAR),
    }
    share = rates["referred_share"]
    fee, rise = _change(rates["fee_rate"], rates["earlier_fee_rate"]), _change(rates["fee_rate"], lowest)
    default = _change(rates["default_rate"], rates["earlier_default_rate"])
    limits = ((share, SHARE_LIMIT), (rise, FEE_LIMIT), (default, DEFAULT_LIMIT))
    signals = sum(seen is not None and seen > limit for seen, limit in limits)
    changes = {"fee_change": fee, "lowest_fee_rate": lowest, "fee_rise": rise, "default_change": default}
    return rates | changes | {"signals": signals, "warning": signals == len(limits)}


def _change(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


PROOF = f"""
WITH months AS (
    SELECT *, 12 * (year(epoch_ms(window_end - 1)) - 2010) + month(epoch_ms(window_end - 1)) - 1 AS latest FROM windows
), steps AS (
    SELECT {{w}} AS told_in, bank, vintage, months_on_book,
        count(*) FILTER (WHERE kind = 'FUNDED') AS loans,
        count(*) FILTER (WHERE kind = 'FUNDED' AND product IN ('PARTNERSHIP', 'COFINANCED')) AS referred_loans,
        sum(bank_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED') AS lent,
        sum(bank_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED' AND product IN ('PARTNERSHIP', 'COFINANCED'))
            AS referred,
        sum(amount_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED' AND product = 'PARTNERSHIP') AS partnership,
        sum(amount_fen::HUGEINT * weight) FILTER (WHERE kind = 'COMMISSION') AS commission,
        sum(bank_outstanding_fen::HUGEINT * weight) FILTER (WHERE kind = 'PAST_DUE' AND arrears = 'DPD90'
            AND product IN ('PARTNERSHIP', 'COFINANCED')) AS defaulted
    FROM loans WHERE kind IN ('FUNDED', 'COMMISSION', 'PAST_DUE') GROUP BY ALL
), so_far AS (
    SELECT steps.*, window_start, latest - vintage AS age FROM months JOIN steps ON told_in <= window_start
), begun AS (
    SELECT window_start, max(age) + 1 AS months_told FROM so_far WHERE loans > 0 GROUP BY ALL
), summed AS (
    SELECT window_start, bank, months_told,
        coalesce(sum(referred) FILTER (WHERE age BETWEEN 0 AND 11), 0)::BIGINT AS referred_weighted_fen,
        coalesce(sum(lent) FILTER (WHERE age BETWEEN 0 AND 11), 0)::BIGINT AS bank_weighted_fen,
        coalesce(sum(commission) FILTER (WHERE age BETWEEN 0 AND 11), 0)::BIGINT AS commission_weighted_fen,
        coalesce(sum(partnership) FILTER (WHERE age BETWEEN 0 AND 11), 0)::BIGINT AS partnership_weighted_fen,
        coalesce(sum(commission) FILTER (WHERE age BETWEEN 12 AND 23), 0)::BIGINT AS earlier_commission_weighted_fen,
        coalesce(sum(partnership) FILTER (WHERE age BETWEEN 12 AND 23), 0)::BIGINT AS earlier_partnership_weighted_fen,
        coalesce(sum(referred) FILTER (WHERE age BETWEEN 6 AND 17), 0)::BIGINT AS aged_weighted_fen,
        coalesce(sum(defaulted) FILTER (WHERE age BETWEEN 6 AND 17 AND months_on_book <= age), 0)::BIGINT
            AS aged_defaulted_weighted_fen,
        coalesce(sum(referred) FILTER (WHERE age BETWEEN 18 AND 29), 0)::BIGINT AS earlier_aged_weighted_fen,
        coalesce(sum(defaulted) FILTER (WHERE age BETWEEN 18 AND 29 AND months_on_book <= age - 12), 0)::BIGINT
            AS earlier_aged_defaulted_weighted_fen
    FROM so_far JOIN begun USING (window_start) WHERE bank <> 'none' GROUP BY ALL HAVING sum(referred_loans) > 0
), monthly AS (
    SELECT window_start, bank, age, sum(commission) AS commission, sum(partnership) AS partnership
    FROM so_far GROUP BY ALL
), ends AS (
    SELECT window_start, unnest(range(12, months_told - 11)) AS youngest FROM begun
), years AS (
    SELECT window_start, bank, youngest, coalesce(sum(commission), 0)::BIGINT AS commission,
        sum(partnership)::BIGINT AS partnership
    FROM monthly JOIN ends USING (window_start) WHERE age BETWEEN youngest AND youngest + 11 GROUP BY ALL
), lowest AS (
    SELECT window_start, bank, min(commission::DOUBLE / partnership::DOUBLE) AS lowest_fee_rate
    FROM years WHERE partnership <> 0 GROUP BY ALL
), rates AS (
    SELECT *, CASE WHEN bank_weighted_fen <> 0 THEN referred_weighted_fen::DOUBLE / bank_weighted_fen::DOUBLE END
            AS referred_share,
        CASE WHEN months_told >= 12 AND partnership_weighted_fen <> 0
            THEN commission_weighted_fen::DOUBLE / partnership_weighted_fen::DOUBLE END AS fee_rate,
        CASE WHEN months_told >= 24 AND earlier_partnership_weighted_fen <> 0
            THEN earlier_commission_weighted_fen::DOUBLE / earlier_partnership_weighted_fen::DOUBLE END
            AS earlier_fee_rate,
        CASE WHEN months_told >= 18 AND aged_weighted_fen <> 0
            THEN aged_defaulted_weighted_fen::DOUBLE / aged_weighted_fen::DOUBLE END AS default_rate,
        CASE WHEN months_told >= 30 AND earlier_aged_weighted_fen <> 0
            THEN earlier_aged_defaulted_weighted_fen::DOUBLE / earlier_aged_weighted_fen::DOUBLE END
            AS earlier_default_rate
    FROM summed LEFT JOIN lowest USING (window_start, bank)
), changes AS (
    SELECT *, fee_rate - earlier_fee_rate AS fee_change, fee_rate - lowest_fee_rate AS fee_rise,
        default_rate - earlier_default_rate AS default_change
    FROM rates
), signs AS (
    SELECT *, coalesce(referred_share > {SHARE_LIMIT}::DOUBLE, FALSE)::BIGINT
        + coalesce(fee_rise > {FEE_LIMIT}::DOUBLE, FALSE)::BIGINT
        + coalesce(default_change > {DEFAULT_LIMIT}::DOUBLE, FALSE)::BIGINT AS signals
    FROM changes
)
SELECT '{{window}}' AS window, *, signals = 3 AS warning FROM signs
"""

FEE_SPIKE = Alarm(
    rule="fee-spike",
    field="fee_change",
    above=FEE_LIMIT,
    institution="bank",
    text="{bank} pays {value:.2%} of the amount more for partnership loans than twelve months before {window_start}, "
    "above {limit:.2%}.",
)
EARLY_WARNING = Alarm(
    rule="early-warning",
    field="signals",
    above=2,
    institution="bank",
    text="{bank} shows {value:.0f} signs of trouble in the month of {window_start}: referred share, rise of the fee, "
    "rise of the default rate, all above their limits.",
)

METRIC = Metric(
    name="early-warning",
    rollups=(HISTORY,),
    row=EarlyWarningRow,
    key=("window", "window_start", "bank"),
    derive=derive,
    proof=PROOF,
    claims=("coop.overreliance", "coop.fee-rise", "coop.lanhai-fall"),
    windows=("month",),
    alarms=(FEE_SPIKE, EARLY_WARNING),
)
