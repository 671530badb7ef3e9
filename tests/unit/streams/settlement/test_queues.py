"""Queues settle one by one or many at once: by hand, against all possible sets, and against an integer program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.settlement.errors import SettlementError
from streams.settlement.queues import Objective, Payments, bilateral, bypass, fifo, flows, in_order, order, worth
from tests.unit.streams.settlement.systems import best, can_settle, keeps_order, optimum, payments, system

SEEDS = st.integers(0, 2**32)
RING = payments((0, 1, 10), (1, 2, 10), (2, 0, 10))
"""Made by hand: three banks without money, each waits for the one before."""


def test_a_ring_without_money_stands_still_until_it_is_offset() -> None:
    nothing = np.zeros(3, np.int64)
    assert in_order(RING, nothing).tolist() == []
    assert bilateral(RING, nothing).tolist() == [False] * 3
    assert fifo(RING, nothing).tolist() == [True] * 3
    assert in_order(RING, np.array([0, 10, 0])).tolist() == [1, 2, 0]


def test_a_pair_offsets_the_heads_of_its_queues_as_far_as_the_difference_is_paid() -> None:
    queue = payments((0, 1, 50), (1, 0, 30), (1, 0, 15), (1, 2, 9), (1, 0, 100))
    assert bilateral(queue, np.array([5, 0, 0])).tolist() == [True, True, True, False, False]
    assert bilateral(queue, np.array([4, 0, 0])).tolist() == [False] * 5
    blocked = payments((1, 2, 9), (0, 1, 50), (1, 0, 45))
    assert bilateral(blocked, np.array([5, 0, 0])).tolist() == [False] * 3, "a third party is in the way"


def test_offsetting_in_order_stops_where_passing_by_goes_on() -> None:
    """The large payment at the head of the first queue cannot be paid; the small one behind it could."""
    queue = payments((0, 1, 100), (0, 1, 10), (1, 0, 10))
    nothing = np.zeros(2, np.int64)
    assert fifo(queue, nothing).tolist() == [False, False, False]
    for objective in Objective:
        assert bypass(queue, nothing, objective).tolist() == [False, True, True]


def test_priority_comes_before_arrival() -> None:
    sender, receiver, amount, _ = payments((0, 1, 5), (0, 1, 5), (1, 0, 3))
    queue = Payments(sender, receiver, amount, np.array([1, 0, 0]))
    assert order(queue).tolist() == [1, 0, 2]
    assert in_order(queue, np.array([5, 0])).tolist() == [1, 2]


def test_a_bank_below_zero_offsets_but_falls_no_deeper() -> None:
    queue = payments((0, 1, 10), (1, 0, 10), (0, 1, 1))
    assert fifo(queue, np.array([-7, 0])).tolist() == [True, True, False]


@given(SEEDS, st.integers(2, 4), st.integers(0, 10), st.booleans())
@settings(deadline=None, max_examples=150)
def test_no_set_in_order_settles_more_than_offsetting_in_order(seed: int, banks: int, count: int, one: bool) -> None:
    queue, available = system(seed, banks, count, 30, 1 if one else 3)
    found = fifo(queue, available)
    assert can_settle(queue, available, found)
    assert keeps_order(queue, found)
    for objective in Objective:
        assert worth(queue, found, objective) == best(queue, available, objective, in_order=True)


@given(SEEDS, st.integers(0, 30))
@settings(deadline=None)
def test_a_pair_alone_offsets_as_all_do(seed: int, count: int) -> None:
    queue, available = system(seed, 2, count)
    together, again = fifo(queue, available), bilateral(queue, available)
    assert again.tolist() == together.tolist()


@given(SEEDS, st.integers(2, 40), st.integers(0, 300))
@settings(deadline=None)
def test_whatever_settles_is_paid_for_and_conserves_money(seed: int, banks: int, count: int) -> None:
    queue, available = system(seed, banks, count)
    one_by_one = np.zeros(count, bool)
    one_by_one[in_order(queue, available)] = True
    together, pairs = fifo(queue, available), bilateral(queue, available)
    for settled in (one_by_one, together, pairs):
        assert can_settle(queue, available, settled)
        assert keeps_order(queue, settled)
        assert flows(queue, settled, banks).sum() == 0
        assert not (settled & ~together).any(), "nothing in order is beyond the largest offsetting in order"
    for objective in Objective:
        passing = bypass(queue, available, objective)
        assert can_settle(queue, available, passing)
        assert worth(queue, passing, objective) >= worth(queue, together, objective)


@given(SEEDS, st.integers(2, 12), st.integers(0, 60))
@settings(deadline=None)
def test_one_by_one_each_is_paid_when_it_settles_and_no_head_is_left_that_could(
    seed: int, banks: int, count: int
) -> None:
    queue, money = system(seed, banks, count)
    waiting = {bank: [n for n in order(queue).tolist() if queue.sender[n] == bank] for bank in range(banks)}
    for number in in_order(queue, money).tolist():
        payer = int(queue.sender[number])
        assert waiting[payer].pop(0) == number
        money[payer] -= queue.amount[number]
        assert money[payer] >= 0
        money[queue.receiver[number]] += queue.amount[number]
    assert all(queue.amount[line[0]] > money[bank] for bank, line in waiting.items() if line)


def test_the_largest_sets_found_by_an_integer_program_are_the_largest() -> None:
    for seed in range(20):
        queue, available = system(seed, 3, 9, 20)
        for objective in Objective:
            assert optimum(queue, available, objective) == best(queue, available, objective, in_order=False)


@pytest.mark.parametrize("objective", Objective)
def test_passing_by_comes_near_the_optimum(objective: Objective) -> None:
    reached = wanted = 0
    for seed in range(40):
        queue, available = system(seed, 8, 60, 1000)
        most = optimum(queue, available, objective)
        found = worth(queue, bypass(queue, available, objective), objective)
        assert found <= most
        reached, wanted = reached + found, wanted + most
    assert reached / wanted > {Objective.VALUE: 0.85, Objective.COUNT: 0.93}[objective]


@pytest.mark.parametrize(
    ("queue", "what"),
    [
        (payments((0, 2, 1)), "a payment of bank 2: banks are 0 to 1"),
        (payments((1, 1, 1)), "a bank pays itself nothing"),
        (payments((0, 1, 0)), "a payment of 0 fen: it is above 0"),
        (payments((0, 1, 2**61), (1, 0, 2**61), (1, 0, 2**61)), "leave int64"),
    ],
)
def test_payments_that_make_no_sense_are_named(queue: Payments, what: str) -> None:
    with pytest.raises(SettlementError, match=what):
        fifo(queue, np.zeros(2, np.int64))
