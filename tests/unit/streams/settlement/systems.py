"""Systems of banks for the tests of settlement: by chance, and what is true of any of them."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from streams.settlement.netting import Int64
from streams.settlement.queues import Bool, Objective, Payments, flows, order


def system(seed: int, banks: int, count: int, most: int = 100, priorities: int = 3) -> tuple[Payments, Int64]:
    """Payments and balances by chance, some of which are below 0."""
    draw = random.Random(seed)
    sender = np.array([draw.randrange(banks) for _ in range(count)], np.int64)
    receiver = (sender + np.array([draw.randrange(1, banks) for _ in range(count)], np.int64)) % banks
    amount = np.array([draw.choice((1, 10, draw.randint(1, most))) for _ in range(count)], np.int64)
    priority = np.array([draw.randrange(priorities) for _ in range(count)], np.int64)
    available = np.array([draw.choice((0, 0, draw.randint(-most // 4, 2 * most))) for _ in range(banks)], np.int64)
    return Payments(sender, receiver.astype(np.int64), amount, priority), available


def payments(*rows: tuple[int, int, int]) -> Payments:
    """From, to, amount; all of one priority."""
    columns: Any = np.array([*rows], np.int64).reshape(-1, 3).T
    return Payments(*columns, np.zeros(len(rows), np.int64))


def can_settle(queue: Payments, available: Int64, settled: Bool) -> bool:
    """Whether a set may settle at once: nobody ends below 0, or below where he stands."""
    left = available + flows(queue, settled, len(available))
    return bool((left >= np.minimum(available, 0)).all())


def keeps_order(queue: Payments, settled: Bool) -> bool:
    """Whether no bank's payment is passed by."""
    numbers = order(queue)
    for bank in np.unique(queue.sender):
        own = settled[numbers[queue.sender[numbers] == bank]]
        if (np.diff(own.astype(int)) > 0).any():
            return False
    return True


def best(queue: Payments, available: Int64, objective: Objective, in_order: bool) -> int:
    """The most any set reaches, by trying all."""
    found = 0
    for each in product((False, True), repeat=len(queue.sender)):
        chosen = np.array(each, bool)
        if can_settle(queue, available, chosen) and (not in_order or keeps_order(queue, chosen)):
            found = max(found, int(chosen.sum() if objective == Objective.COUNT else queue.amount[chosen].sum()))
    return found


def optimum(queue: Payments, available: Int64, objective: Objective) -> int:
    """The most a set that may pass payments by reaches, as an integer linear program solved by HiGHS."""
    banks, count = len(available), len(queue.sender)
    paid = np.zeros((banks, count))
    at = np.arange(count)
    paid[queue.sender, at] += queue.amount
    paid[queue.receiver, at] -= queue.amount
    gain = np.ones(count) if objective == Objective.COUNT else queue.amount.astype(float)
    room = np.maximum(available, 0).astype(float)
    found = milp(-gain, integrality=np.ones(count), bounds=Bounds(0, 1), constraints=LinearConstraint(paid, ub=room))
    assert found.success, found.message
    return round(-found.fun)
