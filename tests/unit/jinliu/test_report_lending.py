"""The report's claims about lending on made-up rows: what they come to, and that each can fail."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from jinliu.report import assess, report
from jinliu.report.apr import instalments, internal_rate_ppm
from jinliu.report.beside import Steps
from jinliu.report.facts import Facts
from tests.unit.jinliu.engine_run import operations, payments, processed
from tests.unit.jinliu.report_lending import MadeUpTopics, MadeUpWorlds, steps
from tests.unit.jinliu.report_world import changed, facts, world
from topologies import claims as paper

LENDING = [name for name in paper.load() if name.startswith(("loan.", "coop."))]
CLAIMS = {name: paper.load()[name] for name in [*LENDING, "api.churn", "org.branch-cost", "pay.bank-profit"]}
BOTH = {"raw": MadeUpTopics(), "worlds": MadeUpWorlds()}


def entries(whole: Facts) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in assess(whole, CLAIMS).as_dict()["claims"]}


@pytest.fixture(scope="module")
def seven_years() -> Facts:
    return facts(date(2018, 1, 1), date(2025, 1, 1), **BOTH)


@pytest.fixture(scope="module")
def found(seven_years: Facts) -> dict[str, dict[str, Any]]:
    return entries(seven_years)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("loan.weilidai-speed", 2.4),
        ("loan.bank-speed", [3.3, 6.4]),
        ("loan.baitiao-users", 240_000_000),
        ("loan.baitiao-bad", 0.032),
        ("loan.baitiao-gap", 0.015),
        ("loan.cmb-delinquency", 0.016),
        ("loan.cmb-coverage", 0.35),
        ("loan.weilidai-bureau", 0.007),
        ("loan.npl-order", [0.006, 0.012]),
        ("loan.sme-days", [15.0, 3.0]),
        ("loan.duplicates", [2 * 46_000, 46_000]),
        ("loan.apr", 1.0),
        ("coop.partnership", True),
        ("coop.cofinance", True),
        ("coop.cap", True),
        ("coop.cap-depth", [2 * 460_000 * 10**6 / 1000 / 100, 2 * 322_000 * 10**6 / 1000 / 100]),
        ("coop.split", 0.3),
        ("coop.capital-cost", 0.025),
        ("coop.long-tail", 0.5),
        ("coop.cac", [135.0, 25.0]),
        ("coop.fee-rise", [0.005, 0.012]),
        ("coop.lanhai-growth", [2.95, 5.6, 3.3]),
        ("coop.lanhai-fall", [0.5, 4.5 / 5.6, 1_400_000]),
        ("coop.overreliance", [0.02 + 0.04 * 0.0625, 0.02 + 0.04 * 0.6]),
        ("api.churn", 0.023),
        ("org.branch-cost", 0.63),
        ("pay.bank-profit", 12 * (10**10 + 0.1)),
    ],
)
def test_each_claim_is_measured_and_holds(found: dict[str, dict[str, Any]], claim: str, value: Any) -> None:
    assert found[claim]["verdict"] == "holds", found[claim]
    assert found[claim]["value"] == pytest.approx(value, rel=1e-3)


def test_what_stands_behind_a_figure_is_said(found: dict[str, dict[str, Any]]) -> None:
    assert "2,112 of 66,000 loans in 66 vintages" in found["loan.baitiao-bad"]["note"]
    assert found["loan.baitiao-bad"]["rows"] == [
        "metrics.default-rates month 2018-01-01 to 2024-12-31 lender=ALL product=BAITIAO (74 windows) vintages funded "
        "2018-01-01 to 2023-06-30"
    ]
    assert "before 1.20% (360 of 30,000 loans in 30 vintages" in found["loan.weilidai-bureau"]["note"]
    assert found["loan.baitiao-users"]["method"] == "Poisson"
    assert found["loan.baitiao-users"]["interval"] == pytest.approx([238.49e6, 241.52e6], rel=1e-4)
    assert "160 loans 30 days or more past due" in found["loan.cmb-delinquency"]["note"]
    assert "4 banks" in found["coop.overreliance"]["note"]
    assert "slope 0.040" in found["coop.overreliance"]["note"]
    assert "of loans that were not referred, slope 0.000" in found["coop.overreliance"]["note"]
    assert found["coop.lanhai-growth"]["interval"][0] is None
    assert "3 offers in 100 of the topic's 100 records" in found["loan.apr"]["note"]
    assert "0 alerts loan-order, 0 steps refused" in found["coop.partnership"]["note"]


def test_a_pair_has_its_interval_from_the_shards(found: dict[str, dict[str, Any]]) -> None:
    assert found["api.churn"]["method"] == "t, by shard"
    assert found["api.churn"]["interval"] == pytest.approx([0.023, 0.023])
    assert "difference -4.6e+04 (-5.422e+04 to -3.778e+04, t, paired by shard)" in found["loan.duplicates"]["note"]
    assert found["loan.sme-days"]["rows"] == [
        f"simulated with data-sharing at {value}: metrics.default-rates month 2022-01-01 to 2022-12-31 lender=ALL "
        "product=SME (2 windows)"
        for value in ("false", "true")
    ]
    assert "BAITIAO 2.3 points" in found["api.churn"]["note"]


Row = dict[str, Any]


def _late_banks(row: Row) -> Row:
    return row | ({"dpd90_weighted_fen": 10**8} if row["lender"] == "TRADITIONAL_BANKS" else {})


def _bad_weilidai(row: Row) -> Row:
    since = row["product"] == "WEILIDAI" and (row["vintage"] or 0) >= 126
    return row | ({"defaulted_weighted_fen": 13 * 10**5} if since and row["months_on_book"] else {})


def _unlike(name: str, value: Any, where: Callable[[Row], bool] = lambda row: True) -> Callable[[Row], Row]:
    return lambda row: row | ({name: value} if where(row) else {})


@pytest.mark.parametrize(
    ("claim", "metric", "change", "reason"),
    [
        ("loan.weilidai-speed", "default-rates", _unlike("approval_p99_ms", 200_000), ""),
        ("loan.bank-speed", "default-rates", _unlike("approval_p5_ms", 2 * 86_400_000), ""),
        ("loan.npl-order", "default-rates", _late_banks, ""),
        ("loan.weilidai-bureau", "default-rates", _bad_weilidai, "not so: after below before"),
        ("coop.partnership", "channel-fees", _unlike("commissions", 0), "not so: one commission was paid for each"),
        ("coop.cofinance", "channel-fees", _unlike("commissions", 1), "no commission where nothing else was referred"),
        (
            "coop.cofinance",
            "channel-fees",
            _unlike("referred_weighted_fen", 500, lambda row: row["platform"] == "huirong"),
            "facilitators' part of all between 1% and 20%",
        ),
        ("coop.cap", "joint-lending", _unlike("platform_share", 0.31), "above it"),
        ("coop.overreliance", "channel-fees", _unlike("referred_defaulted_so_far_weighted_fen", 0), ""),
        ("coop.lanhai-fall", "bank-income", _unlike("fines", 0), "not so: two fines"),
        ("org.branch-cost", "bank-income", _unlike("other_cost_fen", 60), ""),
        ("pay.bank-profit", "bank-income", _unlike("platform_fees_fen", 0), ""),
        ("coop.cac", "institutions", _unlike("own_users", 2), ""),
    ],
)
def test_each_can_fail(seven_years: Facts, claim: str, metric: str, change: Callable[[Row], Row], reason: str) -> None:
    entry = entries(changed(seven_years, metric, change))[claim]
    assert entry["verdict"] == "fails"
    assert reason in entry["reason"]


@pytest.mark.parametrize(
    ("topics", "failing"),
    [
        (MadeUpTopics({"loan-order": 1}), {"coop.partnership", "coop.cofinance"}),
        (MadeUpTopics(dead=1), {"coop.partnership", "coop.cofinance"}),
        (MadeUpTopics({"loan-cap": 2, "other": 1}), {"coop.cap"}),
        (MadeUpTopics(told=steps(195_610)), {"loan.apr"}),
        (MadeUpTopics(told=steps(-1)), {"loan.apr"}),
    ],
)
def test_what_lies_beside_the_rows_can_fail(seven_years: Facts, topics: MadeUpTopics, failing: set[str]) -> None:
    whole = changed(seven_years, "", dict)
    whole._raw = topics
    assert {name for name, entry in entries(whole).items() if entry["verdict"] == "fails"} == failing


def test_the_worst_offer_is_told(seven_years: Facts) -> None:
    whole = changed(seven_years, "", dict)
    whole._raw = MadeUpTopics(told=steps(215_606))
    entry = entries(whole)["loan.apr"]
    assert entry["value"] == pytest.approx(2 / 3)
    assert "worst: 20,000 millionths off in an offer of 3,000.00 yuan" in entry["note"]


def test_customers_that_a_bank_introduces_are_seen_abroad(seven_years: Facts) -> None:
    whole = changed(seven_years, "", dict)
    assert entries(whole)["coop.reverse-referral"]["reason"] == "measured in the scenario abroad, which this run is not"
    lending = whole.topology.lending
    regional = lending.regional.model_copy(update={"introduced": 0.35})  # type: ignore[union-attr]
    whole.topology.lending = lending.model_copy(update={"regional": regional})
    assert entries(whole)["coop.reverse-referral"]["verdict"] == "fails", "the platform introduced all"
    whole._raw = MadeUpTopics(told=steps(referrals={("COFINANCED", "BANK"): 3, ("COFINANCED", "PLATFORM"): 5}))
    entry = entries(whole)["coop.reverse-referral"]
    whole.topology.lending = lending
    assert entry["verdict"] == "holds"
    assert "3 by the bank, 5 by the platform" in entry["note"]


def test_a_short_run_says_what_it_would_take() -> None:
    short = entries(facts(date(2022, 1, 1), date(2023, 1, 1), **BOTH))
    assert short["loan.baitiao-bad"]["reason"] == (
        "needs loans funded 18 months before the run's end; this one is over 2022-01-01 to 2022-12-31"
    )
    assert "2018-01-01 to 2023-12-31" in short["coop.fee-rise"]["reason"]
    assert "2023-01-01 to 2024-12-31" in short["coop.lanhai-fall"]["reason"]
    assert "2021-01-01 to 2021-12-31" in short["coop.long-tail"]["reason"]
    assert "at least 24 whole months" in short["coop.overreliance"]["reason"]
    assert short["loan.cmb-delinquency"]["method"] == "t, by month"
    assert short["loan.duplicates"]["verdict"] == "holds", "it needs no run"
    assert short["coop.cap"]["verdict"] == "holds"


def test_rows_without_such_loans_measure_nothing() -> None:
    empty = changed(
        facts(date(2018, 1, 1), date(2025, 1, 1)),
        "default-rates",
        lambda row: row | {"lender": "none", "product": "none"},
    )
    found = entries(empty)
    assert found["loan.weilidai-speed"]["reason"] == "there is no approval of WEILIDAI in the closed windows"
    assert {found[name]["verdict"] for name in LENDING if name.startswith("loan.") and name != "loan.cmb-coverage"} == {
        "not measured"
    }
    assert found["loan.sme-days"]["reason"] == "needs two worlds, simulated one lever apart"
    assert found["loan.apr"]["reason"] == "needs the run's own topics, not its metrics alone"


def test_a_world_that_tells_no_loans_is_reported_all_the_same() -> None:
    log = processed({"payments": payments(), "operations": operations()})
    made: Any = world()
    made.roster = lambda topic: ()
    found = {each.claim.id: each for each in report("", "", made, CLAIMS, log=log).findings}
    assert {each.verdict for each in found.values()} == {"not measured"}
    assert found["loan.apr"].reason == "no source of the run tells loans"
    assert found["loan.duplicates"].reason == "topology made-up has no source that tells loans"


def test_a_metric_that_a_world_does_not_compute_is_named() -> None:
    whole = facts(date(2022, 1, 1), date(2023, 1, 1))
    bare = Facts({}, whole.start_ms, whole.end_ms, whole.topology, untold={"default-rates": "loans"})
    (finding,) = assess(bare, {"loan.npl-order": CLAIMS["loan.npl-order"]}).findings
    assert finding.reason == "topology made-up has no source that tells loans, so there is no metrics.default-rates"


def test_too_few_applicants_tell_no_churn(seven_years: Facts) -> None:
    class Small(MadeUpWorlds):
        def _rows(self, lever: str, value: Any, metric: str, products: Any, n: int) -> list[Mapping[str, Any]]:
            rows = super()._rows(lever, value, metric, products, n)
            return [dict(row) | {"approvals": 1, "abandoned": 1} for row in rows]

    whole = changed(seven_years, "", dict)
    whole._worlds = Small()
    assert "needs at least 5,400 applicants in both worlds; there are 48" in entries(whole)["api.churn"]["reason"]


@pytest.mark.parametrize(
    ("amount", "fee", "rate_ppm", "months"),
    [
        (300_000, 0, 180_000, 12),
        (10_000, 0, 360_000, 3),
        (4_000_000, 80_000, 240_000, 36),
        (1_000_000, 0, 0, 7),
        (10**9, 0, 90_000, 12),
        (500_000, 0, 150_000, 1),
    ],
)
def test_the_internal_rate_against_decimals(amount: int, fee: int, rate_ppm: int, months: int) -> None:
    """Newton's method in 50 digits on the same cash flows."""
    columns = {"amount_fen": amount, "fee_fen": fee, "rate_ppm": rate_ppm, "months": months, "apr_ppm": 0}
    told = Steps(1, 1, {name: np.array([value], np.int64) for name, value in columns.items()}, {})
    paid = instalments(told.offers["amount_fen"], told.offers["rate_ppm"], months)[0].tolist()
    assert max(paid[:-1], default=paid[0]) == paid[0] >= paid[-1]
    with localcontext() as context:
        context.prec = 50
        v = Decimal(1)
        for _ in range(60):
            worth = sum((part * v ** (k + 1) for k, part in enumerate(paid)), Decimal(fee - amount))
            v -= worth / sum(((k + 1) * part * v**k for k, part in enumerate(paid)), Decimal(0))
        exact = (1 / v) ** 12 - 1
    assert internal_rate_ppm(told)[0] == pytest.approx(float(exact) * 1e6, abs=1e-3)


def test_an_offer_that_lacks_something_has_no_rate() -> None:
    columns = {"amount_fen": [100, 100], "fee_fen": [-1, 100], "rate_ppm": [1, 1], "months": [3, 3], "apr_ppm": [0, 0]}
    told = Steps(2, 2, {name: np.array(values, np.int64) for name, values in columns.items()}, {})
    assert np.isnan(internal_rate_ppm(told)).all()
