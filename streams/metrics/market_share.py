"""`metrics.market-share`: who carries the payments, by channel and scene.

Only payments that succeeded count. The third-party market is every channel but BANK, the banks' own mobile payment.
Concentration is the Herfindahl-Hirschman index, the sum of squared shares (Hirschman, The Paternity of an Index, AER
54(5), 1964), between 1/n and 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.measures import count, total
from streams.metric import Int64, Merged, Metric, Window, ratio, totalled
from streams.rollup import Rollup
from streams.rows import Row, doc

ALL = "ALL"
BANK = "BANK"


@dataclass(slots=True, kw_only=True)
class MarketShareRow(Row):
    """Successful payments of one channel in one scene, or in ALL scenes, and the channel's share of them."""

    channel: str = doc("ALIPAY, WECHAT_PAY, UNIONPAY or BANK.")
    scene: str = doc("Scene, or ALL.")
    payments: int = doc("Payments told.")
    amount_fen: int = doc("Their amounts, fen.")
    payments_weighted: int = doc("Real payments they stand for.")
    amount_weighted_fen: int = doc("Real amount they stand for, fen.")
    qr_payments_weighted: int = doc("Real payments among them by QR code.")
    scene_payments_weighted: int = doc("Real payments of all channels in the scene.")
    scene_amount_weighted_fen: int = doc("Real amount of all channels in the scene, fen.")
    third_party_amount_weighted_fen: int = doc("Real amount of all channels but BANK in the scene, fen.")
    share: float | None = doc("amount_weighted_fen / scene_amount_weighted_fen.")
    payment_share: float | None = doc("payments_weighted / scene_payments_weighted.")
    third_party_share: float | None = doc("amount_weighted_fen / third_party_amount_weighted_fen; null for BANK.")
    hhi: float | None = doc("Sum over channels of squared shares of the scene's real amount.")
    third_party_hhi: float | None = doc("The same over the third-party market.")


PAYMENTS = Rollup(
    name="payments",
    topic="payments",
    keys=("channel", "scene"),
    where={"outcome": "SUCCESS"},
    measures={
        "payments": count(),
        "amount_fen": total("amount_fen"),
        "payments_weighted": total("weight"),
        "amount_weighted_fen": total("amount_fen", times="weight"),
        "qr_payments_weighted": total("weight", where={"instrument": "QR"}),
    },
)


def derive(window: Window, merged: Merged) -> Iterator[MarketShareRow]:
    folded = merged["payments"]
    sums = {name: totalled(folded[name], 1) for name in PAYMENTS.measures}
    channels = [str(channel) for channel in folded.symbols("channel")]
    third = [number for number, channel in enumerate(channels) if channel != BANK]
    amounts, payments = sums["amount_weighted_fen"], sums["payments_weighted"]
    in_scene, third_party = totalled(amounts, 0)[-1], totalled(amounts[third], 0)[-1]
    payments_in_scene = totalled(payments, 0)[-1]
    for s, scene in enumerate([*folded.symbols("scene"), ALL]):
        hhi = herfindahl(amounts[:, s].tolist(), int(in_scene[s]))
        third_party_hhi = herfindahl(amounts[third, s].tolist(), int(third_party[s]))
        for c, channel in enumerate(channels):
            if not sums["payments"][c, s]:
                continue
            yield MarketShareRow(
                channel=channel,
                scene=str(scene),
                **_cell(sums, c, s),
                scene_payments_weighted=int(payments_in_scene[s]),
                scene_amount_weighted_fen=int(in_scene[s]),
                third_party_amount_weighted_fen=int(third_party[s]),
                share=ratio(amounts[c, s], in_scene[s]),
                payment_share=ratio(payments[c, s], payments_in_scene[s]),
                third_party_share=ratio(amounts[c, s], third_party[s]) if channel != BANK else None,
                hhi=hhi,
                third_party_hhi=third_party_hhi,
            )


def _cell(sums: Mapping[str, Int64], c: int, s: int) -> dict[str, Any]:
    return {name: int(cells[c, s]) for name, cells in sums.items()}


def herfindahl(amounts: list[int], whole: int) -> float | None:
    """Sum of squared shares, added in order; None when there is nothing to share."""
    if not whole:
        return None
    index = 0.0
    for amount in amounts:
        share = float(amount) / float(whole)
        index += share * share
    return index


PROOF = """
WITH cells AS (
    SELECT {w} AS window_start, channel, scene, count(*)::BIGINT AS payments, sum(amount_fen)::BIGINT AS amount_fen,
        sum(weight)::BIGINT AS payments_weighted, sum(amount_fen::HUGEINT * weight)::BIGINT AS amount_weighted_fen,
        coalesce(sum(weight) FILTER (WHERE instrument = 'QR'), 0)::BIGINT AS qr_payments_weighted
    FROM payments WHERE outcome = 'SUCCESS' GROUP BY ALL
), rows AS (
    FROM cells UNION ALL BY NAME
    SELECT window_start, channel, 'ALL' AS scene, sum(payments)::BIGINT AS payments, sum(amount_fen)::BIGINT AS
        amount_fen,
        sum(payments_weighted)::BIGINT AS payments_weighted, sum(amount_weighted_fen)::BIGINT AS amount_weighted_fen,
        sum(qr_payments_weighted)::BIGINT AS qr_payments_weighted
    FROM cells GROUP BY window_start, channel
), scenes AS (
    SELECT window_start, scene, sum(payments_weighted)::BIGINT AS n, sum(amount_weighted_fen)::BIGINT AS s,
        coalesce(sum(amount_weighted_fen) FILTER (WHERE channel <> 'BANK'), 0)::BIGINT AS t,
        coalesce(sum(amount_weighted_fen) FILTER (WHERE channel = 'ALIPAY'), 0)::BIGINT::DOUBLE AS a,
        coalesce(sum(amount_weighted_fen) FILTER (WHERE channel = 'WECHAT_PAY'), 0)::BIGINT::DOUBLE AS x,
        coalesce(sum(amount_weighted_fen) FILTER (WHERE channel = 'UNIONPAY'), 0)::BIGINT::DOUBLE AS u,
        coalesce(sum(amount_weighted_fen) FILTER (WHERE channel = 'BANK'), 0)::BIGINT::DOUBLE AS b
    FROM rows GROUP BY window_start, scene
)
SELECT '{window}' AS window, window_start, channel, scene, payments, amount_fen, payments_weighted, amount_weighted_fen,
    qr_payments_weighted, n AS scene_payments_weighted, s AS scene_amount_weighted_fen, t AS
        third_party_amount_weighted_fen,
    CASE WHEN s > 0 THEN amount_weighted_fen::DOUBLE / s::DOUBLE END AS share,
    CASE WHEN n > 0 THEN payments_weighted::DOUBLE / n::DOUBLE END AS payment_share,
    CASE WHEN t > 0 AND channel <> 'BANK' THEN amount_weighted_fen::DOUBLE / t::DOUBLE END AS third_party_share,
    CASE WHEN s > 0 THEN (a / s::DOUBLE) * (a / s::DOUBLE) + (x / s::DOUBLE) * (x / s::DOUBLE) + (u / s::DOUBLE) * (u
        / s::DOUBLE)
        + (b / s::DOUBLE) * (b / s::DOUBLE) END AS hhi,
    CASE WHEN t > 0 THEN (a / t::DOUBLE) * (a / t::DOUBLE) + (x / t::DOUBLE) * (x / t::DOUBLE) + (u / t::DOUBLE) * (u
        / t::DOUBLE)
        END AS third_party_hhi
FROM rows JOIN scenes USING (window_start, scene)
"""

METRIC = Metric(
    name="market-share",
    rollups=(PAYMENTS,),
    row=MarketShareRow,
    key=("window", "window_start", "channel", "scene"),
    derive=derive,
    proof=PROOF,
    claims=(
        "pay.duopoly",
        "pay.volume-2022",
        "pay.alipay-daily",
        "pay.wechat-daily",
        "pay.unionpay-share",
        "pay.mfa-friction",
        "pay.scenes",
    ),
)
