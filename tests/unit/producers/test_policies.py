"""The policy log: everybody who reads it comes to the same levers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.policies import CLOCK, HORIZON, LIVE, TOPOLOGY, Anchor, Decision, PolicyLog
from schemas import catalog, wire


def horizon(at_ms: int, wall_ms: int = 5, speed: float | None = None) -> Decision:
    return Decision(HORIZON, Anchor(at_ms - 10, wall_ms, speed).text(), at_ms, CLOCK)


def lever(at_ms: int, value: Any = 1, origin: str = LIVE) -> Decision:
    return Decision("route", json.dumps(value), at_ms, origin)


def read(*decisions: Decision) -> PolicyLog:
    log = PolicyLog()
    for decision in decisions:
        log.add(decision)
    return log


def test_before_the_clock_nothing_may_be_told() -> None:
    log = read(lever(5))
    assert log.horizon_ms is None
    assert log.decisions == [lever(5)]


def test_a_lever_behind_a_horizon_that_reached_it_is_void(caplog: pytest.LogCaptureFixture) -> None:
    log = read(horizon(100), lever(100), lever(101), horizon(200), lever(150), lever(201))
    assert log.decisions == [lever(101), lever(201)]
    assert caplog.text.count("is void") == 2


def test_a_horizon_never_moves_back_but_the_pace_is_the_last_one() -> None:
    log = read(horizon(100, speed=2.0), horizon(60, wall_ms=9))
    assert log.horizon_ms == 100
    assert log.anchor == Anchor(50, 9, None)


def test_copies_say_nothing_new() -> None:
    assert read(
        lever(5, origin=TOPOLOGY), lever(5, origin=TOPOLOGY), horizon(7), lever(5, origin=TOPOLOGY)
    ).decisions == [lever(5, origin=TOPOLOGY)]


def test_a_lever_may_be_moved_back_to_where_it_was() -> None:
    there, back = lever(100, 0.2), lever(100, 0.5)
    assert read(there, back, there).decisions == [there, back, there]
    first = lever(100, 0.1, TOPOLOGY)
    assert read(first, there, first).decisions == [first, there], "a late copy of the topology's overrules nobody"


def test_a_horizon_that_is_not_the_clocks_is_ignored() -> None:
    log = read(
        Decision(HORIZON, "{}", 900, LIVE),
        Decision(HORIZON, "nonsense", 900, CLOCK),
        Decision(HORIZON, "[]", 900, CLOCK),
    )
    assert log.horizon_ms is None
    assert log.decisions == []


@pytest.mark.parametrize(
    "anchor",
    [
        "[" * 100_000,
        '{"at": 1e400, "wall": 0, "speed": 1}',
        '{"at": 1' + "0" * 4000 + ', "wall": 0, "speed": 1}',
        '{"at": 0, "wall": 9223372036854775808, "speed": 1}',
        '{"at": 0.5, "wall": 0, "speed": 1}',
        '{"at": true, "wall": 0, "speed": 1}',
        '{"at": 0, "wall": "0", "speed": 1}',
        '{"at": 0, "wall": 0}',
        *(
            f'{{"at": 0, "wall": 0, "speed": {speed}}}'
            for speed in ("1e400", "NaN", "Infinity", "0", "-1", "true", '"x"', "[]", "1" + "0" * 400)
        ),
    ],
)
def test_a_horizon_with_a_forged_anchor_is_ignored(anchor: str, caplog: pytest.LogCaptureFixture) -> None:
    log = read(horizon(100, speed=2.0), Decision(HORIZON, anchor, 900, CLOCK))
    assert log.horizon_ms == 100
    assert log.anchor == Anchor(90, 5, 2.0)
    assert "unreadable anchor" in caplog.text
    assert len(caplog.text) < 1_000


def test_an_absurd_anchor_that_can_be_read_still_gives_a_time() -> None:
    anchor = Anchor.read('{"at": 0, "wall": 9223372036854775807, "speed": 1e308}')
    assert int(anchor.now_ms(5)) == -(1 << 63)
    assert Anchor.read('{"at": 0, "wall": -9223372036854775808, "speed": 1e308}').now_ms(5) == float("inf")
    assert Anchor.read('{"at": 1, "wall": 2, "speed": 86400}') == Anchor(1, 2, 86_400.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=30))
def test_no_lever_takes_effect_in_time_that_may_have_been_told(entries: list[tuple[bool, int]]) -> None:
    log = PolicyLog()
    for moves, at_ms in entries:
        before = log.horizon_ms
        taken = log.add(horizon(at_ms) if moves else lever(at_ms))
        assert not taken or before is None or at_ms > before


def test_simulated_time_follows_the_anchor() -> None:
    anchor = Anchor(1_000, 50_000, 60.0)
    assert anchor.now_ms(50_500) == 31_000
    assert Anchor(1_000, 50_000, None).now_ms(0) == float("inf")
    assert Anchor.read(anchor.text()) == anchor


def test_decisions_survive_the_wire() -> None:
    value = wire.encode("policy", lever(7).record(), catalog.ids())
    assert Decision.read(wire.decode(value)[1]) == lever(7)
