"""The report on made-up metric rows: what is measured, from where, and what is not."""

import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import jinliu.report
import topologies
from jinliu.oracle import OracleError
from jinliu.report import Report, assess, render, report
from jinliu.report import measured as measuring
from jinliu.report.facts import Facts, ms
from jinliu.report.measured import MEASURES, PUT_IN, load, put_in
from streams import metrics
from tests.unit.jinliu.engine_run import operations, payments, processed
from tests.unit.jinliu.report_lending import MadeUpTopics, MadeUpWorlds
from tests.unit.jinliu.report_world import facts, world
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


def entries(report: Report) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in report.as_dict()["claims"]}


@pytest.fixture(scope="module")
def seven_years() -> dict[str, dict[str, Any]]:
    whole = facts(date(2018, 1, 1), date(2025, 1, 1), raw=MadeUpTopics(), worlds=MadeUpWorlds())
    return entries(assess(whole, paper.load()))


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
    assert measured == load().keys() - {"coop.reverse-referral"}
    assert measured >= REQUIRED
    assert load().keys() <= paper.load().keys()


def test_a_measurement_is_one_file_that_is_named_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from jinliu.report.measured import measures\n@measures('wealth.t0')\ndef t0(facts): ...\n"
    (tmp_path / "wealth.py").write_text(text)
    monkeypatch.setattr("jinliu.report.__path__", [*jinliu.report.__path__, str(tmp_path)])
    monkeypatch.setattr(measuring, "MEASURES", dict(MEASURES))
    monkeypatch.setattr(measuring, "PUT_IN", dict(PUT_IN))
    try:
        assert load.__wrapped__().keys() - MEASURES.keys() == {"wealth.t0"}
    finally:
        sys.modules.pop("jinliu.report.wealth", None)
        vars(jinliu.report).pop("wealth", None)


def test_every_measured_claim_is_read_from_metrics_that_say_they_answer_it(
    seven_years: dict[str, dict[str, Any]],
) -> None:
    answers = {f"metrics.{name}": metric.claims for name, metric in metrics.load().items() if metric.rollups}
    for name, entry in seven_years.items():
        for row in entry["rows"]:
            where = row.split()[0]
            assert where in {*answers, "metrics.accounting", "topic", "simulated"}
            assert name in answers.get(where, [name]), f"{name} is read from {row}"


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
    assert seven_years["wealth.t0"]["set_by"] == []
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
    assert "wealth.t0" in text
    assert "the topic wealth has no source yet" in text
    assert "note on coop.long-tail: cannot last" in text, "not measured in one year"


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
