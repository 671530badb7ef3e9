"""`metrics.joint-lending`: joint loans, what each party puts in and earns, and what its money costs.

Revenue is interest repaid, each party's part; the service fee moves from the bank's part to the platform. A platform's
revenue share is what it earns by contribution and by service over all interest. Cost of funds is told with each
instalment due, for the month since the last one: over the principal that stood then, times twelve, it is a yearly rate.

Whether one loan exceeds the cap is no sum: the shard raises an alert for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.measures import Where, count, total
from streams.metric import Merged, Metric, Window, ratio, totalled
from streams.rollup import Rollup
from streams.rows import Row, doc

ALL = "ALL"


@dataclass(slots=True, kw_only=True)
class JointLendingRow(Row):
    """Joint loans of one platform (or ALL) with one bank (or ALL). A row stands where a joint loan was funded, fell due
    or was repaid in the window.
    """

    platform: str = doc("Institution id of the platform, or ALL.")
    bank: str = doc("Institution id of the bank, or ALL.")
    loans: int = doc("Joint loans funded.")
    loans_weighted: int = doc("Real loans they stand for.")
    funded_fen: int = doc("Their amounts, fen.")
    funded_weighted_fen: int = doc("Their real amount, fen.")
    bank_funded_weighted_fen: int = doc("The banks' part of it, fen.")
    platform_funded_weighted_fen: int = doc("The platforms' part of it, fen.")
    platform_share: float | None = doc("platform_funded_weighted_fen / funded_weighted_fen.")
    interest_weighted_fen: int = doc("Real interest repaid, fen.")
    platform_interest_weighted_fen: int = doc("The platforms' part of it, fen.")
    service_weighted_fen: int = doc("What the banks passed on to the platforms out of theirs, fen.")
    bank_revenue_weighted_fen: int = doc(
        "interest_weighted_fen - platform_interest_weighted_fen - service_weighted_fen."
    )
    platform_revenue_weighted_fen: int = doc("platform_interest_weighted_fen + service_weighted_fen.")
    platform_revenue_share: float | None = doc("platform_revenue_weighted_fen / interest_weighted_fen.")
    due_weighted_fen: int = doc("Real principal outstanding as instalments fell due, summed over them, fen.")
    bank_due_weighted_fen: int = doc("The banks' part of it, fen.")
    bank_funding_weighted_fen: int = doc("What the banks' part has cost in funding by those instalments, fen.")
    platform_funding_weighted_fen: int = doc("What the platforms' part has cost, fen.")
    bank_cost_of_funds: float | None = doc("A year: 12 * bank_funding_weighted_fen / bank_due_weighted_fen.")
    platform_cost_of_funds: float | None = doc(
        "A year: 12 * platform_funding_weighted_fen / (due_weighted_fen - bank_due_weighted_fen)."
    )


FUNDED: Where = {"kind": "FUNDED"}
REPAID: Where = {"kind": "REPAID"}
DUE: Where = {"kind": "DUE"}
JOINT = Rollup(
    name="joint",
    topic="loans",
    keys=("platform", "bank"),
    where={"product": "JOINT", "kind": ("FUNDED", "DUE", "REPAID")},
    measures={
        "events": count(),
        "loans": count(where=FUNDED),
        "loans_weighted": total("weight", where=FUNDED),
        "funded_fen": total("amount_fen", where=FUNDED),
        "funded_weighted_fen": total("amount_fen", times="weight", where=FUNDED),
        "bank_funded_weighted_fen": total("bank_fen", times="weight", where=FUNDED),
        "platform_funded_weighted_fen": total("platform_fen", times="weight", where=FUNDED),
        "interest_weighted_fen": total("interest_fen", times="weight", where=REPAID),
        "platform_interest_weighted_fen": total("platform_interest_fen", times="weight", where=REPAID),
        "service_weighted_fen": total("service_fen", times="weight", where=REPAID),
        "due_weighted_fen": total("outstanding_fen", times="weight", where=DUE),
        "bank_due_weighted_fen": total("bank_outstanding_fen", times="weight", where=DUE),
        "bank_funding_weighted_fen": total("bank_funding_fen", times="weight", where=DUE),
        "platform_funding_weighted_fen": total("platform_funding_fen", times="weight", where=DUE),
    },
)


def derive(window: Window, merged: Merged) -> Iterator[JointLendingRow]:
    folded = merged["joint"]
    sums = {name: totalled(folded[name], 0, 1) for name in JOINT.measures}
    events = sums.pop("events")
    for p, platform in enumerate([*folded.symbols("platform"), ALL]):
        for b, bank in enumerate([*folded.symbols("bank"), ALL]):
            if events[p, b]:
                yield _row(str(platform), str(bank), {name: int(cells[p, b]) for name, cells in sums.items()})


def _row(platform: str, bank: str, cell: Mapping[str, Any]) -> JointLendingRow:
    earned = cell["platform_interest_weighted_fen"] + cell["service_weighted_fen"]
    bank_cost = ratio(cell["bank_funding_weighted_fen"], cell["bank_due_weighted_fen"])
    platform_cost = ratio(
        cell["platform_funding_weighted_fen"], cell["due_weighted_fen"] - cell["bank_due_weighted_fen"]
    )
    return JointLendingRow(
        platform=platform,
        bank=bank,
        **cell,
        platform_share=ratio(cell["platform_funded_weighted_fen"], cell["funded_weighted_fen"]),
        bank_revenue_weighted_fen=cell["interest_weighted_fen"] - earned,
        platform_revenue_weighted_fen=earned,
        platform_revenue_share=ratio(earned, cell["interest_weighted_fen"]),
        bank_cost_of_funds=None if bank_cost is None else 12 * bank_cost,
        platform_cost_of_funds=None if platform_cost is None else 12 * platform_cost,
    )


PROOF = """
WITH told AS (
    SELECT {w} AS window_start, platform, bank, kind, weight, amount_fen,
        coalesce(amount_fen, 0)::HUGEINT * weight AS amount, coalesce(bank_fen, 0)::HUGEINT * weight AS bank_part,
        coalesce(platform_fen, 0)::HUGEINT * weight AS platform_part,
        coalesce(interest_fen, 0)::HUGEINT * weight AS interest,
        coalesce(platform_interest_fen, 0)::HUGEINT * weight AS platform_interest,
        coalesce(service_fen, 0)::HUGEINT * weight AS service,
        coalesce(outstanding_fen, 0)::HUGEINT * weight AS due,
        coalesce(bank_outstanding_fen, 0)::HUGEINT * weight AS bank_due,
        coalesce(bank_funding_fen, 0)::HUGEINT * weight AS bank_funding,
        coalesce(platform_funding_fen, 0)::HUGEINT * weight AS platform_funding
    FROM loans WHERE product = 'JOINT' AND kind IN ('FUNDED', 'DUE', 'REPAID')
), rows AS (
    SELECT window_start, coalesce(platform, 'ALL') AS platform, coalesce(bank, 'ALL') AS bank,
        count(*) FILTER (WHERE kind = 'FUNDED') AS loans,
        coalesce(sum(weight) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS loans_weighted,
        coalesce(sum(amount_fen) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS funded_fen,
        coalesce(sum(amount) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS funded_weighted_fen,
        coalesce(sum(bank_part) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS bank_funded_weighted_fen,
        coalesce(sum(platform_part) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS platform_funded_weighted_fen,
        coalesce(sum(interest) FILTER (WHERE kind = 'REPAID'), 0)::BIGINT AS interest_weighted_fen,
        coalesce(sum(platform_interest) FILTER (WHERE kind = 'REPAID'), 0)::BIGINT AS platform_interest_weighted_fen,
        coalesce(sum(service) FILTER (WHERE kind = 'REPAID'), 0)::BIGINT AS service_weighted_fen,
        coalesce(sum(due) FILTER (WHERE kind = 'DUE'), 0)::BIGINT AS due_weighted_fen,
        coalesce(sum(bank_due) FILTER (WHERE kind = 'DUE'), 0)::BIGINT AS bank_due_weighted_fen,
        coalesce(sum(bank_funding) FILTER (WHERE kind = 'DUE'), 0)::BIGINT AS bank_funding_weighted_fen,
        coalesce(sum(platform_funding) FILTER (WHERE kind = 'DUE'), 0)::BIGINT AS platform_funding_weighted_fen
    FROM told GROUP BY GROUPING SETS ((window_start, platform, bank), (window_start, platform), (window_start, bank),
        (window_start))
)
SELECT '{window}' AS window, *,
    interest_weighted_fen - platform_interest_weighted_fen - service_weighted_fen AS bank_revenue_weighted_fen,
    platform_interest_weighted_fen + service_weighted_fen AS platform_revenue_weighted_fen,
    CASE WHEN funded_weighted_fen <> 0 THEN platform_funded_weighted_fen::DOUBLE / funded_weighted_fen::DOUBLE END
        AS platform_share,
    CASE WHEN interest_weighted_fen <> 0 THEN (platform_interest_weighted_fen + service_weighted_fen)::DOUBLE
        / interest_weighted_fen::DOUBLE END AS platform_revenue_share,
    CASE WHEN bank_due_weighted_fen <> 0 THEN 12 * (bank_funding_weighted_fen::DOUBLE / bank_due_weighted_fen::DOUBLE)
        END AS bank_cost_of_funds,
    CASE WHEN due_weighted_fen <> bank_due_weighted_fen THEN 12 * (platform_funding_weighted_fen::DOUBLE
        / (due_weighted_fen - bank_due_weighted_fen)::DOUBLE) END AS platform_cost_of_funds
FROM rows
"""

METRIC = Metric(
    name="joint-lending",
    rollups=(JOINT,),
    row=JointLendingRow,
    key=("window", "window_start", "platform", "bank"),
    derive=derive,
    proof=PROOF,
    claims=("coop.cap", "coop.cap-depth", "coop.split", "coop.capital-cost"),
    windows=("month",),
)
