"""A made-up run over a world like the paper's: its payments and what institutions do, in rows by month and year.

Loans are in `report_lending`.
"""

from datetime import date
from types import SimpleNamespace
from typing import Any

import topologies
from jinliu.oracle import spans
from jinliu.report.facts import Facts, ms
from tests.unit.jinliu import report_lending
from tests.unit.jinliu.engine_run import RUN

YUAN = 100
DAILY = {"ALIPAY": 11e9, "WECHAT_PAY": 6e9, "UNIONPAY": 1.6e9, "BANK": 0.7e9}
AMOUNT = {"ALIPAY": 0.53, "WECHAT_PAY": 0.39, "UNIONPAY": 0.08, "BANK": 0.04}
BANKS = {"icbc": True, "hengfeng": False}
DAY = 86_400_000


def world() -> Any:
    """Two platforms, two banks, one of them certified; DIRECT until the middle of 2018."""
    kinds = {"alipay": "platform", "wechat-pay": "platform", "icbc": "state-bank", "hengfeng": "joint-stock-bank"}
    institutions = tuple(
        SimpleNamespace(id=name, kind=kind, certified=date(2022, 1, 10) if BANKS.get(name) else None)
        for name, kind in kinds.items()
    )
    decided = {
        "route": (date(2018, 6, 30), "NETWORK"),
        "joint-loan-cap": (date(2021, 2, 20), 0.3),
        "credit-system-access": (date(2020, 7, 1), True),
    }
    levers = {
        name: SimpleNamespace(decisions=(SimpleNamespace(effective=day, value=value),))
        for name, (day, value) in decided.items()
    }
    levers["network-capacity"] = SimpleNamespace(baseline=60)
    return SimpleNamespace(
        name="made-up",
        institutions=institutions,
        banks=tuple(BANKS),
        levers=levers,
        scale=SimpleNamespace(rare_weight=10_000, person_weight=10_000),
        lending=topologies.load("small").lending,
        digest=RUN["digest"],
        put_in_for=lambda claim: ("economy.volume.scale",) if claim == "pay.volume-2022" else (),
    )


def _base(window: str, start: int, end: int) -> dict[str, Any]:
    return {"window": window, "window_start": start, "window_end": end, "status": "FINAL", "revision": 1, "missing": 0}


def market(base: dict[str, Any], days: float) -> list[dict[str, Any]]:
    """350 trillion a year in the third-party market, an eighth of each channel's payments in either frequent scene."""
    whole = int(350e12 * YUAN / 365 * days)
    third = sum(int(whole * share) for channel, share in AMOUNT.items() if channel != "BANK")
    rows = []
    for scene, part in (("ALL", 1.0), ("DINING", 0.1), ("TRANSPORT", 0.1)):
        for channel, share in AMOUNT.items():
            count = DAILY[channel] * days * part
            lean = 1.3 if channel == "WECHAT_PAY" and scene != "ALL" else 1.0
            rows.append(
                base
                | {
                    "channel": channel,
                    "scene": scene,
                    "payments_weighted": int(count),
                    "qr_payments_weighted": int(count * 0.95),
                    "amount_weighted_fen": int(whole * share * part * lean),
                    "third_party_amount_weighted_fen": int(third * part),
                }
            )
    return rows


def quality(base: dict[str, Any], days: float) -> list[dict[str, Any]]:
    """A hundred-thousandth of bank payments with an incident, a user in twenty phished, one in ten thousand failing."""
    rows = []
    severed = base["window_start"] >= ms(date(2018, 7, 1))
    routed = int(17e9 * days)
    for route in ("ALL", "NETWORK", "DIRECT"):
        through = routed if route == "ALL" or (route == "NETWORK") == severed else 0
        incidents = round(0.7e9 * days * 1e-5 / 10_000)
        rows.append(
            base
            | {
                "institution": "ALL",
                "route": route,
                "certified": None,
                "attempts_weighted": through,
                "successes_weighted": through,
                "timeouts_weighted": through // 10_000,
                "over_capacity_weighted": 0,
                "timeouts": through // 10**8,
                "over_capacity": 0,
                "platform_payments_weighted": through,
                "detail_visible_weighted": through if severed else 0,
                "incidents": incidents,
                "incidents_weighted": incidents * 10_000,
                "bank_payments_weighted": int(0.7e9 * days),
                "qr_users": 100_000,
                "phished_users": 5_000,
                "true_positive_weighted": through // 2000,
                "false_negative_weighted": through // 8000,
                "false_positive_weighted": through // 1100,
                "middleware_weighted": 0,
                "native_weighted": 0,
                "latency_p99_ms": 180.0,
                "true_negative_weighted": through - through // 2000 - through // 8000 - through // 1100,
                "under_200_ms_weighted": through,
            }
        )
    for name, certified in BANKS.items():
        p99, under = (150.0, 0.995) if certified else (320.0, 0.96)
        attempts = int(1e9 * days)
        for route in ("ALL", "NETWORK"):
            rows.append(
                base
                | {
                    "institution": name,
                    "route": route,
                    "certified": certified and base["window_start"] > ms(date(2022, 1, 10)),
                    "attempts_weighted": attempts,
                    "latency_p99_ms": p99,
                    "under_200_ms_weighted": int(attempts * under),
                    "middleware_weighted": attempts // 2,
                    "native_weighted": attempts // 2,
                    "middleware_latency_ms": 69.0,
                    "native_latency_ms": 60.0,
                }
            )
    return rows


def doings(base: dict[str, Any], year: int) -> list[dict[str, Any]]:
    """Decisions in 45 days, releases every 7, research from 1.2% in 2018 to 3.5% in 2022."""
    rows = []
    share = {2018: 0.012, 2022: 0.035}.get(year, 0.02)
    for name in ("alipay", "wechat-pay", *BANKS):
        bank = name in BANKS
        certified = name == "icbc" and base["window_start"] == ms(date(2022, 1, 1)) and base["window"] != "year"
        rows.append(
            base
            | {
                "institution": name,
                "revenue_fen": 10**12,
                "research_fen": int(10**12 * share),
                "decisions": 3 * bank,
                "decision_days": 135 * bank,
                "releases": 0 if bank else 4,
                "release_days": 0 if bank else 28,
                "certifications": int(certified),
                "adults": None,
                "own_acquisition_fen": 13_500 * bank,
                "own_users": bank,
                "platform_acquisition_fen": 2_500 * bank,
                "platform_users": bank,
            }
        )
    records = {"adults": 1_100_000_000, "credit_records": 385_000_000, "certifications": 0}
    return [*rows, dict.fromkeys(rows[0], 0) | base | records | {"institution": "cmb"}]


def facts(first: date, after: date, **beside: Any) -> Facts:
    """A run over [first, after) in months and years. beside: `raw`, `worlds`."""
    rows: dict[str, list[dict[str, Any]]] = {
        "market-share": [],
        "payment-quality": [],
        "institutions": [],
        "accounting": [],
        **{name: [] for name in report_lending.METRICS},
    }
    for window in ("month", "year"):
        for span in spans.over(window, ms(first), ms(after)):
            base = _base(window, span.start, span.end)
            days = (span.end - span.start) / DAY
            rows["market-share"] += market(base, days)
            rows["payment-quality"] += quality(base, days)
            rows["institutions"] += doings(base, 1970 + int(span.start // (365.25 * DAY)))
            for name, told in report_lending.METRICS.items():
                if window == "month" or name == "default-rates":
                    rows[name] += [base | row for row in told(base, ms(first))]
    return Facts(rows, ms(first), ms(after), world(), **beside)


def changed(whole: Facts, metric: str, change: Any, **beside: Any) -> Facts:
    """The same with each row of a metric as `change` makes it of a copy."""
    rows: dict[str, Any] = {name: [] for name in whole._read}
    for (name, _), found in whole._rows.items():
        rows[name] += [change(dict(row)) if name == metric else row for row in found]
    return Facts(rows, whole.start_ms, whole.end_ms, whole.topology, raw=whole._raw, worlds=whole._worlds, **beside)
