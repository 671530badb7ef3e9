"""The clock without Kafka: where the horizon belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.clock import Pace
from producers.errors import ProducerError
from producers.policies import CLOCK, Anchor
from producers.runrecord import Run

DAY_MS = 86_400_000
RUN = Run("r", 1, "t", "d", {"payments": ("a", "b"), "operations": ("a",)}, 0, 100 * DAY_MS)


def pace(speed: float | None = None, lead: int = 5) -> Pace:
    return Pace(RUN, DAY_MS, lead, speed)


def moved(clock: Pace, wall_ms: int) -> int | None:
    decision = clock.move(wall_ms)
    if decision is None:
        return None
    assert (decision.lever, decision.origin) == ("horizon", CLOCK)
    return decision.effective_ms // DAY_MS


def test_at_full_speed_it_leads_the_slowest_source() -> None:
    clock = pace()
    assert moved(clock, 0) == 5
    assert moved(clock, 10) is None
    clock.reached("a", 3 * DAY_MS, False)
    assert moved(clock, 20) is None
    clock.reached("b", 2 * DAY_MS, False)
    assert moved(clock, 30) == 7
    clock.reached("b", 99 * DAY_MS, False)
    assert moved(clock, 40) == 8
    clock.reached("a", 99 * DAY_MS, False)
    assert moved(clock, 50) == 100


def test_at_a_speed_it_leads_simulated_time_by_whole_ticks() -> None:
    clock = pace(speed=86_400.0)
    first = clock.move(1_000)
    assert first is not None
    assert first.effective_ms == 5 * DAY_MS
    assert Anchor.read(first.value) == Anchor(0, 1_000, 86_400.0)
    clock.reached("a", 50 * DAY_MS, False)
    clock.reached("b", 50 * DAY_MS, False)
    assert moved(clock, 1_999) is None
    assert moved(clock, 2_000) == 6
    assert moved(clock, 4_500) == 8


def test_at_a_speed_slow_sources_hold_it() -> None:
    clock = pace(speed=86_400.0)
    clock.move(0)
    clock.reached("a", 9 * DAY_MS, False)
    assert moved(clock, 60_000) is None
    clock.reached("b", DAY_MS, False)
    assert moved(clock, 60_000) == 6


def test_after_a_restart_it_goes_on_from_the_last_horizon_and_the_slowest_source() -> None:
    clock = pace(speed=86_400.0)
    clock.resume(20 * DAY_MS)
    clock.reached("a", 17 * DAY_MS, False)
    clock.reached("b", 14 * DAY_MS, False)
    first = clock.move(7_000)
    assert first is not None
    assert first.effective_ms == 20 * DAY_MS
    assert Anchor.read(first.value) == Anchor(14 * DAY_MS, 7_000, 86_400.0)
    assert moved(clock, 8_000) is None


def test_it_ends_when_every_source_has_closed() -> None:
    clock = pace()
    clock.reached("a", 100 * DAY_MS, True)
    clock.reached("stranger", 0, False)
    assert not clock.ended
    clock.reached("b", 100 * DAY_MS, True)
    clock.reached("b", 99 * DAY_MS, False)
    assert clock.ended


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100), st.integers(0, 5_000)), max_size=40),
    st.one_of(st.none(), st.floats(1.0, 1e7)),
)
def test_the_horizon_only_grows_within_the_lead_and_the_span(
    steps: list[tuple[str, int, int]], speed: float | None
) -> None:
    clock, wall, ends, last = pace(speed), 0, {"a": 0, "b": 0}, 0
    for source, day, passed in steps:
        clock.reached(source, day * DAY_MS, False)
        ends[source] = max(ends[source], day)
        wall += passed
        horizon = moved(clock, wall)
        if horizon is not None:
            assert horizon > last
            assert horizon <= min(100, min(ends.values()) + 5)
            last = horizon


def test_the_speed_must_be_positive() -> None:
    for speed in (0.0, -1.0, float("nan")):
        with pytest.raises(ProducerError, match="must be above 0"):
            pace(speed)
