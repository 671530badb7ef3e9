"""Checks and intervals of the report."""

from typing import Any

import pytest

from jinliu.report import intervals
from jinliu.report.checks import holds, number, tolerance
from jinliu.report.measured import Measured
from topologies.claims import Claim


def claim(check: str, value: Any, within: Any = None) -> Claim:
    return Claim(
        id="pay.x",
        at="1",
        says="s",
        measure="m",
        check=check,
        value=value,
        within=within,
        kind="set",  # type: ignore[arg-type]
    )


def measured(value: Any, **other: Any) -> Measured:
    return Measured(value, (None,), (), **other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200 ms", 200.0),
        ("1.5 pp", 0.015),
        ("1e-4 failures", 1e-4),
        ("5.0e5 per second", 5e5),
        (3, 3.0),
        ("overall", None),
    ],
)
def test_figures_are_read_with_their_units(text: Any, expected: float | None) -> None:
    assert number(text) == pytest.approx(expected) if expected is not None else number(text) is None


@pytest.mark.parametrize(
    ("check", "paper", "within", "value", "held"),
    [
        ("eq", 0.08, 0.005, 0.0849, True),
        ("eq", 0.08, 0.005, 0.0851, False),
        ("eq", 3.5e14, 0.02, 3.56e14, True),
        ("eq", 3.5e14, 0.02, 3.6e14, False),
        ("eq", (45, 7), 0.05, (44.0, 7.0), True),
        ("eq", (45, 7), 0.05, (44.0, 7.5), False),
        ("eq", 0, None, 0.0, True),
        ("eq", 0, None, 1e-9, False),
        ("eq", "3 s", "0.5 s", 3.4, True),
        ("eq", "1.5 pp", "0.4 pp", 0.012, True),
        ("gt", 0.9, None, 0.91, True),
        ("gt", 0.9, None, 0.9, False),
        ("gte", 1e9, 0.01, 0.995e9, True),
        ("lt", "200 ms", None, 199.0, True),
        ("lt", "200 ms", None, 200.0, False),
        ("between", (3, 7), None, 5.0, True),
        ("between", ((120, 150), (20, 30)), None, (130.0, 31.0), False),
        ("between", ("3 d", "7 d"), None, (3.2, 6.4), True),
        ("between", ("3 d", "7 d"), None, (2.9, 6.4), False),
        ("between", ((0.45, 0.6), (0, 0.99), 1400000), None, (0.5, 0.9, 1.4e6), True),
        ("between", ((0.45, 0.6), (0, 0.99), 1400000), None, (0.5, 0.9, 1.5e6), False),
        ("direction", "up", None, (0.1, 0.2), True),
        ("direction", "down", None, (0.1, 0.2), False),
        ("order", "bank < platform", None, (0.01, 0.02), True),
        ("order", "bank < platform", None, (0.02, 0.01), False),
        ("all", None, None, True, True),
        ("all", None, None, 0.999, False),
        ("gt", 0.0, None, float("nan"), False),
    ],
)
def test_each_check_can_hold_and_fail(check: str, paper: Any, within: Any, value: Any, held: bool) -> None:
    assert holds(claim(check, paper, within), measured(value)) is held


def test_what_a_claim_says_in_words_the_measurement_names() -> None:
    assert holds(claim("gt", "overall"), measured(0.5, against=0.4))
    assert not holds(claim("gt", "overall"), measured(0.5, against=0.6))
    with pytest.raises(ValueError, match="no number"):
        holds(claim("gt", "overall"), measured(0.5))


def test_a_condition_besides_must_hold_too() -> None:
    assert not holds(claim("lt", 200), measured(150.0, besides={"some exceed it": False}))


def test_tolerances_are_distances_for_shares_and_relative_for_volumes() -> None:
    assert tolerance(claim("eq", 0.08, 0.005), 0.08) == 0.005
    assert tolerance(claim("eq", 1.2e9, 0.02), 1.2e9) == pytest.approx(2.4e7)
    assert tolerance(claim("eq", 1.15, 0.02), 1.15) == 0.02


def test_intervals_against_published_figures() -> None:
    wilson = intervals.wilson(15, 148)  # Newcombe, Statistics in Medicine 17 (1998), table I
    assert (wilson.low, wilson.high) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    exact = intervals.clopper_pearson(15, 148)
    assert (exact.low, exact.high) == pytest.approx((0.0578, 0.1617), abs=1e-4)
    none = intervals.clopper_pearson(0, 20)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1684), abs=1e-4)


def test_a_ratio_without_scatter_has_no_width_and_one_cluster_no_interval() -> None:
    interval = intervals.ratio([1, 2, 3], [10, 20, 30], "month")
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert intervals.ratio([1], [10], "month") is None
    assert intervals.total([5.0], "month") is None


def test_a_count_has_the_exact_poisson_interval() -> None:
    ten = intervals.poisson(10, 2.0)  # Garwood, Biometrika 28 (1936): 4.795 to 18.39
    assert (ten.low, ten.high) == pytest.approx((2 * 4.795, 2 * 18.391), rel=1e-3)
    none = intervals.poisson(0)
    assert (none.low, none.high) == pytest.approx((0.0, 3.689), abs=1e-3)


def test_growth_of_a_count_is_uncertain_as_both_counts_are() -> None:
    grown = intervals.growth(150.0, 150.0, 100.0, 100.0)
    assert (grown.low, grown.high) == pytest.approx((0.165, 0.932), abs=1e-3)  # 1.5 * exp(-+1.96 * sqrt(1/150 + 1/100))
    weighted = intervals.growth(1500.0, 15_000.0, 1000.0, 10_000.0)
    assert (weighted.low, weighted.high) == pytest.approx((grown.low, grown.high))


def test_a_difference_of_ratios_is_paired() -> None:
    parts, wholes = [1.0, 3.0, 2.0], [10.0, 20.0, 30.0]
    alike = intervals.difference((parts, wholes), ([each / 2 for each in parts], wholes), "vintage")
    half = intervals.ratio([each / 2 for each in parts], wholes, "vintage")
    assert alike is not None
    assert half is not None
    assert (alike.low, alike.high) == pytest.approx((half.low, half.high))
    assert alike.method == "ratios, paired by vintage"
    assert intervals.difference(([1.0], [2.0]), ([1.0], [2.0]), "vintage") is None
    assert intervals.scaled(half, 2.0) == intervals.Interval(2 * half.low, 2 * half.high, half.method)
    assert intervals.scaled(None, 2.0) is None


def test_a_line_against_a_published_regression() -> None:
    """Anscombe, The American Statistician 27 (1973), first set: slope 0.5001 +- 0.1179, intercept 3.0001."""
    x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0]
    y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    line = intervals.line(x, y)
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx((0.5001, 3.0001), abs=1e-4)
    assert line.slope_interval.high - line.slope == pytest.approx(2.2622 * 0.1179, abs=1e-4)
    height, bounds = line.at(9.0)
    assert height == pytest.approx(7.5009, abs=1e-4)
    assert bounds.high - height == pytest.approx(2.2622 * 1.2366 / 11**0.5, abs=1e-3)
    assert intervals.line([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert intervals.line([1.0, 2.0], [1.0, 2.0]) is None


def test_a_mean_has_students_interval() -> None:
    interval = intervals.mean([1.0, 2.0, 3.0, 4.0, 5.0], "day")
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((1.0368, 4.9632), abs=1e-4)
