"""Money is conserved to the fen, party by party, and a cap is never passed by rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.lending.funding import TOTAL_FEN_MAX, split, split_instalments
from producers.lending.instalments import PRINCIPAL_FEN_MAX, schedule


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_thirty_to_seventy() -> None:
    parts = split(ints(1_000_000, 101, 3), ints(300_000, 300_000, 300_000))
    assert parts.platform_fen.tolist() == [300_000, 30, 0]
    assert parts.bank_fen.tolist() == [700_000, 71, 3]


@settings(deadline=None)
@given(st.integers(1, PRINCIPAL_FEN_MAX), st.integers(0, 10**6), st.integers(1, 60), st.integers(0, 10**6), st.data())
def test_each_gets_back_what_it_put_in(principal: int, rate: int, months: int, ppm: int, data: st.DataObject) -> None:
    """Over the whole loan, and whatever month it stops in: repaid and outstanding are what each put in."""
    due = schedule(ints(principal), ints(rate), ints(months))
    put_in = split(ints(principal), ints(ppm))
    back = split_instalments(due.principal_fen, ints(ppm))
    assert put_in.platform_fen[0] * 10**6 <= principal * ppm
    assert (back.platform_fen + back.bank_fen == due.principal_fen).all()
    assert (back.platform_fen >= 0).all()
    assert (back.bank_fen >= 0).all()
    assert back.platform_fen.sum() == put_in.platform_fen[0]
    assert back.bank_fen.sum() == put_in.bank_fen[0]
    stops = data.draw(st.integers(0, months))
    so_far = split(due.principal_fen[:, :stops].sum(axis=1), ints(ppm))
    assert back.platform_fen[0, :stops].sum() == so_far.platform_fen[0]
    interest = split_instalments(due.interest_fen, ints(ppm))
    assert int(interest.platform_fen.sum()) == int(due.interest_fen.sum()) * ppm // 10**6


def test_loans_side_by_side_do_not_mix() -> None:
    due = schedule(ints(500_000, 70_001), ints(182_500, 240_000), ints(12, 3)).instalment_fen
    parts = split_instalments(due, ints(10_000, 999_999))
    for n, ppm in enumerate((10_000, 999_999)):
        alone = split_instalments(due[n : n + 1], ints(ppm))
        assert parts.platform_fen[n].tolist() == alone.platform_fen[0].tolist()


def test_what_cannot_be_divided_is_refused() -> None:
    for amount in (-1, TOTAL_FEN_MAX + 1):
        with pytest.raises(ValueError, match="amount_fen"):
            split(ints(amount), ints(1))
    for share in (-1, 10**6 + 1):
        with pytest.raises(ValueError, match="platform_ppm"):
            split(ints(1), ints(share))
    with pytest.raises(ValueError, match="paid_fen"):
        split_instalments(np.array([[5, -1]], dtype=np.int64), ints(1))
