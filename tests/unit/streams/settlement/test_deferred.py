"""A cycle settles all or nothing: by hand, and what holds of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settlement.deferred import Shortfall, settle
from streams.settlement.errors import SettlementError
from streams.settlement.netting import matrix, positions
from tests.unit.streams.settlement.systems import system

OWED = np.array([[0, 50, 30], [10, 0, 40], [20, 10, 0]], np.int64)
"""Made by hand: A pays 50 net, B receives 10, C receives 40."""


def test_all_settle_where_all_can_pay() -> None:
    for rule in Shortfall:
        found = settle(OWED, np.array([50, 0, 0]), rule)
        assert found.positions.tolist() == [-50, 10, 40]
        assert (found.settled == OWED).all()
        assert not found.carried.any()
        assert found.cover == 50
        assert len(found.rounds) == 1


def test_nothing_settles_where_one_cannot() -> None:
    found = settle(OWED, np.array([49, 100, 100]), Shortfall.NOTHING)
    assert not found.settled.any()
    assert (found.carried == OWED).all()
    assert found.positions.tolist() == [0, 0, 0]
    assert found.rounds[0].lacking.tolist() == [1, 0, 0]


def test_the_one_who_cannot_is_left_out_and_another_falls_with_it() -> None:
    """Without A, B owes C 30 more than C owes B."""
    found = settle(OWED, np.array([49, 30, 0]), Shortfall.EXCLUDE)
    assert [each.excluded for each in found.rounds] == [0, -1]
    assert found.positions.tolist() == [0, -30, 30]
    assert found.settled.tolist() == [[0, 0, 0], [0, 0, 40], [0, 10, 0]]
    found = settle(OWED, np.array([49, 29, 0]), Shortfall.EXCLUDE)
    assert [each.excluded for each in found.rounds] == [0, 1, -1]
    assert not found.settled.any()


def test_a_fund_pays_what_is_lacking_if_it_can() -> None:
    found = settle(OWED, np.array([49, 0, 0]), Shortfall.GUARANTEE, fund=1)
    assert found.drawn.tolist() == [1, 0, 0]
    assert (found.settled == OWED).all()
    found = settle(OWED, np.array([48, 30, 0]), Shortfall.GUARANTEE, fund=1)
    assert found.drawn.tolist() == [0, 0, 0]
    assert [each.excluded for each in found.rounds] == [0, -1]


def test_a_tie_is_broken_by_number() -> None:
    owed = np.zeros((3, 3), np.int64)
    owed[0, 2] = owed[1, 2] = 10
    found = settle(owed, np.zeros(3, np.int64), Shortfall.EXCLUDE)
    assert [each.excluded for each in found.rounds] == [0, 1, -1]


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(0, 120), st.sampled_from(Shortfall), st.integers(0, 500))
def test_money_is_conserved_and_nobody_pays_what_he_has_not(
    seed: int, banks: int, count: int, rule: Shortfall, fund: int
) -> None:
    queue, available = system(seed, banks, count)
    owed = matrix(banks, queue.sender, queue.receiver, queue.amount)
    found = settle(owed, available, rule, fund)
    assert (found.settled + found.carried == owed).all()
    assert min(found.settled.min(), found.carried.min()) >= 0
    assert found.positions.tolist() == positions(found.settled).tolist()
    assert found.positions.sum() == 0
    paying = found.positions < 0
    assert (-found.positions[paying] <= np.maximum(available, 0)[paying] + found.drawn[paying]).all()
    assert 0 <= found.drawn.sum() <= (fund if rule == Shortfall.GUARANTEE else 0)
    out = [each.excluded for each in found.rounds if each.excluded >= 0]
    assert not found.settled[out].any()
    assert not found.settled[:, out].any()
    stay = np.setdiff1d(np.arange(banks), out)
    if rule != Shortfall.NOTHING:
        assert (found.settled[np.ix_(stay, stay)] == owed[np.ix_(stay, stay)]).all()


def test_what_makes_no_sense_is_named() -> None:
    with pytest.raises(SettlementError, match="2 balances of 3 banks"):
        settle(OWED, np.zeros(2, np.int64), Shortfall.EXCLUDE)
    with pytest.raises(SettlementError, match="a guarantee fund of -1 fen"):
        settle(OWED, np.zeros(3, np.int64), Shortfall.GUARANTEE, fund=-1)
