"""`metrics.institutions`: what institutions do beside: research against revenue, decisions, releases, certification,
costs and fines, new payment users, credit records.

What is told by months is summed over the window, credit records and adults too: their ratio is the coverage in any
window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.measures import count, total
from streams.metric import Merged, Metric, Window, ratio
from streams.rollup import Rollup
from streams.rows import Row, doc


@dataclass(slots=True, kw_only=True)
class InstitutionRow(Row):
    """The doings of one institution in the window."""

    institution: str = doc("Institution id.")
    revenue_fen: int = doc("Revenue told, fen.")
    research_fen: int = doc("Research spend told, fen.")
    proposals: int = doc("Proposals made.")
    decisions: int = doc("Proposals decided.")
    decision_days: int = doc("Sum over decisions of days since the proposal.")
    releases: int = doc("Product releases.")
    release_days: int = doc("Sum over releases of days since the release before.")
    certifications: int = doc("Certifications of the payment interface.")
    research_share: float | None = doc("research_fen / revenue_fen.")
    days_per_decision: float | None = doc("decision_days / decisions.")
    days_per_release: float | None = doc("release_days / releases.")
    platform_fees_fen: int | None = doc(
        "Income through platform payments, fen; null where none was told.", default=None
    )
    branch_cost_fen: int | None = doc("Cost of branches, fen; null where none was told.", default=None)
    labour_cost_fen: int | None = doc("Cost of labour, fen; null where none was told.", default=None)
    other_cost_fen: int | None = doc("Other operating cost, fen; null where none was told.", default=None)
    fines: int | None = doc("Fines; null where there was none.", default=None)
    fines_fen: int | None = doc("Fines paid, fen; null where there was none.", default=None)
    credit_records: int | None = doc(
        "Adults the central bank's credit system knows, summed over the tellings; null where none was told.",
        default=None,
    )
    adults: int | None = doc("All adults, summed over the tellings; null where none was told.", default=None)
    coverage: float | None = doc("credit_records / adults.", default=None)
    own_acquisition_fen: int | None = doc(
        "Spent on new payment users of the bank's own mobile payment, fen; null where nothing was told.", default=None
    )
    own_users: int | None = doc("New users by it.", default=None)
    own_user_cost_fen: float | None = doc("own_acquisition_fen / own_users.", default=None)
    platform_acquisition_fen: int | None = doc(
        "Spent on new payment users through a platform, fen; null where nothing was told.", default=None
    )
    platform_users: int | None = doc("New users by it.", default=None)
    platform_user_cost_fen: float | None = doc("platform_acquisition_fen / platform_users.", default=None)


OPERATIONS = Rollup(
    name="operations",
    topic="operations",
    keys=("institution", "kind"),
    measures={"events": count(), "amount_fen": total("amount_fen"), "days": total("days"), "count": total("count")},
)
AMOUNTS = {
    "platform_fees_fen": "PLATFORM_FEES",
    "branch_cost_fen": "BRANCH_COST",
    "labour_cost_fen": "LABOUR_COST",
    "other_cost_fen": "OTHER_COST",
    "fines_fen": "FINE",
    "own_acquisition_fen": "ACQUISITION_OWN",
    "platform_acquisition_fen": "ACQUISITION_PLATFORM",
}
COUNTED = {
    "credit_records": "CREDIT_RECORDS",
    "adults": "ADULTS",
    "own_users": "ACQUISITION_OWN",
    "platform_users": "ACQUISITION_PLATFORM",
}
RATIOS = {
    "coverage": ("credit_records", "adults"),
    "own_user_cost_fen": ("own_acquisition_fen", "own_users"),
    "platform_user_cost_fen": ("platform_acquisition_fen", "platform_users"),
}


def derive(window: Window, merged: Merged) -> Iterator[InstitutionRow]:
    folded = merged["operations"]
    kinds = {str(kind): number for number, kind in enumerate(folded.symbols("kind"))}
    for institution, events, amounts, days, counts in zip(
        folded.symbols("institution"),
        folded["events"].tolist(),
        folded["amount_fen"].tolist(),
        folded["days"].tolist(),
        folded["count"].tolist(),
        strict=True,
    ):
        if not any(events):
            continue
        decision, release = kinds["DECISION"], kinds["RELEASE"]
        revenue, research = amounts[kinds["REVENUE"]], amounts[kinds["RESEARCH_SPEND"]]
        yield InstitutionRow(
            institution=str(institution),
            revenue_fen=revenue,
            research_fen=research,
            proposals=events[kinds["PROPOSAL"]],
            decisions=events[decision],
            decision_days=days[decision],
            releases=events[release],
            release_days=days[release],
            certifications=events[kinds["CERTIFICATION"]],
            research_share=ratio(research, revenue),
            days_per_decision=ratio(days[decision], events[decision]),
            days_per_release=ratio(days[release], events[release]),
            fines=events[kinds["FINE"]] or None,
            **_beside(kinds, events, amounts, counts),
        )


def _beside(kinds: Mapping[str, int], events: list[int], amounts: list[int], counts: list[int]) -> dict[str, Any]:
    """Costs, income and counts of what was told in the window, None for what was not."""
    told: dict[str, int | None] = {}
    for names, values in ((AMOUNTS, amounts), (COUNTED, counts)):
        told |= {name: values[kinds[kind]] if events[kinds[kind]] else None for name, kind in names.items()}
    pairs = {name: (told[part], told[whole]) for name, (part, whole) in RATIOS.items()}
    rates = {
        name: ratio(part, whole) for name, (part, whole) in pairs.items() if part is not None and whole is not None
    }
    return told | rates


BESIDE = ", ".join(
    f"CASE WHEN count(*) FILTER (WHERE kind = '{kind}') > 0 THEN "
    f"coalesce(sum({column}) FILTER (WHERE kind = '{kind}'), 0)::BIGINT END AS {name}"
    for column, names in (("amount_fen", AMOUNTS), ('"count"', COUNTED))
    for name, kind in names.items()
)
PROOF = """
WITH rows AS (
    SELECT {w} AS window_start, institution,
        coalesce(sum(amount_fen) FILTER (WHERE kind = 'REVENUE'), 0)::BIGINT AS revenue_fen,
        coalesce(sum(amount_fen) FILTER (WHERE kind = 'RESEARCH_SPEND'), 0)::BIGINT AS research_fen,
        count(*) FILTER (WHERE kind = 'PROPOSAL') AS proposals,
        count(*) FILTER (WHERE kind = 'DECISION') AS decisions,
        coalesce(sum(days) FILTER (WHERE kind = 'DECISION'), 0)::BIGINT AS decision_days,
        count(*) FILTER (WHERE kind = 'RELEASE') AS releases,
        coalesce(sum(days) FILTER (WHERE kind = 'RELEASE'), 0)::BIGINT AS release_days,
        count(*) FILTER (WHERE kind = 'CERTIFICATION') AS certifications,
        nullif(count(*) FILTER (WHERE kind = 'FINE'), 0) AS fines, BESIDE
    FROM operations GROUP BY {w}, institution
)
SELECT '{window}' AS window, *,
    CASE WHEN revenue_fen > 0 THEN research_fen::DOUBLE / revenue_fen::DOUBLE END AS research_share,
    CASE WHEN decisions > 0 THEN decision_days::DOUBLE / decisions::DOUBLE END AS days_per_decision,
    CASE WHEN releases > 0 THEN release_days::DOUBLE / releases::DOUBLE END AS days_per_release,
    CASE WHEN adults > 0 THEN credit_records::DOUBLE / adults::DOUBLE END AS coverage,
    CASE WHEN own_users > 0 THEN own_acquisition_fen::DOUBLE / own_users::DOUBLE END AS own_user_cost_fen,
    CASE WHEN platform_users > 0 THEN platform_acquisition_fen::DOUBLE / platform_users::DOUBLE END
        AS platform_user_cost_fen
FROM rows
""".replace("BESIDE", BESIDE)

METRIC = Metric(
    name="institutions",
    rollups=(OPERATIONS,),
    row=InstitutionRow,
    key=("window", "window_start", "institution"),
    derive=derive,
    proof=PROOF,
    claims=("org.rnd", "org.cycle", "api.certified", "loan.cmb-coverage", "coop.cac", "coop.lanhai-fall"),
)
