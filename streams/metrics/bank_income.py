"""`metrics.bank-income`: what a bank earns and spends, out of its loans and its operations.

Of a loan counts the bank's part: interest repaid less the platform's part and the service fee passed on; funding that
its part has cost; the commission it pays; what it lost by charge-offs less recoveries. A fee kept back at the payout
is the lender's, so the bank's but on a joint loan, whose lender is the platform. Revenue is net of funding and
commission. Loans are real amounts (weighted); operations are told whole. Assets are the bank's loans outstanding: its
part of what was funded and brought forward, less the principal of it that was repaid or written off.

Expense is the operating cost: branches, labour and other. What new payment users cost is told by
`metrics.institutions` and not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.loanproducts import ALONE, REFERRED
from streams.measures import count, total
from streams.metric import Merged, Metric, Window, ratio, totalled
from streams.rollup import Rollup
from streams.rows import Row, doc

ALL = "ALL"
TOLD = {
    "platform_fees_fen": "PLATFORM_FEES",
    "branch_cost_fen": "BRANCH_COST",
    "labour_cost_fen": "LABOUR_COST",
    "other_cost_fen": "OTHER_COST",
    "fines_fen": "FINE",
}


@dataclass(slots=True, kw_only=True)
class BankIncomeRow(Row):
    """Income and expense of one bank, or of ALL banks, in the window. A row stands from the bank's first loan on, and
    where it told operations.
    """

    bank: str = doc("Institution id of the bank, or ALL.")
    interest_fen: int = doc("Real interest repaid to the bank, less the service fees it passed on, fen.")
    fees_fen: int = doc("Real fees kept back at the payout of loans, fen.")
    platform_fees_fen: int = doc("Income through platform payments, fen.")
    funding_fen: int = doc("Real cost of funding its part of loans, fen.")
    commission_fen: int = doc("Real commissions paid to facilitators, fen.")
    revenue_fen: int = doc("interest_fen + fees_fen + platform_fees_fen - funding_fen - commission_fen.")
    charged_off_fen: int = doc("Its real part of principal written off, fen.")
    recovered_fen: int = doc("Its real part of what was recovered, fen.")
    losses_fen: int = doc("charged_off_fen - recovered_fen.")
    branch_cost_fen: int = doc("Cost of branches, fen.")
    labour_cost_fen: int = doc("Cost of labour, fen.")
    other_cost_fen: int = doc("Other operating cost, fen.")
    fines: int = doc("Fines.")
    fines_fen: int = doc("Fines paid, fen.")
    profit_fen: int = doc(
        "revenue_fen - losses_fen - branch_cost_fen - labour_cost_fen - other_cost_fen - fines_fen, before tax."
    )
    assets_fen: int = doc("Its real part of principal outstanding at the window's end, fen.")
    branch_and_labour_share: float | None = doc(
        "(branch_cost_fen + labour_cost_fen) / (branch_cost_fen + labour_cost_fen + other_cost_fen)."
    )


INCOME = Rollup(
    name="income",
    topic="loans",
    keys=("bank",),
    where={"kind": ("FUNDED", "COMMISSION", "DUE", "REPAID", "CHARGED_OFF", "RECOVERED")},
    measures={
        "interest": total("interest_fen", times="weight", where={"kind": "REPAID"}),
        "platform_interest": total("platform_interest_fen", times="weight", where={"kind": "REPAID"}),
        "service": total("service_fen", times="weight", where={"kind": "REPAID"}),
        "fees_fen": total("fee_fen", times="weight", where={"kind": "FUNDED", "product": (*ALONE, *REFERRED)}),
        "funding_fen": total("bank_funding_fen", times="weight"),
        "commission_fen": total("amount_fen", times="weight", where={"kind": "COMMISSION"}),
        "charged_off_fen": total("bank_fen", times="weight", where={"kind": "CHARGED_OFF"}),
        "recovered_fen": total("bank_fen", times="weight", where={"kind": "RECOVERED"}),
    },
)
ASSETS = Rollup(
    name="assets",
    topic="loans",
    keys=("bank",),
    measures={
        "events": count(),
        "lent": total("bank_fen", times="weight", where={"kind": ("FUNDED", "BROUGHT_FORWARD")}),
        "repaid": total("bank_fen", times="weight", where={"kind": "REPAID"}),
        "interest": total("interest_fen", times="weight", where={"kind": "REPAID"}),
        "platform_interest": total("platform_interest_fen", times="weight", where={"kind": "REPAID"}),
        "written_off": total("bank_fen", times="weight", where={"kind": "CHARGED_OFF"}),
    },
    cumulative=True,
)
OPERATIONS = Rollup(
    name="operations",
    topic="operations",
    keys=("institution", "kind"),
    where={"kind": tuple(TOLD.values())},
    measures={"events": count(), "amount_fen": total("amount_fen")},
)


def derive(window: Window, merged: Merged) -> Iterator[BankIncomeRow]:
    banks = list(merged.world.banks)
    sums = {
        f"{name}.{measure}": totalled(merged[name][measure][: len(banks)], 0)
        for name, rollup in (("income", INCOME), ("assets", ASSETS))
        for measure in rollup.measures
    }
    operations = merged["operations"]
    places = np.array([operations.code("institution", bank) for bank in banks])
    amounts, events = (totalled(operations[name][places], 0) for name in ("amount_fen", "events"))
    for b, bank in enumerate([*banks, ALL]):
        if sums["assets.events"][b] or events[b].any():
            said = {name: int(amounts[b, operations.code("kind", kind)]) for name, kind in TOLD.items()}
            fines = int(events[b, operations.code("kind", "FINE")])
            yield _row(bank, {name: int(cells[b]) for name, cells in sums.items()}, said, fines)


def _row(bank: str, loans: Mapping[str, int], said: Mapping[str, Any], fines: int) -> BankIncomeRow:
    interest = loans["income.interest"] - loans["income.platform_interest"] - loans["income.service"]
    fees, funding, commission = (loans[f"income.{name}_fen"] for name in ("fees", "funding", "commission"))
    revenue = interest + fees + said["platform_fees_fen"] - funding - commission
    losses = loans["income.charged_off_fen"] - loans["income.recovered_fen"]
    staffed = said["branch_cost_fen"] + said["labour_cost_fen"]
    expense = staffed + said["other_cost_fen"]
    repaid = loans["assets.repaid"] - loans["assets.interest"] + loans["assets.platform_interest"]
    return BankIncomeRow(
        bank=bank,
        interest_fen=interest,
        fees_fen=fees,
        funding_fen=funding,
        commission_fen=commission,
        revenue_fen=revenue,
        charged_off_fen=loans["income.charged_off_fen"],
        recovered_fen=loans["income.recovered_fen"],
        losses_fen=losses,
        fines=fines,
        **said,
        profit_fen=revenue - losses - expense - said["fines_fen"],
        assets_fen=loans["assets.lent"] - repaid - loans["assets.written_off"],
        branch_and_labour_share=ratio(staffed, expense),
    )


PROOF = """
WITH lent AS (
    SELECT {w} AS window_start, bank, kind, product, weight::HUGEINT AS n, amount_fen, coalesce(bank_fen, 0) AS part,
        coalesce(interest_fen, 0) - coalesce(platform_interest_fen, 0) AS interest, coalesce(service_fen, 0) AS service,
        coalesce(bank_funding_fen, 0) AS funding, coalesce(fee_fen, 0) AS fee
    FROM loans WHERE bank <> 'none'
), spent AS (
    SELECT {w} AS window_start, institution AS bank, kind, coalesce(amount_fen, 0) AS amount FROM operations
    WHERE institution IN (SELECT id FROM institutions WHERE kind LIKE '%-bank')
        AND kind IN ('PLATFORM_FEES', 'BRANCH_COST', 'LABOUR_COST', 'OTHER_COST', 'FINE')
), loans_by AS (
    SELECT window_start, coalesce(bank, 'ALL') AS bank,
        coalesce(sum((interest - service) * n) FILTER (WHERE kind = 'REPAID'), 0)::BIGINT AS interest_fen,
        coalesce(sum(fee * n) FILTER (WHERE kind = 'FUNDED' AND product <> 'JOINT'), 0)::BIGINT AS fees_fen,
        coalesce(sum(funding * n) FILTER (WHERE kind IN ('DUE', 'CHARGED_OFF')), 0)::BIGINT AS funding_fen,
        coalesce(sum(amount_fen * n) FILTER (WHERE kind = 'COMMISSION'), 0)::BIGINT AS commission_fen,
        coalesce(sum(part * n) FILTER (WHERE kind = 'CHARGED_OFF'), 0)::BIGINT AS charged_off_fen,
        coalesce(sum(part * n) FILTER (WHERE kind = 'RECOVERED'), 0)::BIGINT AS recovered_fen,
        coalesce(sum(CASE WHEN kind IN ('FUNDED', 'BROUGHT_FORWARD') THEN part WHEN kind = 'CHARGED_OFF' THEN -part
            WHEN kind = 'REPAID' THEN interest - part ELSE 0 END * n), 0)::BIGINT AS assets_fen
    FROM lent GROUP BY GROUPING SETS ((window_start, bank), (window_start))
), spent_by AS (
    SELECT window_start, coalesce(bank, 'ALL') AS bank,
        coalesce(sum(amount) FILTER (WHERE kind = 'PLATFORM_FEES'), 0)::BIGINT AS platform_fees_fen,
        coalesce(sum(amount) FILTER (WHERE kind = 'BRANCH_COST'), 0)::BIGINT AS branch_cost_fen,
        coalesce(sum(amount) FILTER (WHERE kind = 'LABOUR_COST'), 0)::BIGINT AS labour_cost_fen,
        coalesce(sum(amount) FILTER (WHERE kind = 'OTHER_COST'), 0)::BIGINT AS other_cost_fen,
        count(*) FILTER (WHERE kind = 'FINE') AS fines,
        coalesce(sum(amount) FILTER (WHERE kind = 'FINE'), 0)::BIGINT AS fines_fen
    FROM spent GROUP BY GROUPING SETS ((window_start, bank), (window_start))
), places AS (
    SELECT windows.window_start, bank FROM windows
        JOIN (SELECT bank, min(window_start) AS since FROM loans_by GROUP BY ALL) AS s ON windows.window_start >= since
    UNION SELECT window_start, bank FROM spent_by
), rows AS (
    SELECT window_start, bank, coalesce(COLUMNS(l.* EXCLUDE (window_start, bank, assets_fen)), 0),
        coalesce(COLUMNS(s.* EXCLUDE (window_start, bank)), 0),
        sum(coalesce(assets_fen, 0)) OVER (PARTITION BY bank ORDER BY window_start)::BIGINT AS assets_fen
    FROM places LEFT JOIN loans_by AS l USING (window_start, bank) LEFT JOIN spent_by AS s USING (window_start, bank)
)
SELECT '{window}' AS window, *, charged_off_fen - recovered_fen AS losses_fen,
    interest_fen + fees_fen + platform_fees_fen - funding_fen - commission_fen AS revenue_fen,
    interest_fen + fees_fen + platform_fees_fen - funding_fen - commission_fen - charged_off_fen + recovered_fen
        - branch_cost_fen - labour_cost_fen - other_cost_fen - fines_fen AS profit_fen,
    CASE WHEN branch_cost_fen + labour_cost_fen + other_cost_fen <> 0
        THEN (branch_cost_fen + labour_cost_fen)::DOUBLE / (branch_cost_fen + labour_cost_fen + other_cost_fen)::DOUBLE
        END AS branch_and_labour_share
FROM rows
"""

METRIC = Metric(
    name="bank-income",
    rollups=(INCOME, ASSETS, OPERATIONS),
    row=BankIncomeRow,
    key=("window", "window_start", "bank"),
    derive=derive,
    proof=PROOF,
    claims=("pay.bank-profit", "org.branch-cost", "coop.lanhai-growth", "coop.lanhai-fall"),
    windows=("month",),
)
