"""Names of windows, and which are unions of which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.windows import DAY_MS, length_ms, union_of


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("second", 1000),
        ("minute", 60_000),
        ("hour", 3_600_000),
        ("day", DAY_MS),
        ("500ms", 500),
        ("10s", 10_000),
        ("15m", 900_000),
        ("6h", 21_600_000),
        ("7d", 7 * DAY_MS),
        ("month", None),
        ("year", None),
    ],
)
def test_lengths(name: str, length: int | None) -> None:
    assert length_ms(name) == length


@pytest.mark.parametrize("name", ["", "fortnight", "0s", "-1s", "1.5s", "s", "1w", "10 s", "Day", "01s", "1s\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no window"):
        length_ms(name)


@pytest.mark.parametrize(
    ("coarse", "fine", "united"),
    [
        ("day", "hour", True),
        ("hour", "day", False),
        ("month", "day", True),
        ("month", "7d", False),
        ("year", "month", True),
        ("month", "year", False),
        ("month", "month", True),
        ("10s", "second", True),
        ("10s", "3s", False),
        ("7d", "month", False),
        ("year", "36h", False),
        ("72h", "36h", True),
    ],
)
def test_unions(coarse: str, fine: str, united: bool) -> None:
    assert union_of(coarse, fine) is united


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_multiples_and_only_they_are_unions(a: int, b: int) -> None:
    assert union_of(f"{a}ms", f"{b}ms") is (a % b == 0)
