"""The packaged worlds hold what the design asks of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

import topologies
from topologies import Topology, TopologyError, claims
from topologies.citation import numbers

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def china() -> Topology:
    return topologies.load("china")


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def test_every_packaged_world_loads_under_its_own_name() -> None:
    assert {"china", "one-to-one", "small", "capacity-as-stated"} <= set(topologies.worlds())
    assert [topologies.load(world).name for world in topologies.worlds()] == list(topologies.worlds())


def test_the_scale_of_the_baseline(china: Topology) -> None:
    scale = china.scale
    assert (scale.weight, scale.person_weight, scale.rare_weight, scale.shards) == (1_000_000, 10_000, 10_000, 8)
    assert (scale.tick_ms, scale.lateness_ticks, scale.patience_ticks, scale.lead_ticks) == (DAY_MS, 1, 60, 30)
    assert (china.span.start_ms, china.span.end_ms) == (at(2018, 1, 1), at(2025, 1, 1))
    assert china.population == china.economy.adults // 10_000
    assert china.windows["market-share"] == ("day", "month", "year")
    assert china.windows["payment-quality"] == china.windows["institutions"] == ("month", "year")
    assert china.windows["accounting"] == ()
    assert china.windows["default"] == ("day", "month", "year")


def test_its_institutions(china: Topology) -> None:
    kinds = Counter(institution.kind for institution in china.institutions)
    assert len(china.banks) == 30
    assert (kinds["state-bank"], kinds["city-bank"], kinds["platform"], kinds["clearing-platform"]) == (6, 6, 3, 1)
    assert {"cmb", "spdb", "citic", "ping-an", "lan-hai", "webank"} <= set(china.banks)
    assert china.lending.regional is not None
    assert china.lending.regional.banks["lan-hai"].weight == 70
    assert (
        sum(china.institution[bank].certified is not None for bank in china.banks)
        == claims.load()["api.certified"].value
    )
    assert 5 <= sum(institution.legacy_core for institution in china.institutions) < 30


def test_its_sources_tell_everybody_once(china: Topology) -> None:
    assert china.roster("payments") == china.roster("operations") == ("alipay", "wechat-pay", "unionpay", "banks")
    assert china.roster("loans") == ("alipay", "banks", "jd")
    told = [name for source in china.sources for name in source.institutions]
    assert sorted(told) == sorted(set(told))
    assert set(told) == {institution.id for institution in china.institutions} - {"nucc", "tongda", "huirong"}


def test_its_decisions(china: Topology) -> None:
    assert [(p.value, p.effective_ms) for p in china.policies if p.lever == "route"] == [
        ("DIRECT", at(2018, 1, 1)),
        ("NETWORK", at(2018, 6, 30)),
    ]
    assert list(china.policies) == sorted(china.policies, key=lambda policy: (policy.effective_ms, policy.lever))
    assert all(policy.effective_ms % DAY_MS == 0 for policy in china.policies)
    assert {policy.lever for policy in china.policies} == set(china.levers)
    assert (china.levers_at(at(2018, 6, 29))["route"], china.levers_at(at(2018, 6, 30))["route"]) == (
        "DIRECT",
        "NETWORK",
    )
    assert china.levers_at(at(2018, 12, 31))["reserves"] == "COMMERCIAL_BANKS"
    assert china.levers_at(at(2019, 12, 31))["reserves"] == "CENTRAL_BANK"


def test_a_lever_takes_what_it_allows_and_says_so(china: Topology) -> None:
    china.check_lever("route", "DIRECT")
    china.check_lever("network-capacity", 1)
    with pytest.raises(TopologyError, match=r"levers\.route: 'BOTH' is not allowed; allowed: one of DIRECT, NETWORK"):
        china.check_lever("route", "BOTH")
    with pytest.raises(
        TopologyError, match=r"levers\.joint-loan-cap: true is not allowed; allowed: a number from 0 to 1 \(share\)"
    ):
        china.check_lever("joint-loan-cap", True)
    with pytest.raises(TopologyError, match=r"levers\.routes: no such lever; allowed: one of .*route"):
        china.check_lever("routes", "DIRECT")


@pytest.mark.parametrize("world", topologies.worlds())
def test_every_figure_is_cited(world: str) -> None:
    topology = topologies.load(world)
    figures = {figure.field: figure for figure in topology.cited()}
    assert {path for path, _ in numbers(topology.figured(), "")} <= set(figures)
    assert all(figure.free or figure.claim or figure.source.startswith("external: ") for figure in figures.values())
    assert all(math.isfinite(figure.value) for figure in figures.values())
    assert figures["levers.joint-loan-cap.baseline"].claim == "coop.cap"
    if not topology.roster("payments"):
        return  # a world of loans alone says nothing of the baseline's payments
    assert figures["economy.bureau_share"].claim == "loan.cmb-coverage"


def test_the_scale_of_one_to_one() -> None:
    world = topologies.load("one-to-one")
    assert (world.scale.weight, world.scale.rare_weight, world.scale.tick_ms) == (1, 1, 1000)
    assert world.span.end_ms - world.span.start_ms == 3_600_000
    assert world.windows["market-share"] == ("second", "10s", "minute")
    day = world.economy.volume.payments_billion_a_day[date(2022, 1, 1)] * world.economy.volume.scale
    hours = world.economy.calendar.hours
    assert day * 1e9 / 86_400 * max(hours) * len(hours) / sum(hours) == pytest.approx(145_000)
    assert world.institutions == topologies.load("china").institutions


def test_small_is_small() -> None:
    world = topologies.load("small")
    assert world.scale.shards == 2
    assert world.span.end_ms - world.span.start_ms == 61 * DAY_MS
    assert world.population < 20_000


def test_scenarios_differ_from_the_baseline_in_one_lever(china: Topology) -> None:
    for name, lever in [
        ("capacity-as-stated", "network-capacity"),
        ("direct", "route"),
        ("federated", "federated"),
        ("no-device-step", "device-step"),
    ]:
        world = topologies.load(name)
        differing = {key for key in china.levers if world.levers[key] != china.levers[key]}
        assert differing == {lever}
        assert world.economy == china.economy
        assert world.scale == china.scale
    stated = topologies.load("capacity-as-stated").levers["network-capacity"].baseline
    assert stated == float(claims.load()["clear.peak"].value) / 1e9  # type: ignore[arg-type]


def test_a_span_may_end_with_a_day_or_at_a_time(over_china: Callable[[str], Topology]) -> None:
    days = over_china("span: {from: 2022-01-01, to: 2022-01-02}").span
    assert days.end_ms - days.start_ms == 2 * DAY_MS
    times = over_china("scale: {tick: hour}\nspan: {from: 2022-01-01, to: 2022-01-02 00:00:00}").span
    assert times.end_ms - times.start_ms == DAY_MS


def test_a_world_is_frozen(china: Topology) -> None:
    with pytest.raises(ValueError, match="frozen"):
        china.scale.shards = 3


def test_overlays_lie_over_each_other_and_over_paths(write: Callable[..., object]) -> None:
    write("over: small\nname: base\nscale: {shards: 4}\n", "base.yaml")
    world = topologies.load(write("over: base.yaml\nname: mine\nscale: {weight: 5000000}\n"))  # type: ignore[arg-type]
    assert (world.scale.shards, world.scale.weight, world.scale.person_weight) == (4, 5_000_000, 100_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("over: mine.yaml\nname: mine\n", r"mine\.yaml:1: over: mine\.yaml lies over this file in turn"),
        ("name: mine\n\nover: chna\n", r"mine\.yaml:3: over: no world 'chna' \(did you mean china\?\); allowed: "),
        ("over: other.yaml\nname: mine\n", r"mine\.yaml:1: over: no file 'other\.yaml'; allowed: "),
        ("over: [china]\nname: mine\n", r"mine\.yaml:1: over: \['china'\] is not allowed; allowed: "),
        ("over: china\n", r"mine\.yaml:1: name: is missing; allowed: a name of its own"),
    ],
)
def test_a_wrong_base_is_told(write: Callable[..., object], text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        topologies.load(write(text))  # type: ignore[arg-type]
