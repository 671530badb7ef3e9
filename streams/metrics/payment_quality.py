"""`metrics.payment-quality`: how well payments go, by the payer's bank and route.

Every attempt counts, whatever its outcome. Latency is the response time of the payer bank's interface; its quantiles
are those of a histogram (`streams.quantiles`). The limit for certified interfaces is a 99th percentile under 200 ms:
more than 99% of the weight in bins below the edge 200.

Platforms are Alipay and WeChat Pay. The fraud decision is `flagged`, the truth `fraud`; both are taken over platform
attempts.

Phishing hits a person when the payment gets through: an attempt that was blocked hit nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streams.measures import count, distinct, histogram, total
from streams.metric import Folded, Merged, Metric, Window, ratio, totalled
from streams.quantiles import bins_sql, or_none, quantile
from streams.rollup import Rollup
from streams.rows import Row, doc

ALL = "ALL"
LIMIT_MS = 200
EDGES_MS = (
    5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100, 105, 110, 115, 120, 126, 132, 138,
        145, 152, 159, 166,
    173, 180, 186, 192, 196, 200, 204, 208, 214, 220, 230, 240, 255, 270, 290, 310, 340, 375, 420, 480, 550, 650, 800,
        1000, 1300, 1700,
    2200, 3000, 4000, 6000, 10000, 20000,
)  # fmt: skip
PLATFORMS = ("ALIPAY", "WECHAT_PAY")


@dataclass(slots=True, kw_only=True)
class PaymentQualityRow(Row):
    """Attempts at one payer bank's interface over one route; ALL sums banks or routes. Fields on fraud and visibility
    are told for institution ALL, those on distinct people for institution ALL and route ALL, and null elsewhere.
    """

    institution: str = doc("Payer bank's id, or ALL.")
    route: str = doc("DIRECT, NETWORK, BANKCARD, ON_US, or ALL.")
    attempts: int = doc("Attempts told.")
    successes: int = doc("Of them with outcome SUCCESS.")
    timeouts: int = doc("With outcome TIMEOUT.")
    over_capacity: int = doc("With outcome OVER_CAPACITY.")
    blocked: int = doc("With outcome BLOCKED.")
    attempts_weighted: int = doc("Real attempts they stand for.")
    successes_weighted: int = doc("Of them with outcome SUCCESS.")
    timeouts_weighted: int = doc("With outcome TIMEOUT.")
    over_capacity_weighted: int = doc("With outcome OVER_CAPACITY.")
    blocked_weighted: int = doc("With outcome BLOCKED.")
    success_rate: float | None = doc("successes_weighted / attempts_weighted.")
    latency_p50_ms: float | None = doc("Median response time, weighted, from the histogram.")
    latency_p95_ms: float | None = doc("95th percentile.")
    latency_p99_ms: float | None = doc("99th percentile.")
    under_200_ms_weighted: int = doc("Real attempts answered in under 200 ms.")
    under_limit: bool = doc(
        "Whether the 99th percentile is under 200 ms: 100 * under_200_ms_weighted > 99 * attempts_weighted."
    )
    certified: bool | None = doc("Whether the interface was certified before the window began; null for ALL.")
    middleware_weighted: int = doc("Real attempts that passed protocol conversion.")
    middleware_latency_weighted_ms: int = doc("Sum of their response times, ms.")
    native_weighted: int = doc("Real attempts without it.")
    native_latency_weighted_ms: int = doc("Sum of their response times, ms.")
    middleware_latency_ms: float | None = doc("Mean response time with protocol conversion.")
    native_latency_ms: float | None = doc("Mean response time without.")
    bank_payments_weighted: int | None = doc("Real attempts by the banks' own mobile payment.", default=None)
    incidents: int | None = doc("Security incidents told among them.", default=None)
    incidents_weighted: int | None = doc("Real incidents they stand for.", default=None)
    incident_rate: float | None = doc("incidents_weighted / bank_payments_weighted.", default=None)
    platform_payments_weighted: int | None = doc("Real attempts through Alipay and WeChat Pay.", default=None)
    detail_visible_weighted: int | None = doc("Of them those whose counterparty the payer's bank sees.", default=None)
    detail_visible_share: float | None = doc("detail_visible_weighted / platform_payments_weighted.", default=None)
    frauds: int | None = doc("Frauds told among platform attempts.", default=None)
    true_positive_weighted: int | None = doc("Platform attempts: fraud and flagged.", default=None)
    false_positive_weighted: int | None = doc("No fraud, flagged.", default=None)
    false_negative_weighted: int | None = doc("Fraud, not flagged.", default=None)
    true_negative_weighted: int | None = doc("No fraud, not flagged.", default=None)
    fraud_accuracy: float | None = doc("(true positives + true negatives) / platform attempts.", default=None)
    fraud_precision: float | None = doc("True positives / flagged.", default=None)
    fraud_recall: float | None = doc("True positives / frauds.", default=None)
    qr_users: int | None = doc("Distinct simulated people who paid by QR code.", default=None)
    phished_users: int | None = doc("Distinct simulated people hit by phishing.", default=None)
    qr_users_weighted: int | None = doc("qr_users times the real people a person stands for.", default=None)
    phished_users_weighted: int | None = doc("phished_users times the same.", default=None)
    phishing_rate: float | None = doc("phished_users / qr_users.", default=None)


INTERFACES = Rollup(
    name="interfaces",
    topic="payments",
    keys=("payer_bank", "route"),
    measures={
        "attempts": count(by="outcome"),
        "attempts_weighted": total("weight", by="outcome"),
        "latency": histogram("latency_ms", EDGES_MS, times="weight"),
        "latency_weighted_ms": total("latency_ms", times="weight", by="middleware"),
        "middleware_weighted": total("weight", by="middleware"),
    },
)
SAFETY = Rollup(
    name="safety",
    topic="payments",
    keys=("route", "channel", "fraud", "flagged", "detail_visible"),
    measures={"attempts": count(), "attempts_weighted": total("weight")},
)
PEOPLE = Rollup(
    name="people",
    topic="payments",
    keys=(),
    measures={
        "qr_users": distinct("payer_id", where={"instrument": "QR"}),
        "phished_users": distinct("payer_id", where={"fraud": "PHISHING", "outcome": "SUCCESS"}),
    },
)


def derive(window: Window, merged: Merged) -> Iterator[PaymentQualityRow]:
    folded = merged["interfaces"]
    sums = {name: totalled(folded[name], 0, 1) for name in INTERFACES.measures}
    quantiles = {q: quantile(sums["latency"], EDGES_MS, q) for q in (0.5, 0.95, 0.99)}
    below = sums["latency"][..., : EDGES_MS.index(LIMIT_MS) + 1].sum(axis=-1)
    safety = _safety(merged)
    people = _people(merged)
    for b, institution in enumerate([*folded.symbols("payer_bank"), ALL]):
        certified = _certified(merged, str(institution), window) if institution != ALL else None
        for r, route in enumerate([*folded.symbols("route"), ALL]):
            raw, weighted = sums["attempts"][b, r].tolist(), sums["attempts_weighted"][b, r].tolist()
            if not any(raw):
                continue
            whole, under = sum(weighted), int(below[b, r])
            beside = safety[r] if institution == ALL else {}
            yield PaymentQualityRow(
                institution=str(institution),
                route=str(route),
                **_outcomes(folded, raw, weighted),
                success_rate=ratio(weighted[folded.code("outcome", "SUCCESS")], whole),
                latency_p50_ms=or_none(quantiles[0.5][b, r]),
                latency_p95_ms=or_none(quantiles[0.95][b, r]),
                latency_p99_ms=or_none(quantiles[0.99][b, r]),
                under_200_ms_weighted=under,
                under_limit=100 * under > 99 * whole,
                certified=certified,
                **_middleware(sums["middleware_weighted"][b, r].tolist(), sums["latency_weighted_ms"][b, r].tolist()),
                **beside,
                **(people if institution == route == ALL else {}),
            )


def _outcomes(folded: Folded, raw: list[int], weighted: list[int]) -> dict[str, Any]:
    names = {"SUCCESS": "successes", "TIMEOUT": "timeouts", "OVER_CAPACITY": "over_capacity", "BLOCKED": "blocked"}
    counts = {"attempts": sum(raw), "attempts_weighted": sum(weighted)}
    for code, outcome in enumerate(folded.symbols("outcome")):
        counts[names[str(outcome)]], counts[f"{names[str(outcome)]}_weighted"] = raw[code], weighted[code]
    return counts


def _middleware(weights: list[int], latencies: list[int]) -> dict[str, Any]:
    return {
        "middleware_weighted": weights[1],
        "middleware_latency_weighted_ms": latencies[1],
        "native_weighted": weights[0],
        "native_latency_weighted_ms": latencies[0],
        "middleware_latency_ms": ratio(latencies[1], weights[1]),
        "native_latency_ms": ratio(latencies[0], weights[0]),
    }


def _certified(merged: Merged, institution: str, window: Window) -> bool:
    day = merged.world.certified.get(institution)
    return day is not None and datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000 <= window.start


def _safety(merged: Merged) -> list[dict[str, Any]]:
    """For each route, then ALL: incidents at banks, visibility and the confusion matrix of the fraud decision at
    platforms.
    """
    folded = merged["safety"]
    raw, weighted = totalled(folded["attempts"], 0), totalled(folded["attempts_weighted"], 0)
    platforms = [folded.code("channel", channel) for channel in PLATFORMS]
    bank, none, incident = (
        folded.code("channel", "BANK"),
        folded.code("fraud", "NONE"),
        folded.code("fraud", "INCIDENT"),
    )
    frauds = [code for code in range(raw.shape[2]) if code != none]
    sums = []
    for r in range(raw.shape[0]):
        platform = weighted[r, platforms]
        whole, visible = int(platform.sum()), int(platform[..., 1].sum())
        tp, fn = int(platform[:, frauds, 1].sum()), int(platform[:, frauds, 0].sum())
        fp, tn = int(platform[:, none, 1].sum()), int(platform[:, none, 0].sum())
        at_bank, incidents = int(weighted[r, bank].sum()), int(weighted[r, bank, incident].sum())
        sums.append(
            {
                "bank_payments_weighted": at_bank,
                "incidents": int(raw[r, bank, incident].sum()),
                "incidents_weighted": incidents,
                "incident_rate": ratio(incidents, at_bank),
                "platform_payments_weighted": whole,
                "detail_visible_weighted": visible,
                "detail_visible_share": ratio(visible, whole),
                "frauds": int(raw[r, platforms][:, frauds].sum()),
                "true_positive_weighted": tp,
                "false_positive_weighted": fp,
                "false_negative_weighted": fn,
                "true_negative_weighted": tn,
                "fraud_accuracy": ratio(tp + tn, whole),
                "fraud_precision": ratio(tp, tp + fp),
                "fraud_recall": ratio(tp, tp + fn),
            }
        )
    return sums


def _people(merged: Merged) -> dict[str, Any]:
    users, phished = int(merged["people"]["qr_users"]), int(merged["people"]["phished_users"])
    return {
        "qr_users": users,
        "phished_users": phished,
        "qr_users_weighted": users * merged.world.person_weight,
        "phished_users_weighted": phished * merged.world.person_weight,
        "phishing_rate": ratio(phished, users),
    }


PROOF = """
WITH grouped AS (
    SELECT {w} AS window_start, coalesce(payer_bank, 'ALL') AS institution, coalesce(route, 'ALL') AS route,
        count(*) AS attempts,
        count(*) FILTER (WHERE outcome = 'SUCCESS') AS successes,
        count(*) FILTER (WHERE outcome = 'TIMEOUT') AS timeouts,
        count(*) FILTER (WHERE outcome = 'OVER_CAPACITY') AS over_capacity,
        count(*) FILTER (WHERE outcome = 'BLOCKED') AS blocked,
        sum(weight)::BIGINT AS attempts_weighted,
        coalesce(sum(weight) FILTER (WHERE outcome = 'SUCCESS'), 0)::BIGINT AS successes_weighted,
        coalesce(sum(weight) FILTER (WHERE outcome = 'TIMEOUT'), 0)::BIGINT AS timeouts_weighted,
        coalesce(sum(weight) FILTER (WHERE outcome = 'OVER_CAPACITY'), 0)::BIGINT AS over_capacity_weighted,
        coalesce(sum(weight) FILTER (WHERE outcome = 'BLOCKED'), 0)::BIGINT AS blocked_weighted,
        coalesce(sum(weight) FILTER (WHERE latency_ms < 200), 0)::BIGINT AS under_200_ms_weighted,
        coalesce(sum(weight) FILTER (WHERE middleware), 0)::BIGINT AS middleware_weighted,
        coalesce(sum(latency_ms::HUGEINT * weight) FILTER (WHERE middleware), 0)::BIGINT AS
            middleware_latency_weighted_ms,
        coalesce(sum(weight) FILTER (WHERE NOT middleware), 0)::BIGINT AS native_weighted,
        coalesce(sum(latency_ms::HUGEINT * weight) FILTER (WHERE NOT middleware), 0)::BIGINT AS
            native_latency_weighted_ms
    FROM payments GROUP BY GROUPING SETS (({w}, payer_bank, route), ({w}, payer_bank), ({w}, route), ({w}))
), latencies AS (
    SELECT {w} AS window_start, payer_bank, route, latency_ms, sum(weight)::BIGINT AS n FROM payments GROUP BY ALL
), bins (bin, low, high, match_low, match_high) AS (VALUES BINS
), binned AS (
    SELECT window_start, coalesce(payer_bank, 'ALL') AS institution, coalesce(route, 'ALL') AS route, bin, low, high,
        sum(n)::BIGINT AS inside
    FROM latencies JOIN bins ON latency_ms >= match_low AND latency_ms < match_high
    GROUP BY GROUPING SETS ((window_start, bin, low, high, payer_bank, route), (window_start, bin, low, high,
        payer_bank),
        (window_start, bin, low, high, route), (window_start, bin, low, high))
), cumulative AS (
    SELECT *, sum(inside) OVER (PARTITION BY window_start, institution, route ORDER BY bin)::BIGINT AS upto,
        sum(inside) OVER (PARTITION BY window_start, institution, route)::BIGINT AS whole
    FROM binned
), placed AS (
    SELECT window_start, institution, route, q, low, high, inside, upto - inside AS before, whole::DOUBLE * q AS target
    FROM cumulative, (VALUES (0.5::DOUBLE), (0.95::DOUBLE), (0.99::DOUBLE)) AS wanted (q)
    WHERE upto::DOUBLE >= whole::DOUBLE * q
    QUALIFY row_number() OVER (PARTITION BY window_start, institution, route, q ORDER BY bin) = 1
), quantiles AS (
    SELECT window_start, institution, route, q,
        low::DOUBLE + (target - before::DOUBLE) / inside::DOUBLE * (high::DOUBLE - low::DOUBLE) AS ms
    FROM placed
), pivoted AS (
    SELECT window_start, institution, route, max(ms) FILTER (WHERE q = 0.5::DOUBLE) AS latency_p50_ms,
        max(ms) FILTER (WHERE q = 0.95::DOUBLE) AS latency_p95_ms, max(ms) FILTER (WHERE q = 0.99::DOUBLE) AS
            latency_p99_ms
    FROM quantiles GROUP BY ALL
), safety AS (
    SELECT {w} AS window_start, 'ALL' AS institution, coalesce(route, 'ALL') AS route,
        coalesce(sum(weight) FILTER (WHERE channel = 'BANK'), 0)::BIGINT AS bank_payments_weighted,
        count(*) FILTER (WHERE channel = 'BANK' AND fraud = 'INCIDENT') AS incidents,
        coalesce(sum(weight) FILTER (WHERE channel = 'BANK' AND fraud = 'INCIDENT'), 0)::BIGINT AS incidents_weighted,
        coalesce(sum(weight) FILTER (WHERE platform), 0)::BIGINT AS platform_payments_weighted,
        coalesce(sum(weight) FILTER (WHERE platform AND detail_visible), 0)::BIGINT AS detail_visible_weighted,
        count(*) FILTER (WHERE platform AND fraud <> 'NONE') AS frauds,
        coalesce(sum(weight) FILTER (WHERE platform AND fraud <> 'NONE' AND flagged), 0)::BIGINT AS
            true_positive_weighted,
        coalesce(sum(weight) FILTER (WHERE platform AND fraud = 'NONE' AND flagged), 0)::BIGINT AS
            false_positive_weighted,
        coalesce(sum(weight) FILTER (WHERE platform AND fraud <> 'NONE' AND NOT flagged), 0)::BIGINT AS
            false_negative_weighted,
        coalesce(sum(weight) FILTER (WHERE platform AND fraud = 'NONE' AND NOT flagged), 0)::BIGINT AS
            true_negative_weighted
    FROM (SELECT *, channel IN ('ALIPAY', 'WECHAT_PAY') AS platform FROM payments)
    GROUP BY GROUPING SETS (({w}, route), ({w}))
), people AS (
    SELECT {w} AS window_start, 'ALL' AS institution, 'ALL' AS route,
        count(DISTINCT payer_id) FILTER (WHERE instrument = 'QR') AS qr_users,
        count(DISTINCT payer_id) FILTER (WHERE fraud = 'PHISHING' AND outcome = 'SUCCESS') AS phished_users
    FROM payments GROUP BY {w}
)
SELECT '{window}' AS window, g.*, p.* EXCLUDE (window_start, institution, route), s.* EXCLUDE (window_start,
    institution, route),
    u.* EXCLUDE (window_start, institution, route),
    successes_weighted::DOUBLE / attempts_weighted::DOUBLE AS success_rate,
    100 * under_200_ms_weighted::HUGEINT > 99 * attempts_weighted::HUGEINT AS under_limit,
    CASE WHEN institution <> 'ALL' THEN coalesce(i.certified_ms <= window_start, FALSE) END AS certified,
    CASE WHEN middleware_weighted > 0 THEN middleware_latency_weighted_ms::DOUBLE / middleware_weighted::DOUBLE END AS
        middleware_latency_ms,
    CASE WHEN native_weighted > 0 THEN native_latency_weighted_ms::DOUBLE / native_weighted::DOUBLE END AS
        native_latency_ms,
    CASE WHEN bank_payments_weighted > 0 THEN incidents_weighted::DOUBLE / bank_payments_weighted::DOUBLE END AS
        incident_rate,
    CASE WHEN platform_payments_weighted > 0 THEN detail_visible_weighted::DOUBLE / platform_payments_weighted::DOUBLE
        END
        AS detail_visible_share,
    CASE WHEN platform_payments_weighted > 0
        THEN (true_positive_weighted + true_negative_weighted)::DOUBLE / platform_payments_weighted::DOUBLE END AS
            fraud_accuracy,
    CASE WHEN true_positive_weighted + false_positive_weighted > 0
        THEN true_positive_weighted::DOUBLE / (true_positive_weighted + false_positive_weighted)::DOUBLE END AS
            fraud_precision,
    CASE WHEN true_positive_weighted + false_negative_weighted > 0
        THEN true_positive_weighted::DOUBLE / (true_positive_weighted + false_negative_weighted)::DOUBLE END AS
            fraud_recall,
    qr_users * t.person_weight AS qr_users_weighted, phished_users * t.person_weight AS phished_users_weighted,
    CASE WHEN qr_users > 0 THEN phished_users::DOUBLE / qr_users::DOUBLE END AS phishing_rate
FROM grouped AS g JOIN pivoted AS p USING (window_start, institution, route)
    LEFT JOIN safety AS s USING (window_start, institution, route) LEFT JOIN people AS u USING (window_start,
        institution, route)
    LEFT JOIN institutions AS i ON i.id = institution CROSS JOIN topology AS t
""".replace("BINS", bins_sql(EDGES_MS))

METRIC = Metric(
    name="payment-quality",
    rollups=(INTERFACES, SAFETY, PEOPLE),
    row=PaymentQualityRow,
    key=("window", "window_start", "institution", "route"),
    derive=derive,
    proof=PROOF,
    claims=(
        "pay.bank-incidents",
        "pay.phishing",
        "clear.severed",
        "clear.visibility",
        "clear.peak",
        "clear.success",
        "clear.conflict",
        "api.limit",
        "api.middleware",
        "tech.fraud-accuracy",
        "tech.federated",
    ),
)
