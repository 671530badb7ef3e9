"""The recursion by day: properties of the choice model and what levers do on their date."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from producers import levers, policies, seasons
from producers.economy import DAY_MS, Economy
from producers.generator import Generator
from producers.levers import LeverError
from producers.options import Options
from producers.people import People
from producers.run import economy_generators
from topologies import Topology

CHINA = topologies.load("china")
BASE = Economy(CHINA, 7)


def at(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


def changed(section: str, **figures: Any) -> Topology:
    """China with some economy figures changed, named `key` or `key__inner`."""
    data = CHINA.economy.model_dump()
    for path, value in figures.items():
        place = data[section]
        *outer, last = path.split("__")
        for key in outer:
            place = place[key]
        place[last] = value
    return CHINA.model_copy(update={"economy": type(CHINA.economy).model_validate(data)})


@settings(max_examples=25, deadline=None)
@given(day=st.integers(0, 2556))
def test_shares_sum_to_one_and_volume_meets_demand(day: int) -> None:
    state = BASE.day(day)
    assert state.share.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-12)
    assert (state.volume >= 0).all()
    demanded = seasons.demand(CHINA.economy, day + 1, BASE.first)[day]
    assert state.volume.sum(axis=(0, 1, 3)) == pytest.approx(demanded, rel=1e-12)


@settings(max_examples=8, deadline=None)
@given(channel=st.sampled_from(["ALIPAY", "WECHAT_PAY", "UNIONPAY", "BANK"]), extra=st.floats(0.5, 20))
def test_more_friction_means_less_share(channel: str, extra: float) -> None:
    seconds = CHINA.economy.channels[channel].seconds  # type: ignore[index]
    slower = Economy(changed("channels", **{f"{channel}__seconds": seconds + extra}), 7)
    code = ["ALIPAY", "WECHAT_PAY", "UNIONPAY", "BANK"].index(channel)
    d = BASE.index(at(date(2022, 6, 1)))
    assert (slower.day(d).share[:, code] < BASE.day(d).share[:, code]).all()


def test_network_effect_widens_the_leaders_lead() -> None:
    d = BASE.index(at(date(2022, 6, 1)))
    loner = Economy(changed("choice", network=0.0), 7)
    assert BASE.day(d).share[:, 0].mean() > loner.day(d).share[:, 0].mean()


def test_the_same_day_is_the_same_whatever_was_asked_before() -> None:
    again = Economy(CHINA, 7)
    again.day(2556)
    for d in (0, 100, 1600):
        assert again.day(d).volume.tobytes() == BASE.day(d).volume.tobytes()


def test_the_route_switches_on_its_date() -> None:
    d = BASE.index(at(date(2018, 6, 30)))
    assert not BASE.day(d - 1).routed
    assert BASE.day(d).routed


def test_a_live_lever_leaves_earlier_days_alone() -> None:
    d = BASE.index(at(date(2022, 3, 1)))
    moved = Economy(CHINA, 7, [("device-step", False, at(date(2022, 3, 1)))])
    assert moved.day(d - 1).volume.tobytes() == BASE.day(d - 1).volume.tobytes()
    assert moved.day(d + 60).share[:, 3].sum() > BASE.day(d + 60).share[:, 3].sum()
    run = Options("127.0.0.1:1", "", CHINA, 7, CHINA.span.start_ms, CHINA.span.end_ms)
    told = policies.Decision("device-step", "false", at(date(2022, 3, 1)), policies.LIVE)
    generator = economy_generators(run, [told])["banks"]  # what a source builds anew when a live lever comes
    assert isinstance(generator, Generator)
    assert generator.economy.day(d + 60).volume.tobytes() == moved.day(d + 60).volume.tobytes()


def test_a_lever_moved_within_a_day_holds_from_the_next() -> None:
    d = BASE.index(at(date(2022, 3, 1)))
    moved = Economy(CHINA, 7, [("device-step", "false", at(date(2022, 3, 1)) + 1)])
    assert moved.day(d).device
    assert not moved.day(d + 1).device


def test_levers_that_nothing_acts_on_are_told_and_wrong_values_refused(caplog: pytest.LogCaptureFixture) -> None:
    levers._warn.cache_clear()
    d = BASE.index(at(date(2022, 3, 1)))
    for _ in range(2):
        moved = Economy(CHINA, 7, [("sandbox-pilots", 3, 0), ("device-step", True, 0)])
    assert moved.day(d).volume.tobytes() == BASE.day(d).volume.tobytes()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("lever sandbox-pilots is recorded but nothing acts on it yet")
    with pytest.raises(LeverError, match="route"):
        Economy(CHINA, 7, [("route", "SIDEWAYS", 0)])


@pytest.mark.parametrize(
    ("lever", "value"), [("route", "DIRECT"), ("network-capacity", 1), ("device-step", False), ("federated", True)]
)
def test_each_lever_that_is_said_to_act_moves_the_world(lever: str, value: Any) -> None:
    CHINA.check_lever(lever, value)
    first = at(date(2022, 3, 1))
    days = slice(BASE.index(first), BASE.index(first) + 30)
    out, base = Economy(CHINA, 7, [(lever, value, first)]).out, BASE.out
    assert any((getattr(out, name)[days] != getattr(base, name)[days]).any() for name in ("volume", "recall"))


def test_the_levers_said_to_act_are_the_topologys() -> None:
    assert levers.ACTING.keys() < CHINA.levers.keys()


def test_an_overlay_is_told_which_of_its_levers_nothing_acts_on(tmp_path: Path) -> None:
    assert levers.decided_in_vain(CHINA) == ()
    assert [name for name in topologies.worlds() if levers.decided_in_vain(topologies.load(name))] == []
    overlay = tmp_path / "capped.yaml"
    overlay.write_text(
        "over: china\nname: capped\nlevers:\n  licence-rule: {decisions: []}\n  localisation: {baseline: true}\n"
        "  federated: {baseline: true}\n  e-cny: {about: Other words.}\n"
    )
    assert levers.decided_in_vain(topologies.load(overlay)) == ("licence-rule", "localisation")


def test_federated_learning_raises_recall_and_small_capacity_overflows() -> None:
    d = BASE.index(at(date(2022, 6, 1)))
    shared = Economy(CHINA, 7, [("federated", True, at(date(2022, 1, 1)))]).day(d)
    assert shared.recall / BASE.day(d).recall == pytest.approx(1.27, abs=0.06)
    assert BASE.day(d).overflow == 0.0
    assert Economy(CHINA, 7, [("network-capacity", 1, at(date(2022, 1, 1)))]).day(d).overflow > 0.1


def test_people_are_functions_of_seed_and_id() -> None:
    people = People(CHINA, 7)
    everyone = people.of(np.arange(people.population))
    some = people.of(np.array([70_000, 3]))
    for name, column in everyone.items():
        assert column[[70_000, 3]].tolist() == some[name].tolist()
    assert everyone["bureau"].mean() == pytest.approx(0.35, abs=0.01)
    assert everyone["adoption_rank"].mean() == pytest.approx(0.5, abs=0.01)
    assert np.bincount(everyone["segment"]) / people.population == pytest.approx([0.28, 0.52, 0.12, 0.08], abs=1e-4)
    assert People(CHINA, 8).of(np.arange(9))["taste"].tolist() != everyone["taste"][:9].tolist()
