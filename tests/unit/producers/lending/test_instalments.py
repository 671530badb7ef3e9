"""Schedules add up to the fen; the rate is the internal rate of the cash flows, found by another way."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from producers.lending.instalments import PRINCIPAL_FEN_MAX, apr_ppm, schedule

LOANS = st.lists(
    st.tuples(st.integers(1, PRINCIPAL_FEN_MAX), st.integers(0, 10**6), st.integers(1, 60)), min_size=1, max_size=8
)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def columns(loans: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    principal, rate, months = zip(*loans, strict=True)
    return ints(*principal), ints(*rate), ints(*months)


def test_a_loan_of_ten_thousand_yuan_at_twelve_per_cent() -> None:
    """1% a month over 12 months: the annuity 888.49 yuan of every textbook, (1.01 ** 12 - 1) a year."""
    due = schedule(ints(1_000_000), ints(120_000), ints(12))
    assert due.interest_fen[0, :3].tolist() == [10_000, 9_212, 8_415]
    assert due.instalment_fen[0, :11].tolist() == [88_849] * 11
    assert due.instalment_fen[0, 11] == 88_847
    assert apr_ppm(ints(1_000_000), due.instalment_fen).tolist() == [
        126_826
    ]  # 126 825 and what rounding the instalment up adds


def test_a_fee_taken_off_raises_the_rate() -> None:
    due = schedule(ints(1_000_000), ints(120_000), ints(12)).instalment_fen
    with_fee = apr_ppm(ints(980_000), due)[0]
    assert with_fee > 126_825
    assert with_fee == pytest.approx(1e6 * by_another_way(980_000, due[0]), abs=0.51)


def test_without_interest_the_rate_is_nil() -> None:
    due = schedule(ints(1_000), ints(0), ints(3))
    assert due.instalment_fen.tolist() == [[334, 334, 332]]
    assert apr_ppm(ints(1_000), due.instalment_fen).tolist() == [0]


def test_less_paid_than_received_is_a_negative_rate() -> None:
    assert apr_ppm(ints(100), np.array([[0] * 11 + [50]], dtype=np.int64)).tolist() == [-500_000]
    assert apr_ppm(ints(10**12), np.array([[1]], dtype=np.int64)).tolist() == [-1_000_000]


def test_half_of_it_back_in_thirty_years() -> None:
    """The start of the iteration lies far above this root, where a step is a 360th of the way."""
    late = np.array([[0] * 359 + [50]], dtype=np.int64)
    assert apr_ppm(ints(100), late).tolist() == [round(1e6 * (0.5 ** (1 / 30) - 1))]


def test_a_rate_beyond_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="loan 1 has a rate of 1e"):
        apr_ppm(ints(5, 1), np.array([[6], [10**9]], dtype=np.int64))


def test_a_loan_does_not_depend_on_those_beside_it() -> None:
    loans = [(1_234_567, 182_500, 10), (99, 1_000_000, 36), (10**12, 1, 1), (500_000, 240_000, 24)]
    together = schedule(*columns(loans))
    rates = apr_ppm(columns(loans)[0], together.instalment_fen)
    for n, loan in enumerate(loans):
        alone = schedule(*columns([loan]))
        assert together.instalment_fen[n, : loan[2]].tolist() == alone.instalment_fen[0].tolist()
        assert rates[n] == apr_ppm(ints(loan[0]), alone.instalment_fen)[0]


@settings(deadline=None)
@given(LOANS)
def test_principal_adds_up_to_the_fen(loans: list[tuple[int, int, int]]) -> None:
    principal, rate, months = columns(loans)
    due = schedule(principal, rate, months)
    assert due.principal_fen.sum(axis=1).tolist() == principal.tolist()
    assert (due.principal_fen >= 0).all()
    assert (due.interest_fen >= 0).all()
    for n, length in enumerate(months):
        assert not due.instalment_fen[n, length:].any()
        level = due.instalment_fen[n, :length]
        left = int(principal[n])
        for month in range(int(length)):
            interest = (left * int(rate[n]) * 2 + 12 * 10**6) // (24 * 10**6)
            assert due.interest_fen[n, month] == interest
            left -= int(due.principal_fen[n, month])
        # Level while there is something to repay; the last differs by the fen that rounding left, at most one a month
        # and what they earned since.
        full = level[:-1][np.cumsum(due.principal_fen[n, : length - 1]) < principal[n]]
        assert len(set(full.tolist())) <= 1


@settings(deadline=None)
@given(LOANS)
def test_the_rate_is_the_internal_rate(loans: list[tuple[int, int, int]]) -> None:
    """The exact present value, in decimals, passes what was received within half a millionth on each side."""
    principal, rate, months = columns(loans)
    due = schedule(principal, rate, months).instalment_fen
    for n, found in enumerate(map(Decimal, apr_ppm(principal, due).tolist())):
        edge = Decimal("0.5001") + abs(found) / 10**12  # half a millionth, and float64's own rounding
        assert worth(due[n], found - edge) >= int(principal[n]) >= worth(due[n], found + edge)


def worth(paid: np.ndarray, ppm: Decimal) -> Decimal:
    """Present value in decimals of 40 digits."""
    getcontext().prec = 40
    year = 1 + ppm / 10**6
    return sum((Decimal(int(c)) / year ** (Decimal(t + 1) / 12) for t, c in enumerate(paid)), Decimal(0))


def by_another_way(received: int, paid: np.ndarray) -> float:
    times = np.arange(1, len(paid) + 1) / 12
    return float(brentq(lambda x: (paid / (1 + x) ** times).sum() - received, -0.9, 50, xtol=1e-14))


@pytest.mark.parametrize(
    ("loan", "told"),
    [
        ((0, 1, 1), "principal_fen: loan 0 has 0"),
        ((PRINCIPAL_FEN_MAX + 1, 1, 1), "principal_fen"),
        ((1, -1, 1), "rate_ppm"),
        ((1, 10**6 + 1, 1), "rate_ppm"),
        ((1, 1, 0), "months"),
        ((1, 1, 361), "months: loan 0 has 361, allowed is 1 to 360"),
    ],
)
def test_a_loan_outside_the_limits_is_refused(loan: tuple[int, int, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        schedule(*columns([loan]))


def test_no_rate_without_money() -> None:
    paid = np.array([[1, 1]], dtype=np.int64)
    with pytest.raises(ValueError, match="received"):
        apr_ppm(ints(0), paid)
    for wrong in (0 * paid, paid - 2):
        with pytest.raises(ValueError, match="paid"):
            apr_ppm(ints(1), wrong)


def test_no_loans_no_instalments() -> None:
    assert schedule(ints(), ints(), ints()).instalment_fen.shape == (0, 0)
    assert apr_ppm(ints(), np.zeros((0, 0), np.int64)).tolist() == []


def test_bits_are_fixed() -> None:
    principal = np.arange(1, 1001, dtype=np.int64) * 98_765_432
    due = schedule(principal, principal % 360_001, principal % 60 + 1).instalment_fen
    rates = apr_ppm(principal - principal % 9_999, due)
    assert (int(due.sum()), int(rates.sum())) == (61_970_932_649_639, 201_742_934)
