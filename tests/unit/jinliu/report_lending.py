"""Made-up lending of the run in `report_world`: rows by month as the paper has it, and what lies beside them."""

from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any

import numpy as np

from jinliu.report.beside import Steps, Told
from jinliu.report.facts import Period, Row, day_of, ms, year

MINUTE, DAY = 60_000, 86_400_000
DEFAULT_AGE = 8
REFERRED = {"lan-hai": 0.6, "nanjing": 0.4, "ningbo": 0.2, "beijing": 0.0625}
"""Referred share of what each small bank lends."""
Base = Mapping[str, Any]


def _day(base: Base) -> date:
    return day_of(base["window_start"])


def _month(day: date) -> int:
    return (day.year - 2010) * 12 + day.month - 1


def loans(lender: str, product: str, **fields: Any) -> dict[str, Any]:
    """A row of default-rates about a lender and product."""
    return {"lender": lender, "product": product, "vintage": None, "months_on_book": None, "approvals": 0} | fields


def vintage(product: str, month: int, age: int, funded: int, defaulted: int, lender: str = "ALL") -> dict[str, Any]:
    """A row of default-rates about loans of one vintage at one age; amounts in thousands of yuan."""
    return loans(
        lender,
        product,
        vintage=month - age,
        months_on_book=age,
        funded_loans=funded,
        funded_weighted_fen=funded * 10**5,
        defaulted_loans=defaulted,
        defaulted_weighted_fen=defaulted * 10**5,
    )


def default_rates(base: Base, start_ms: int) -> list[dict[str, Any]]:
    """3.2% of Baitiao goes bad, 1.7% of banks' own loans, 1.2% of Weilidai before July 2020 and 0.7% since."""
    speed = {"approvals": 100, "approvals_weighted": 250_000}
    banks, platforms = ({"dpd90_weighted_fen": n * 10**6, "dpd90_loans": n} for n in (6, 12))
    late = {"delinquency_ratio": 0.016, "dpd30_loans": 60, "dpd60_loans": 50, "dpd90_loans": 50}
    days = {"approval_p5_ms": 3.3 * DAY, "approval_p95_ms": 6.4 * DAY}
    rows = [
        loans("ALL", "WEILIDAI", **speed, approval_p99_ms=2.4 * MINUTE),
        loans("ALL", "CARD", **speed, **days),
        loans("ALL", "BAITIAO", borrowers=96_000, borrowers_weighted=240_000_000),
        loans("cmb", "CARD", **late),
        loans("TRADITIONAL_BANKS", "ALL", outstanding_weighted_fen=10**9, **banks),
        loans("PLATFORMS", "ALL", outstanding_weighted_fen=10**9, **platforms),
    ]
    if base["window"] != "month":
        return rows
    month, first, access = _month(_day(base)), _month(day_of(start_ms)), _month(date(2020, 7, 1))
    for age in (0, DEFAULT_AGE):
        if month - age < first:
            continue
        weilidai = 7 if month - age >= access else 12
        for lender, product, bad in (
            ("ALL", "BAITIAO", 32),
            ("TRADITIONAL_BANKS", "ALL", 17),
            ("ALL", "WEILIDAI", weilidai),
        ):
            rows.append(vintage(product, month, age, 1000 * (age == 0), bad * (age > 0), lender))
    return rows


def channel_fees(base: Base, start_ms: int) -> list[dict[str, Any]]:
    """A fee that rises from 0.5% to 1.2%, first loans that grow by half a year, and defaults that follow referrals."""
    day, rows = _day(base), []
    month = _month(day) - _month(day_of(start_ms)) + 1
    fee = {2018: 0.005, 2023: 0.012}.get(day.year, 0.01)
    first = round(64 * 1.5 ** (day.year - 2018))
    for bank, share in REFERRED.items():
        partnership, lent = round(share * 10**6), 10**6
        bad = {"own": 0.02, "referred": 0.06}
        funded = {"own": lent - partnership, "referred": partnership}
        cell: dict[str, Any] = {
            "bank": bank,
            "partnership_loans": partnership // 1000,
            "partnership_weighted_fen": partnership,
            "cofinanced_loans": 0,
            "cofinanced_weighted_fen": 0,
            "commissions": partnership // 1000,
            "commission_weighted_fen": round(fee * partnership),
            "referred_weighted_fen": partnership,
            "bank_weighted_fen": lent,
            "first_loans": first,
            "first_loans_weighted": 70 * first,
        }
        for group, amount in funded.items():
            gone = max(0, month - DEFAULT_AGE)
            cell[f"{group}_loans_so_far"] = month
            cell[f"{group}_so_far_weighted_fen"] = amount * month
            cell[f"{group}_defaults_so_far"] = gone
            cell[f"{group}_defaulted_so_far_weighted_fen"] = round(bad[group] * amount) * gone
        joint = {"cofinanced_loans": 10, "cofinanced_weighted_fen": 1000, "referred_weighted_fen": 900}
        rows += [cell | {"platform": "ALL"}, cell | {"platform": "tongda"}]
        rows.append(dict.fromkeys(cell, 0) | joint | {"bank": bank, "platform": "huirong"})
    return rows


def joint_lending(base: Base, start_ms: int) -> list[dict[str, Any]]:
    """A platform that funds 15%, earns 30%, and pays 2.5 points more for its money."""
    cell = {
        "loans": 500,
        "funded_weighted_fen": 10**6,
        "platform_funded_weighted_fen": 150_000,
        "platform_share": 0.15,
        "interest_weighted_fen": 10_000,
        "platform_interest_weighted_fen": 1_500,
        "service_weighted_fen": 1_500,
        "platform_revenue_weighted_fen": 3_000,
        "due_weighted_fen": 12_000_000,
        "bank_due_weighted_fen": 10_200_000,
        "bank_funding_weighted_fen": 21_250,
        "platform_funding_weighted_fen": 7_500,
    }
    return [cell | {"platform": platform, "bank": bank} for platform, bank in (("ALL", "ALL"), ("alipay", "icbc"))]


def bank_income(base: Base, start_ms: int) -> list[dict[str, Any]]:
    """A small bank that trebles and falls, and what banks spend and earn beside."""
    day = _day(base)
    size = {2018: (1.0, 1.0, 1.0), 2023: (2.95, 5.6, 3.3), 2024: (2.5, 4.5, 1.65)}.get(day.year, (2.0, 3.0, 2.0))
    assets, revenue, profit = (round(each * 10**9) for each in size)
    fined = {(2024, 3): 80_000_000, (2024, 6): 60_000_000}.get((day.year, day.month), 0)
    cost = {"branch_cost_fen": 34, "labour_cost_fen": 29, "other_cost_fen": 37, "fines": 0, "fines_fen": 0}
    small = {"assets_fen": assets, "revenue_fen": revenue, "profit_fen": profit}
    return [
        cost | small | {"bank": "lan-hai", "fines": int(fined > 0), "fines_fen": fined, "platform_fees_fen": 10},
        cost | small | {"bank": "icbc", "platform_fees_fen": 10**12},
        cost | small | {"bank": "ALL", "platform_fees_fen": 10**12 + 10},
    ]


METRICS: Mapping[str, Callable[[Base, int], list[dict[str, Any]]]] = {
    "default-rates": default_rates,
    "channel-fees": channel_fees,
    "joint-lending": joint_lending,
    "bank-income": bank_income,
}


def steps(apr_ppm: int = 195_606, referrals: Mapping[tuple[str, str], int] | None = None) -> Steps:
    """Three offers of 3 000 yuan at 18% in twelve months, the last with this APR."""
    columns = {"amount_fen": [300_000] * 3, "fee_fen": [0] * 3, "rate_ppm": [180_000] * 3, "months": [12] * 3}
    columns["apr_ppm"] = [195_606, 195_606, apr_ppm]
    offers = {name: np.array(values, np.int64) for name, values in columns.items()}
    return Steps(100, 100, offers, referrals or {("COFINANCED", "PLATFORM"): 5})


class MadeUpTopics:
    """Topics beside metric rows (`jinliu.report.beside.Raw`), as given."""

    def __init__(self, alerts: Mapping[str, int] | None = None, dead: int = 0, told: Steps | None = None) -> None:
        self._alerts, self._dead, self._told = alerts or {}, dead, told or steps()

    def alerts(self) -> Mapping[str, int]:
        return self._alerts

    def dead(self, topic: str) -> int:
        assert topic == "loans"
        return self._dead

    def steps(self) -> Steps:
        return self._told


class MadeUpWorlds:
    """Worlds one lever apart (`jinliu.report.beside.Worlds`): four shards, two months; in the moved one sharing lowers
    overlap by half and approves in 3 days, the cap lowers joint loans, and 2.3 points more leave.
    """

    span: Period = year(2022)

    def told(self, lever: str, value: Any, metric: str, pools: Collection[str], products: Collection[str]) -> Told:
        assert pools
        assert products
        shards = [self._rows(lever, value, metric, products, 10 + shard) for shard in range(4)]
        whole: list[Row] = []
        for rows in zip(*shards, strict=True):
            sums = {name: sum(row[name] for row in rows) for name in rows[0] if name.split("_")[0] in SUMMED}
            whole.append(dict(rows[0]) | sums)
        return Told(whole, shards)

    def _rows(self, lever: str, value: Any, metric: str, products: Collection[str], n: int) -> list[Row]:
        moved = value is True or value == 0.3
        rows: list[Row] = []
        for month in (1, 2):
            base = {"window": "month", "window_start": ms(date(2022, month, 1)), "status": "FINAL"}
            if metric == "joint-lending":
                funded = n * (7 if moved else 10)
                cell = {"platform": "ALL", "bank": "ALL", "loans": funded, "funded_weighted_fen": funded * 10**6}
                rows.append(base | cell)
                continue
            for product in ("ALL", *products):
                gone = n * (83 if moved and lever == "protocol-conversion" else 60)
                counts = {"approvals": 1000 * n - gone, "abandoned": gone, "borrowers": 100 * n}
                counts["overlapping_borrowers"] = n * (1 if moved else 2)
                weighted = {f"{name}_weighted": 1000 * count for name, count in counts.items()}
                took = {"approval_p50_ms": (3.0 if moved else 15.0) * DAY}
                rows.append(base | loans("ALL", product) | counts | weighted | took)
        return rows


SUMMED = ("approvals", "abandoned", "borrowers", "overlapping", "loans", "funded")
"""How the names of fields begin that add up over shards."""
