"""`metrics.institutions`: what institutions do beside payments: research against revenue, decisions, releases,
certification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


OPERATIONS = Rollup(
    name="operations",
    topic="operations",
    keys=("institution", "kind"),
    measures={"events": count(), "amount_fen": total("amount_fen"), "days": total("days")},
)


def derive(window: Window, merged: Merged) -> Iterator[InstitutionRow]:
    folded = merged["operations"]
    kinds = {str(kind): number for number, kind in enumerate(folded.symbols("kind"))}
    for institution, events, amounts, days in zip(
        folded.symbols("institution"),
        folded["events"].tolist(),
        folded["amount_fen"].tolist(),
        folded["days"].tolist(),
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
        count(*) FILTER (WHERE kind = 'CERTIFICATION') AS certifications
    FROM operations GROUP BY ALL
)
SELECT '{window}' AS window, *,
    CASE WHEN revenue_fen > 0 THEN research_fen::DOUBLE / revenue_fen::DOUBLE END AS research_share,
    CASE WHEN decisions > 0 THEN decision_days::DOUBLE / decisions::DOUBLE END AS days_per_decision,
    CASE WHEN releases > 0 THEN release_days::DOUBLE / releases::DOUBLE END AS days_per_release
FROM rows
"""

METRIC = Metric(
    name="institutions",
    rollups=(OPERATIONS,),
    row=InstitutionRow,
    key=("window", "window_start", "institution"),
    derive=derive,
    proof=PROOF,
    claims=("org.rnd", "org.cycle", "api.certified"),
)
