"""Obligations netted, and bounds of the liquidity that settles them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settlement.errors import SettlementError
from streams.settlement.netting import bilateral, lower_bound, matrix, netted, positions, upper_bound
from streams.settlement.queues import in_order
from tests.unit.streams.settlement.systems import payments, system

SEEDS = st.integers(0, 2**32)
RING = np.array([[0, 90, 0], [30, 0, 60], [40, 0, 0]], np.int64)
"""Made by hand: A owes B 90, B owes A 30 and C 60, C owes A 40."""


def test_a_ring_by_hand() -> None:
    assert bilateral(RING).tolist() == [[0, 60, 0], [0, 0, 60], [40, 0, 0]]
    assert positions(RING).tolist() == [-20, 0, 20]
    found = netted(RING)
    assert (found.gross, found.bilateral, found.multilateral, found.ratio) == (220, 160, 20, 20 / 220)
    assert lower_bound(RING).tolist() == [20, 0, 0]


@given(SEEDS, st.integers(2, 40), st.integers(0, 200))
def test_netting_conserves_money_and_saves_some(seed: int, banks: int, count: int) -> None:
    queue, _ = system(seed, banks, count)
    owed = matrix(banks, queue.sender, queue.receiver, queue.amount)
    found = netted(owed)
    assert owed.sum() == queue.amount.sum() == found.gross
    assert positions(owed).sum() == 0
    assert positions(bilateral(owed)).tolist() == positions(owed).tolist()
    assert found.gross >= found.bilateral >= found.multilateral
    assert lower_bound(owed).sum() == found.multilateral


@given(SEEDS, st.integers(2, 8), st.integers(0, 40))
def test_with_the_upper_bound_all_settle_as_they_come_and_with_less_they_do_not(
    seed: int, banks: int, count: int
) -> None:
    queue, _ = system(seed, banks, count, priorities=1)
    owed = matrix(banks, queue.sender, queue.receiver, queue.amount)
    bound = upper_bound(banks, queue.sender, queue.receiver, queue.amount)
    assert (bound >= lower_bound(owed)).all()
    assert in_order(queue, bound).tolist() == list(range(count)), "in the sequence of arrival"
    for bank in np.flatnonzero(bound):
        less = bound.copy()
        less[bank] -= 1
        assert in_order(queue, less).tolist() != list(range(count))


def test_nothing_owed() -> None:
    assert netted(np.zeros((3, 3), np.int64)).ratio is None
    assert upper_bound(2, *payments()[:3]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("owed", "what"),
    [
        (np.array([[0, -1], [0, 0]]), "-1 fen: they are not negative"),
        (np.array([[1, 0], [0, 0]]), "a bank owes itself nothing"),
        (np.array([[0, 2**62], [2**62, 0]]), "leave int64"),
        (np.zeros((2, 3), np.int64), "not those of each bank to each"),
    ],
)
def test_obligations_that_make_no_sense_are_named(owed: np.ndarray, what: str) -> None:
    with pytest.raises(SettlementError, match=what):
        netted(owed)
