"""The report on made-up metric rows: what is measured, from where, and what is not."""

import io
import json
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import jinliu.report
import topologies
from jinliu.oracle import OracleError, spans
from jinliu.report import Report, assess, render, report
from jinliu.report import measured as measuring
from jinliu.report.facts import Facts, ms
from jinliu.report.measured import MEASURES, PUT_IN, load, put_in
from streams import metrics
from tests.unit.jinliu.engine_run import RUN, operations, payments, processed
from topologies import claims as paper

REQUIRED = {
    "pay.duopoly",
    "pay.volume-2022",
    "pay.alipay-daily",
    "pay.wechat-daily",
    "pay.unionpay-share",
    "pay.bank-incidents",
    "pay.phishing",
    "pay.scenes",
    "clear.severed",
    "clear.visibility",
    "clear.success",
    "clear.conflict",
    "api.limit",
    "api.certified",
    "api.middleware",
    "org.rnd",
    "org.cycle",
    "tech.fraud-accuracy",
}
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
    decision = SimpleNamespace(effective=date(2018, 6, 30), value="NETWORK")
    levers = {"route": SimpleNamespace(decisions=(decision,)), "network-capacity": SimpleNamespace(baseline=60)}
    return SimpleNamespace(
        name="made-up",
        institutions=institutions,
        banks=tuple(BANKS),
        levers=levers,
        scale=SimpleNamespace(rare_weight=10_000),
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
            }
        )
    return rows


def facts(first: date, after: date) -> Facts:
    """A run over [first, after) in days, months and years."""
    rows: dict[str, list[dict[str, Any]]] = {
        "market-share": [],
        "payment-quality": [],
        "institutions": [],
        "accounting": [],
    }
    for window in ("month", "year"):
        for span in spans.over(window, ms(first), ms(after)):
            base = _base(window, span.start, span.end)
            days = (span.end - span.start) / DAY
            rows["market-share"] += market(base, days)
            rows["payment-quality"] += quality(base, days)
            rows["institutions"] += doings(base, 1970 + int(span.start // (365.25 * DAY)))
    return Facts(rows, ms(first), ms(after), world())


def entries(report: Report) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in report.as_dict()["claims"]}


@pytest.fixture(scope="module")
def seven_years() -> dict[str, dict[str, Any]]:
    return entries(assess(facts(date(2018, 1, 1), date(2025, 1, 1)), paper.load()))


def test_every_claim_of_the_paper_is_answered(seven_years: dict[str, dict[str, Any]]) -> None:
    assert len(seven_years) == 71
    assert seven_years.keys() == paper.load().keys()
    keys = {"id", "kind", "says", "value", "interval", "paper", "verdict", "rows"}
    for entry in seven_years.values():
        assert keys <= entry.keys()
        assert (entry["verdict"] == "not measured") == (entry["value"] is None)
        assert (entry["verdict"] == "not measured") == bool(entry["reason"] and not entry["rows"])
    json.dumps(seven_years)


def test_the_claims_of_this_version_are_measured_over_seven_years(seven_years: dict[str, dict[str, Any]]) -> None:
    measured = {name for name, entry in seven_years.items() if entry["verdict"] != "not measured"}
    assert measured == load().keys()
    assert measured >= REQUIRED
    assert load().keys() <= paper.load().keys()


def test_a_measurement_is_one_file_that_is_named_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from jinliu.report.measured import measures\n@measures('loan.apr')\ndef apr(facts): ...\n"
    (tmp_path / "lending.py").write_text(text)
    monkeypatch.setattr("jinliu.report.__path__", [*jinliu.report.__path__, str(tmp_path)])
    monkeypatch.setattr(measuring, "MEASURES", dict(MEASURES))
    monkeypatch.setattr(measuring, "PUT_IN", dict(PUT_IN))
    try:
        assert load.__wrapped__().keys() - MEASURES.keys() == {"loan.apr"}
    finally:
        sys.modules.pop("jinliu.report.lending", None)
        vars(jinliu.report).pop("lending", None)


def test_every_measured_claim_is_read_from_metrics_that_say_they_answer_it(
    seven_years: dict[str, dict[str, Any]],
) -> None:
    answers = {f"metrics.{name}": metric.claims for name, metric in metrics.load().items()}
    for name, entry in seven_years.items():
        for row in entry["rows"]:
            assert name in answers[row.split()[0]], f"{name} is read from {row}"


def test_only_metrics_that_answer_what_is_asked_are_read() -> None:
    log = processed({"payments": payments(), "operations": operations()})
    for topic in ("metrics.payment-quality", "metrics.institutions", "metrics.accounting"):
        del log.topics[topic]
    assert report("", "", world(), ["pay.duopoly"], log=log).counts["not measured"] == 1
    whole = facts(date(2022, 1, 1), date(2022, 4, 1))
    with pytest.raises(ValueError, match="`claims` of its METRIC"):
        Facts({}, whole.start_ms, whole.end_ms, world()).over("market-share", whole.months())


@pytest.mark.parametrize(
    ("claim", "paths"),
    [
        ("tech.federated", {"economy.fraud.separation", "economy.fraud.federated_gain"}),
        ("api.middleware", {"economy.routes.middleware"}),
        ("clear.visibility", {"levers.route.decisions"}),
        ("api.certified", {"institutions.certified"}),
        ("pay.bank-incidents", {"economy.fraud.incident_rate"}),
        ("pay.duopoly", {"economy.channels.UNIONPAY.taste"}),
        ("pay.bank-profit", set()),
    ],
)
def test_what_was_put_in_is_said(claim: str, paths: set[str]) -> None:
    assert set(put_in(claim, topologies.load("china"))) == paths


def test_hand_set_figures_count_as_put_in() -> None:
    china = topologies.load("china")
    assert {"economy.scenes.DINING.pace", "economy.channels.WECHAT_PAY.seconds"} <= set(put_in("pay.scenes", china))
    assert {"economy.routes.certified_median_ms", "economy.routes.certified_sigma"} <= set(put_in("api.limit", china))
    for name, claim in paper.load().items():
        if claim.kind in ("set", "fitted") and name in load():
            assert put_in(name, china), f"{name} is {claim.kind}, by what?"
    assert put_in("clear.peak", topologies.load("capacity-as-stated")) == ("levers.network-capacity.baseline",)


def test_the_document_and_the_table_say_what_was_put_in(seven_years: dict[str, dict[str, Any]]) -> None:
    assert seven_years["pay.volume-2022"]["set_by"] == ["economy.volume.scale"]
    assert seven_years["clear.visibility"]["set_by"] == ["levers.route.decisions"]
    assert "by definition" in seven_years["clear.visibility"]["note"]
    assert seven_years["loan.apr"]["set_by"] == []
    out = io.StringIO()
    found = assess(facts(date(2022, 1, 1), date(2023, 1, 1)), paper.load())
    Console(file=out, width=200).print(render(found))
    assert "put in: economy.volume.scale" in out.getvalue()
    assert "put in for clear.visibility: levers.route.decisions" in out.getvalue(), "not measured in one year"


def test_a_run_of_another_topology_is_refused() -> None:
    log = processed({"payments": payments(), "operations": operations()})
    other = world()
    other.digest = "cd" * 32
    with pytest.raises(OracleError, match=r"another topology, tiny \(.*made-up \(cdcdcdcd\); give its --top"):
        report("", "", other, log=log)


def test_a_world_like_the_papers_holds(seven_years: dict[str, dict[str, Any]]) -> None:
    failing = {name: entry["value"] for name, entry in seven_years.items() if entry["verdict"] == "fails"}
    assert failing == {"api.certified": 1}


def test_values_intervals_and_rows(seven_years: dict[str, dict[str, Any]]) -> None:
    duopoly = seven_years["pay.duopoly"]
    assert duopoly["value"] == pytest.approx(0.92)
    assert duopoly["interval"][0] <= duopoly["value"] <= duopoly["interval"][1]
    assert duopoly["rows"] == [
        "metrics.market-share month 2022-01-01 to 2022-12-31 channel=ALIPAY|WECHAT_PAY scene=ALL (12 windows)"
    ]
    phishing = seven_years["pay.phishing"]
    assert phishing["value"] == 0.05
    assert phishing["interval"] == pytest.approx([0.0487, 0.0514], abs=1e-4)
    assert phishing["method"] == "Wilson"
    incidents = seven_years["pay.bank-incidents"]
    assert incidents["interval"][0] < 1e-5 < incidents["interval"][1]
    assert seven_years["clear.severed"]["interval"] is None
    assert seven_years["clear.visibility"]["value"] == [0.0, 1.0]
    assert seven_years["org.cycle"]["value"] == [45.0, 7.0]
    assert seven_years["api.middleware"]["value"] == pytest.approx(1.15)
    assert "calling everything legitimate" in seven_years["tech.fraud-accuracy"]["note"]


def test_a_short_run_says_which_span_it_would_take() -> None:
    short = entries(assess(facts(date(2022, 1, 1), date(2022, 4, 1)), paper.load()))
    assert short["pay.volume-2022"]["verdict"] == "not measured"
    assert short["pay.volume-2022"]["reason"] == (
        "needs a run over 2022-01-01 to 2022-12-31; this one is over 2022-01-01 to 2022-03-31"
    )
    assert "before 2018-06-30" in short["clear.visibility"]["reason"]
    assert "2018-01-01 to 2022-12-31" in short["org.rnd"]["reason"]
    assert short["pay.duopoly"]["verdict"] == "holds"
    assert "2022-01-01 to 2022-03-31" in short["pay.duopoly"]["rows"][0]


def test_a_run_of_two_weeks_measures_nothing_by_month() -> None:
    short = entries(assess(facts(date(2022, 1, 5), date(2022, 1, 20)), paper.load()))
    assert {entry["verdict"] for entry in short.values()} == {"not measured"}
    assert "at least one whole month" in short["pay.duopoly"]["reason"]


def test_an_incomplete_window_is_not_measured_from() -> None:
    whole = facts(date(2022, 1, 1), date(2023, 4, 1))
    rows: dict[str, Any] = {}
    for (metric, _), found in whole._rows.items():
        rows.setdefault(metric, []).extend(found)
    rows["market-share"] = [
        row | {"status": "INCOMPLETE"} if row["window_start"] == ms(date(2022, 5, 1)) else row
        for row in rows["market-share"]
    ]
    found = entries(assess(Facts(rows, whole.start_ms, whole.end_ms, world()), paper.load()))
    assert found["pay.volume-2022"]["reason"] == "metrics.market-share: the month of 2022-05-01 is not FINAL"
    assert found["pay.wechat-daily"]["verdict"] == "holds"


def test_a_world_unlike_the_papers_fails() -> None:
    whole = facts(date(2022, 1, 1), date(2023, 4, 1))
    for row in whole._rows["payment-quality", "month"]:
        if row["institution"] == "hengfeng":
            row["latency_p99_ms"] = 150.0  # type: ignore[index]
        if row["route"] == "DIRECT":
            row["platform_payments_weighted"] = 5  # type: ignore[index]
    found = entries(assess(whole, paper.load()))
    assert found["api.limit"]["verdict"] == "fails"
    assert "some uncertified exceed it" in found["api.limit"]["reason"]
    assert found["clear.severed"]["verdict"] == "fails"


def test_the_table_shows_kind_figure_interval_verdict_rows_and_notes() -> None:
    report = assess(facts(date(2022, 1, 1), date(2023, 4, 1)), paper.load())
    out = io.StringIO()
    Console(file=out, width=200).print(render(report))
    text = out.getvalue()
    for piece in (
        "pay.duopoly",
        "fitted",
        "> 0.9",
        "0.92",
        "holds",
        "emerges: in no fit's objective",
        "note: ",
        "metrics.market-share",
    ):
        assert piece in text
    assert f"{report.counts['holds']} hold" in text
    assert report.table(everything=False) is not None
    assert "loan.apr" in text
    assert "the topic loans has no source yet" in text
    assert "note on coop.split: the paper does not say who gets the 30" in text


def test_the_report_is_read_from_the_metric_topics() -> None:
    log = processed({"payments": payments(), "operations": operations()})
    found = report("", "", world(), ["pay.duopoly", "loan.apr"], log=log)
    assert [finding.claim.id for finding in found.findings] == ["pay.duopoly", "loan.apr"]
    assert found.counts == {"holds": 0, "fails": 0, "not measured": 2}
    with pytest.raises(OracleError, match=r"no claim pay\.nothing"):
        report("", "", world(), ["pay.nothing"], log=log)


def test_the_scenario_of_the_stated_capacity_shows_the_conflict_and_claims_no_success() -> None:
    whole = facts(date(2022, 1, 1), date(2023, 1, 1))
    whole.topology.levers["network-capacity"].baseline = 1
    found = entries(assess(whole, paper.load()))
    assert "needs capacity for the whole demand" in found["clear.success"]["reason"]
    assert found["clear.conflict"]["verdict"] == "holds"
    assert "1 billion, " in found["clear.conflict"]["note"]
