"""Claims about payments: shares, volumes, incidents and phishing (sections 1.1, 2.2 and 2.3.1 of the paper)."""

from datetime import date

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, by_window, named, total, year
from jinliu.report.measured import Measured, measures

SHARE = "market-share"
QUALITY = "payment-quality"
PLATFORMS = ("ALIPAY", "WECHAT_PAY")
FREQUENT = ("DINING", "TRANSPORT")
AMOUNT = "amount_weighted_fen"
THIRD_PARTY = "third_party_amount_weighted_fen"


def _third_party_share(facts: Facts, channels: tuple[str, ...]) -> Measured:
    """Share of some channels in the third-party market's amount."""
    period = facts.usual()
    rows = facts.over(SHARE, period, scene="ALL")
    windows = by_window(rows)
    parts = [total([row for row in window if row["channel"] in channels], AMOUNT) for window in windows]
    wholes = [_market(window) for window in windows]
    interval = intervals.ratio(parts, wholes, rows[0]["window"])
    return Measured(sum(parts) / sum(wholes), (interval,), (named(SHARE, rows, period, channel=channels, scene="ALL"),))


def _market(window: list[Row]) -> int:
    """Amount of the third-party market in a window; every row of it says the same."""
    return int(window[0][THIRD_PARTY])


@measures("pay.duopoly")
def duopoly(facts: Facts) -> Measured:
    """Alipay and WeChat Pay in the third-party market."""
    return _third_party_share(facts, PLATFORMS)


@measures("pay.unionpay-share")
def unionpay_share(facts: Facts) -> Measured:
    """UnionPay QuickPass in the third-party market."""
    return _third_party_share(facts, ("UNIONPAY",))


@measures("pay.volume-2022")
def volume_2022(facts: Facts) -> Measured:
    """Third-party amount of 2022, yuan."""
    rows = facts.over(SHARE, year(2022), scene="ALL")
    amounts = [_market(window) / 100 for window in by_window(rows)]
    return Measured(
        sum(amounts), (intervals.total(amounts, rows[0]["window"]),), (named(SHARE, rows, year(2022), scene="ALL"),)
    )


def _per_day(rows: list[Row], name: str, period: Period, row: str) -> Measured:
    counts = [float(total(window, name)) for window in by_window(rows)]
    interval = intervals.total(counts, rows[0]["window"], 1 / period.days)
    return Measured(sum(counts) / period.days, (interval,), (row,))


@measures("pay.alipay-daily")
def alipay_daily(facts: Facts) -> Measured:
    """Alipay payments by QR code a day in 2022."""
    rows = facts.over(SHARE, year(2022), channel="ALIPAY", scene="ALL")
    return _per_day(
        rows, "qr_payments_weighted", year(2022), named(SHARE, rows, year(2022), channel="ALIPAY", scene="ALL")
    )


@measures("pay.wechat-daily")
def wechat_daily(facts: Facts) -> Measured:
    """WeChat Pay payments a day in dining and transport, first quarter of 2023."""
    quarter = Period(date(2023, 1, 1), date(2023, 4, 1))
    rows = [row for row in facts.over(SHARE, quarter, channel="WECHAT_PAY") if row["scene"] in FREQUENT]
    return _per_day(
        rows, "payments_weighted", quarter, named(SHARE, rows, quarter, channel="WECHAT_PAY", scene=FREQUENT)
    )


@measures("pay.scenes")
def scenes(facts: Facts) -> Measured:
    """WeChat Pay's share of amount inside dining and transport, held against its share overall."""
    period = facts.usual()
    rows = facts.over(SHARE, period)
    inside = [[row for row in window if row["scene"] in FREQUENT] for window in by_window(rows)]
    overall = [row for row in rows if row["scene"] == "ALL"]
    parts = [total([row for row in window if row["channel"] == "WECHAT_PAY"], AMOUNT) for window in inside]
    wholes = [total(window, AMOUNT) for window in inside]
    against = total([row for row in overall if row["channel"] == "WECHAT_PAY"], AMOUNT) / total(overall, AMOUNT)
    return Measured(
        sum(parts) / sum(wholes),
        (intervals.ratio(parts, wholes, rows[0]["window"]),),
        (named(SHARE, rows, period, channel="WECHAT_PAY", scene=FREQUENT), named(SHARE, overall, period, scene="ALL")),
        against=against,
        note=f"overall share {against:.3f}",
    )


@measures("pay.bank-incidents")
def bank_incidents(facts: Facts) -> Measured:
    """Security incidents of the banks' own mobile payments in 2022."""
    rows = facts.over(QUALITY, year(2022), "year", institution="ALL", route="ALL")
    hits, weighted, payments = (
        total(rows, name) for name in ("incidents", "incidents_weighted", "bank_payments_weighted")
    )
    trials = payments * hits / weighted if weighted else payments / facts.topology.scale.rare_weight
    return Measured(
        weighted / payments,
        (intervals.clopper_pearson(hits, trials),),
        (named(QUALITY, rows, year(2022), institution="ALL", route="ALL"),),
        note=f"{hits} incidents told",
    )


@measures("pay.phishing")
def phishing(facts: Facts) -> Measured:
    """Distinct people hit by phishing over distinct QR users, 2022; people are drawn alike, one by one."""
    (whole,) = [row for row in facts.whole_year(QUALITY, 2022) if row["institution"] == "ALL" and row["route"] == "ALL"]
    users, hit = whole["qr_users"], whole["phished_users"]
    return Measured(
        hit / users,
        (intervals.wilson(hit, users),),
        (named(QUALITY, [whole], year(2022), institution="ALL", route="ALL"),),
        note=f"{hit} of {users} people of the sample",
    )
