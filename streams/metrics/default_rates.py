"""`metrics.default-rates`: what is lent, how fast it is decided, and what goes bad, by lender and product.

Default is 90 days past due, one definition for all: the outstanding principal of a loan that passes the mark. The
stock at a mark is what entered it less what left it, to the next mark, by repayment or written off, since the run
began. NPL ratio: outstanding at 90 days or more, not yet written off, over all outstanding; delinquency: 30 or more.

A row with vintage and months_on_book null is about a lender (or class of lenders, see `streams.lenderclasses`, or ALL)
and a product (or ALL). The others pool what happened to loans of one vintage at one age, where the window lies in one
calendar month; a vintage's default rate is its defaulted principal, summed over ages, over what it was funded with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.alarm import Alarm
from streams.lenderclasses import ALL, LABELS, PLATFORMS, TRADITIONAL_BANKS, LenderClasses
from streams.loanmoney import FLOWS, MONEY, MONEY_KINDS, money
from streams.loanproducts import OF_BANKS, OF_PLATFORMS
from streams.measures import count, distinct, histogram, overlap, total
from streams.metric import Merged, Metric, Window, ratio, totalled
from streams.quantiles import or_none, quantile, quantiles_sql
from streams.rollup import Rollup
from streams.rows import Row, doc
from streams.windows import month_of

MARKS = ("DPD1", "DPD30", "DPD60", "DPD90")
ON_THE_BOOKS = ("FUNDED", "DUE", "PAST_DUE", "REPAID", "BROUGHT_FORWARD")
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
EDGES_MS = (
    *(SECOND * n for n in (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)),
    *(SECOND * n for n in range(60, 190, 10)),
    *(MINUTE * n for n in (4, 5, 6, 8, 10, 15, 20, 30, 45)),
    *(HOUR * n for n in (1, 2, 3, 4, 6, 8, 12, 18, 24, 36)),
    *(HOUR * n for n in range(48, 24 * 8, 6)),
    *(HOUR * n for n in range(24 * 8, 24 * 20, 12)),
    *(DAY * n for n in (*range(20, 31), 35, 40, 50, 60)),
)
QUANTILES = {"approval_p5_ms": 0.05, "approval_p50_ms": 0.5, "approval_p95_ms": 0.95, "approval_p99_ms": 0.99}


@dataclass(slots=True, kw_only=True)
class DefaultRatesRow(Row):
    """Loans of one lender, class or ALL, in one product or ALL; or those of one vintage at one age. Fields that may be
    null are null for vintages, those on borrowers also where lender is not ALL.
    """

    lender: str = doc("Institution id of the lender, TRADITIONAL_BANKS, PLATFORMS or ALL.")
    product: str = doc("Product, or ALL.")
    vintage: int | None = doc("Month of funding, in months since January 2010: the window's, less months_on_book.")
    months_on_book: int | None = doc("Calendar months since the month of funding.")
    funded_loans: int = doc("Loans paid out.")
    funded_loans_weighted: int = doc("Real loans they stand for.")
    funded_fen: int = doc("Their amounts, fen.")
    funded_weighted_fen: int = doc("Real amount they stand for, fen.")
    defaulted_loans: int = doc("Loans that passed 90 days past due.")
    defaulted_loans_weighted: int = doc("Real loans they stand for.")
    defaulted_fen: int = doc("Their outstanding principal at that, fen.")
    defaulted_weighted_fen: int = doc("Real outstanding principal, fen.")
    charged_off_loans: int = doc("Loans written off.")
    charged_off_loans_weighted: int = doc("Real loans they stand for.")
    charged_off_fen: int = doc("Principal written off, fen.")
    charged_off_weighted_fen: int = doc("Real principal written off, fen.")
    recovered_loans: int = doc("Recoveries on loans written off, of which a loan may have several.")
    recovered_loans_weighted: int = doc("Real recoveries they stand for.")
    recovered_fen: int = doc("Recovered, fen.")
    recovered_weighted_fen: int = doc("Real amount recovered, fen.")
    applications: int | None = doc("Applications told.", default=None)
    applications_weighted: int | None = doc("Real applications they stand for.", default=None)
    approvals: int | None = doc("Approvals.", default=None)
    approvals_weighted: int | None = doc("Real approvals.", default=None)
    rejections: int | None = doc("Rejections, after screening or later.", default=None)
    rejections_weighted: int | None = doc("Real rejections.", default=None)
    abandoned: int | None = doc("Applications that the borrower gave up.", default=None)
    abandoned_weighted: int | None = doc("Real applications given up.", default=None)
    on_record_loans: int | None = doc(
        "Loans paid out whose borrower the central bank's credit system knows.", default=None
    )
    on_record_loans_weighted: int | None = doc("Real loans they stand for.", default=None)
    outstanding_weighted_fen: int | None = doc(
        "Real principal outstanding at the window's end, fen: funded and brought forward less repaid and written off.",
        default=None,
    )
    dpd1_loans: int | None = doc("Loans 1 to 29 days past due at the window's end.", default=None)
    dpd30_loans: int | None = doc("30 to 59 days.", default=None)
    dpd60_loans: int | None = doc("60 to 89 days.", default=None)
    dpd90_loans: int | None = doc("90 days or more, not written off.", default=None)
    dpd1_weighted_fen: int | None = doc(
        "Real principal outstanding of loans 1 to 29 days past due at the window's end, fen.", default=None
    )
    dpd30_weighted_fen: int | None = doc("30 to 59 days.", default=None)
    dpd60_weighted_fen: int | None = doc("60 to 89 days.", default=None)
    dpd90_weighted_fen: int | None = doc("90 days or more, not written off.", default=None)
    npl_ratio: float | None = doc("dpd90_weighted_fen / outstanding_weighted_fen.", default=None)
    delinquency_ratio: float | None = doc(
        "(dpd30_weighted_fen + dpd60_weighted_fen + dpd90_weighted_fen) / outstanding_weighted_fen.", default=None
    )
    approval_p5_ms: float | None = doc(
        "Time from application to approval: 5th percentile, weighted, from the histogram.", default=None
    )
    approval_p50_ms: float | None = doc("Median.", default=None)
    approval_p95_ms: float | None = doc("95th percentile.", default=None)
    approval_p99_ms: float | None = doc("99th percentile.", default=None)
    borrowers: int | None = doc(
        "Distinct borrowers with a loan on the books: funded, brought forward, due, past due or repaid in the window.",
        default=None,
    )
    borrowers_weighted: int | None = doc("Real borrowers they stand for.", default=None)
    overlapping_borrowers: int | None = doc(
        "Of them those with loans of two or more lenders; told for lender ALL and product ALL.", default=None
    )
    overlapping_borrowers_weighted: int | None = doc("Real borrowers they stand for.", default=None)
    overlapping_share: float | None = doc("overlapping_borrowers_weighted / borrowers_weighted.", default=None)


DECIDED = {"applications": "APPLIED", "approvals": "APPROVED", "rejections": "REJECTED", "abandoned": "ABANDONED"}
STEPS = Rollup(
    name="steps",
    topic="loans",
    keys=("lender", "product"),
    where={"kind": (*DECIDED.values(), *MONEY_KINDS)},
    measures={
        **money(),
        **{name: count(where={"kind": kind}) for name, kind in DECIDED.items()},
        **{f"{name}_weighted": total("weight", where={"kind": kind}) for name, kind in DECIDED.items()},
        "on_record_loans": count(where={"kind": "FUNDED", "on_record": True}),
        "on_record_loans_weighted": total("weight", where={"kind": "FUNDED", "on_record": True}),
    },
)
APPROVALS = Rollup(
    name="approvals",
    topic="loans",
    keys=("lender", "product"),
    where={"kind": "APPROVED"},
    measures={"took_ms": histogram("took_ms", EDGES_MS, times="weight")},
)
BOOK = Rollup(
    name="book",
    topic="loans",
    keys=("lender", "product"),
    measures={
        "events": count(),
        "funded": total("amount_fen", times="weight", where={"kind": "FUNDED"}),
        "brought": total("outstanding_fen", times="weight", by="arrears", where={"kind": "BROUGHT_FORWARD"}),
        "late": total("outstanding_fen", times="weight", by="arrears", where={"kind": "PAST_DUE"}),
        "repaid": total("principal_fen", times="weight", by="arrears", where={"kind": "REPAID"}),
        "left": total("outstanding_fen", times="weight", by="arrears", where={"kind": "REPAID"}),
        "written_off": total("amount_fen", times="weight", by="arrears", where={"kind": "CHARGED_OFF"}),
        "brought_loans": count(by="arrears", where={"kind": "BROUGHT_FORWARD"}),
        "late_loans": count(by="arrears", where={"kind": "PAST_DUE"}),
        "cleared_loans": count(by="arrears", where={"kind": ("REPAID", "CHARGED_OFF")}),
    },
    cumulative=True,
)
VINTAGES = Rollup(
    name="vintages",
    topic="loans",
    keys=("product", "months_on_book"),
    where={"kind": MONEY_KINDS},
    measures=money(),
)
OWN_VINTAGES = Rollup(
    name="own-vintages",
    topic="loans",
    keys=("lender", "months_on_book"),
    where={"kind": MONEY_KINDS, "product": OF_BANKS},
    measures=money(),
)
PRODUCTS = Rollup(
    name="products",
    topic="loans",
    keys=("product",),
    where={"kind": ON_THE_BOOKS},
    measures={"borrowers": distinct("borrower_id", times="weight")},
)
LENDERS = Rollup(
    name="lenders",
    topic="loans",
    keys=(),
    where={"kind": ON_THE_BOOKS},
    measures={
        "borrowers": distinct("borrower_id", times="weight"),
        "overlapping_borrowers": overlap("borrower_id", by="lender", times="weight"),
    },
)


def derive(window: Window, merged: Merged) -> Iterator[DefaultRatesRow]:
    classes = LenderClasses(merged.world, merged["steps"])
    steps = {name: classes.of(merged["steps"][name]) for name in STEPS.measures}
    book = {name: classes.of(merged["book"][name]) for name in BOOK.measures}
    took = classes.of(merged["approvals"]["took_ms"])
    quantiles = {name: quantile(took, EDGES_MS, q) for name, q in QUANTILES.items()}
    people = _borrowers(merged)
    for le, lender in enumerate(classes.lenders):
        for p, product in enumerate(classes.products):
            if not book["events"][le, p]:
                continue
            cell: dict[str, Any] = {name: int(cells[le, p]) for name, cells in steps.items()}
            cell |= _stocks({name: cells[le, p].tolist() for name, cells in book.items()})
            cell |= {name: or_none(cells[le, p]) for name, cells in quantiles.items()}
            cell |= people[p] if lender == ALL else {}
            yield DefaultRatesRow(lender=lender, product=product, vintage=None, months_on_book=None, **cell)
    month = month_of(window.start)
    if month == month_of(window.end - 1):
        yield from _vintages(month, merged)


def _stocks(book: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at each mark, out of what came and went since the run began."""
    outstanding = book["funded"] + sum(book["brought"]) - sum(book["repaid"]) - sum(book["written_off"])
    found: dict[str, Any] = {"outstanding_weighted_fen": outstanding}
    late, loans = [*book["late"], 0], [*book["late_loans"], 0]
    for mark, name in enumerate(MARKS, 1):
        gone = book["left"][mark] + book["repaid"][mark] + book["written_off"][mark]
        found[f"{name.lower()}_weighted_fen"] = book["brought"][mark] + late[mark] - late[mark + 1] - gone
        came = book["brought_loans"][mark] + loans[mark]
        found[f"{name.lower()}_loans"] = came - loans[mark + 1] - book["cleared_loans"][mark]
    delinquent = sum(found[f"{name.lower()}_weighted_fen"] for name in MARKS[1:])
    found["npl_ratio"] = ratio(found["dpd90_weighted_fen"], outstanding)
    found["delinquency_ratio"] = ratio(delinquent, outstanding)
    return found


def _borrowers(merged: Merged) -> list[dict[str, Any]]:
    """Distinct borrowers of each product, then of ALL, where also the overlapping ones are told."""
    told = [*merged["products"]["borrowers"].tolist(), merged["lenders"]["borrowers"].tolist()]
    rows: list[dict[str, Any]] = [{"borrowers": n, "borrowers_weighted": weighted} for n, weighted in told]
    several, weighted = merged["lenders"]["overlapping_borrowers"].tolist()
    rows[-1] |= {"overlapping_borrowers": several, "overlapping_borrowers_weighted": weighted}
    rows[-1]["overlapping_share"] = ratio(weighted, rows[-1]["borrowers_weighted"])
    return rows


def _vintages(month: int, merged: Merged) -> Iterator[DefaultRatesRow]:
    by_product, own, classes = merged["vintages"], merged["own-vintages"], LenderClasses(merged.world, merged["steps"])
    products = [str(product) for product in by_product.symbols("product")]
    sums = {}
    for name in VINTAGES.measures:
        cells, banks = by_product[name], own[name][classes.traditional]
        platforms = cells[[products.index(product) for product in OF_PLATFORMS]]
        sums[name] = np.concatenate((cells, totalled(banks, 0)[-1:], totalled(platforms, 0)[-1:]))
    names = [*((ALL, product) for product in products), (TRADITIONAL_BANKS, ALL), (PLATFORMS, ALL)]
    any_of = np.stack([sums[f"{name}_loans"] for name in MONEY]).any(axis=0)
    for place, age in np.argwhere(any_of).tolist():
        lender, product = names[place]
        cell: dict[str, Any] = {name: int(cells[place, age]) for name, cells in sums.items()}
        months = int(by_product.symbols("months_on_book")[age])
        yield DefaultRatesRow(lender=lender, product=product, vintage=month - months, months_on_book=months, **cell)


COUNTS = ", ".join(
    f"""count(*) FILTER (WHERE {which}) AS {name},
        coalesce(sum(weight) FILTER (WHERE {which}), 0)::BIGINT AS {name}_weighted"""
    for name, which in (
        ("applications", "kind = 'APPLIED'"),
        ("approvals", "kind = 'APPROVED'"),
        ("rejections", "kind = 'REJECTED'"),
        ("abandoned", "kind = 'ABANDONED'"),
        ("on_record_loans", "kind = 'FUNDED' AND on_record"),
    )
)
MOVES = ", ".join(
    f"""sum(CASE WHEN kind IN ('PAST_DUE', 'BROUGHT_FORWARD') AND arrears = 'DPD{mark}' THEN outstanding
            WHEN kind = 'PAST_DUE' AND arrears = 'DPD{later}' THEN -outstanding
            WHEN kind = 'REPAID' AND arrears = 'DPD{mark}' THEN -outstanding - principal
            WHEN kind = 'CHARGED_OFF' AND arrears = 'DPD{mark}' THEN -amount_fen ELSE 0 END::HUGEINT
            * weight)::BIGINT AS dpd{mark}_weighted_fen,
        count(*) FILTER (WHERE kind IN ('PAST_DUE', 'BROUGHT_FORWARD') AND arrears = 'DPD{mark}')
            - count(*) FILTER (WHERE kind = 'PAST_DUE' AND arrears = 'DPD{later}')
            - count(*) FILTER (WHERE kind IN ('REPAID', 'CHARGED_OFF') AND arrears = 'DPD{mark}') AS dpd{mark}_loans"""
    for mark, later in ((1, 30), (30, 60), (60, 90), (90, "-"))
)
STOCKS = (
    "outstanding_weighted_fen",
    *(f"dpd{n}_{what}" for n in (1, 30, 60, 90) for what in ("weighted_fen", "loans")),
)
MONTH = "(12 * (year(epoch_ms({0})) - 2010) + month(epoch_ms({0})) - 1)"
PROOF = """
WITH told AS (
    SELECT *, {w} AS window_start, coalesce(outstanding_fen, 0) AS outstanding, coalesce(principal_fen, 0) AS principal
    FROM loans
), LABELS, cells AS (
    SELECT window_start, lender, product, FLOWS, COUNTS,
        sum(CASE WHEN kind IN ('FUNDED', 'BROUGHT_FORWARD') THEN amount_fen WHEN kind = 'REPAID' THEN -principal
            WHEN kind = 'CHARGED_OFF' THEN -amount_fen ELSE 0 END::HUGEINT * weight)::BIGINT
            AS outstanding_weighted_fen, MOVES
    FROM told GROUP BY ALL
), summed AS (
    SELECT window_start, as_lender AS lender, as_product AS product,
        sum(COLUMNS(* EXCLUDE (window_start, lender, product, as_lender, as_product)))::BIGINT
    FROM cells JOIN labels USING (lender, product) GROUP BY ALL
), spine AS (
    SELECT windows.window_start, lender, product FROM windows
        JOIN (SELECT lender, product, min(window_start) AS since FROM summed GROUP BY ALL) AS s
        ON windows.window_start >= since
), stocked AS (
    SELECT window_start, lender, product, coalesce(COLUMNS(x.* EXCLUDE (window_start, lender, product, STOCKS)), 0),
        RUNNING
    FROM spine LEFT JOIN summed AS x USING (window_start, lender, product)
), times AS (
    SELECT window_start, as_lender AS lender, as_product AS product, took_ms, sum(weight)::BIGINT AS n
    FROM told JOIN labels USING (lender, product) WHERE kind = 'APPROVED' GROUP BY ALL
), QUANTILES, booked AS (
    SELECT DISTINCT window_start, borrower_id, lender, product, weight FROM told
    WHERE kind IN ('FUNDED', 'DUE', 'PAST_DUE', 'REPAID', 'BROUGHT_FORWARD')
), person AS (
    SELECT window_start, borrower_id, bit_or(weight) AS weight, count(DISTINCT lender) AS lenders
    FROM booked GROUP BY ALL
), borrowers AS (
    SELECT window_start, product, count(*) AS borrowers, sum(person.weight)::BIGINT AS borrowers_weighted,
        NULL AS overlapping_borrowers, NULL AS overlapping_borrowers_weighted
    FROM (SELECT DISTINCT window_start, borrower_id, product FROM booked) JOIN person USING (window_start, borrower_id)
    GROUP BY ALL
    UNION ALL
    SELECT window_start, 'ALL', count(*), sum(weight)::BIGINT, count(*) FILTER (WHERE lenders > 1),
        coalesce(sum(weight) FILTER (WHERE lenders > 1), 0)::BIGINT
    FROM person GROUP BY ALL
), aged AS (
    SELECT window_start, 'ALL' AS lender, product, months_on_book, FLOWS FROM told GROUP BY ALL
    UNION ALL
    SELECT window_start, 'PLATFORMS', 'ALL', months_on_book, FLOWS FROM told
    WHERE product IN ('BAITIAO', 'WEILIDAI', 'JOINT') GROUP BY ALL
    UNION ALL
    SELECT window_start, 'TRADITIONAL_BANKS', 'ALL', months_on_book, FLOWS FROM told
    WHERE product IN ('CARD', 'CONSUMER', 'SME') AND lender IN (FROM traditional) GROUP BY ALL
), vintages AS (
    SELECT aged.*, FIRST_MONTH - months_on_book AS vintage FROM aged JOIN windows USING (window_start)
    WHERE funded_loans + defaulted_loans + charged_off_loans + recovered_loans > 0 AND FIRST_MONTH = LAST_MONTH
), rows AS (
    SELECT s.*, q.* EXCLUDE (window_start, lender, product),
        CASE WHEN outstanding_weighted_fen <> 0 THEN dpd90_weighted_fen::DOUBLE / outstanding_weighted_fen::DOUBLE END
            AS npl_ratio,
        CASE WHEN outstanding_weighted_fen <> 0 THEN (dpd30_weighted_fen + dpd60_weighted_fen
            + dpd90_weighted_fen)::DOUBLE / outstanding_weighted_fen::DOUBLE END AS delinquency_ratio,
        CASE WHEN lender = 'ALL' THEN coalesce(b.borrowers, 0) END AS borrowers,
        CASE WHEN lender = 'ALL' THEN coalesce(b.borrowers_weighted, 0) END AS borrowers_weighted,
        CASE WHEN lender = 'ALL' AND product = 'ALL' THEN coalesce(b.overlapping_borrowers, 0) END
            AS overlapping_borrowers,
        CASE WHEN lender = 'ALL' AND product = 'ALL' THEN coalesce(b.overlapping_borrowers_weighted, 0) END
            AS overlapping_borrowers_weighted,
        CASE WHEN lender = 'ALL' AND product = 'ALL' AND b.borrowers_weighted <> 0
            THEN b.overlapping_borrowers_weighted::DOUBLE / b.borrowers_weighted::DOUBLE END AS overlapping_share
    FROM stocked AS s LEFT JOIN quantiles AS q USING (window_start, lender, product)
        LEFT JOIN borrowers AS b USING (window_start, product)
)
SELECT '{window}' AS window, * FROM (FROM rows UNION ALL BY NAME FROM vintages)
"""
for token, text in {
    "LABELS": LABELS,
    "FLOWS": FLOWS,
    "COUNTS": COUNTS,
    "MOVES": MOVES,
    "RUNNING": ", ".join(
        f"sum(coalesce({name}, 0)) OVER (PARTITION BY lender, product ORDER BY window_start)::BIGINT AS {name}"
        for name in STOCKS
    ),
    "STOCKS": ", ".join(STOCKS),
    "QUANTILES": quantiles_sql("times", "took_ms", ("window_start", "lender", "product"), EDGES_MS, QUANTILES),
    "FIRST_MONTH": MONTH.format("window_start"),
    "LAST_MONTH": MONTH.format("(window_end - 1)"),
}.items():
    PROOF = PROOF.replace(token, text)

DUPLICATE_BORROWING = Alarm(
    rule="duplicate-borrowing",
    field="overlapping_share",
    above=0.1,
    institution="lender",
    where={"window": "month", "lender": ALL, "product": ALL},
    text="{value:.1%} of all borrowers owe to two or more lenders in the month of {window_start}, above {limit:.0%}.",
)
"""One borrower in ten; of a month, since a year also counts those who owe to one lender after the other."""

METRIC = Metric(
    name="default-rates",
    rollups=(STEPS, APPROVALS, BOOK, VINTAGES, OWN_VINTAGES, PRODUCTS, LENDERS),
    row=DefaultRatesRow,
    key=("window", "window_start", "lender", "product", "vintage", "months_on_book"),
    derive=derive,
    proof=PROOF,
    claims=(
        "loan.weilidai-speed",
        "loan.bank-speed",
        "loan.baitiao-users",
        "loan.baitiao-bad",
        "loan.baitiao-gap",
        "loan.cmb-delinquency",
        "loan.weilidai-bureau",
        "loan.npl-order",
        "loan.sme-days",
        "loan.duplicates",
    ),
    windows=("month", "year"),
    alarms=(DUPLICATE_BORROWING,),
)
