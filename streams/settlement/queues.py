"""Real-time gross settlement: queued payments settle one by one, or many at once by offsetting.

A bank's queue is in order of priority (0 first), then of arrival. Payments are numbered by arrival. `available` is what
a bank may use: balance and intraday credit, less what it keeps for other settlement; a bank below zero pays nothing out
of what it has, but may pay out of what it receives in the same offsetting only down to where it stood.

Who settles in order (`in_order`) and which payments the largest offsetting in order holds (`fifo`) do not depend on the
sequence in which banks are looked at: more received never makes a bank pay less. So both have one result.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import islice, takewhile
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.settlement.errors import SettlementError
from streams.settlement.netting import AMOUNT_MAX, Int64

Bool = npt.NDArray[np.bool_]


class Payments(NamedTuple):
    """Payments by arrival, int64[n] each: from and to a bank, fen, and priority, of which less comes first."""

    sender: Int64
    receiver: Int64
    amount: Int64
    priority: Int64

    def taken(self, which: Int64 | Bool) -> Payments:
        """Those of them."""
        return Payments(*(column[which] for column in self))


class Objective(StrEnum):
    """What an offsetting that may pass payments by makes large."""

    VALUE = "value"
    COUNT = "count"


def checked(payments: Payments, banks: int) -> Payments:
    """The payments. Raises SettlementError for one that makes no sense."""
    sender, receiver, amount, _ = payments
    parties = np.concatenate((sender, receiver))
    if len(parties) and (parties.min() < 0 or parties.max() >= banks):
        raise SettlementError(f"a payment of bank {int(parties.max())}: banks are 0 to {banks - 1}")
    if (sender == receiver).any():
        raise SettlementError("a bank pays itself nothing")
    if (amount <= 0).any():
        raise SettlementError(f"a payment of {int(amount.min())} fen: it is above 0")
    if amount.astype(np.float64).sum() > AMOUNT_MAX:
        raise SettlementError("the payments together leave int64")
    return payments


def flows(payments: Payments, settled: Bool, banks: int) -> Int64:
    """int64[banks]: what each bank receives less what it pays when those settle; the sum is 0."""
    change = np.zeros(banks, np.int64)
    np.add.at(change, payments.receiver[settled], payments.amount[settled])
    np.subtract.at(change, payments.sender[settled], payments.amount[settled])
    return change


def order(payments: Payments) -> Int64:
    """Numbers of the payments, bank by bank, each bank's in the order of its queue."""
    return np.lexsort((np.arange(len(payments.sender)), payments.priority, payments.sender))


def in_order(payments: Payments, available: Int64) -> Int64:
    """Numbers of the payments that settle one by one, in the sequence in which they do.

    Again and again the first of all that stand at the head of their bank's queue and can be paid, by priority, then by
    arrival. Raises SettlementError.
    """
    queues = _queues(payments, len(available))
    money, heads, settled = available.tolist(), [0] * len(queues), list[int]()
    amount, receiver = payments.amount.tolist(), payments.receiver.tolist()
    ranks = np.lexsort((np.arange(len(amount)), payments.priority)).argsort().tolist()
    ready = {bank: queue[0] for bank, queue in enumerate(queues) if queue and amount[queue[0]] <= money[bank]}
    while ready:
        bank = min(ready, key=lambda each: int(ranks[ready[each]]))
        payment = ready[bank]
        settled.append(payment)
        heads[bank] += 1
        money[bank] -= amount[payment]
        money[receiver[payment]] += amount[payment]
        for each in (bank, receiver[payment]):
            queue, head = queues[each], heads[each]
            ready.pop(each, None)
            if head < len(queue) and amount[queue[head]] <= money[each]:
                ready[each] = queue[head]
    return np.array(settled, np.int64)


def fifo(payments: Payments, available: Int64) -> Bool:
    """bool[n]: the largest set that settles at once without leaving a bank less than 0 (or less than it has, where that
    is below 0), and of each bank's queue holds all up to some place.

    Bech and Soramaki, "Gridlock resolution in interbank payment systems", Bank of Finland Discussion Papers 9/2001:
    take all, and of banks that cannot pay drop the last payment until all can. Sets that may settle stay so when they
    are united, so there is a largest one: no other settles more payments or a larger value. Raises SettlementError.
    """
    banks = len(available)
    queues = _queues(payments, banks)
    amount, receiver = payments.amount.tolist(), payments.receiver.tolist()
    kept, floor = [len(queue) for queue in queues], np.minimum(available, 0).tolist()
    everything = np.ones(len(amount), bool)
    left = (available + flows(payments, everything, banks)).tolist()
    short = [bank for bank in range(banks) if left[bank] < floor[bank]]
    while short:
        bank = short.pop()
        while left[bank] < floor[bank] and kept[bank]:
            kept[bank] -= 1
            dropped = queues[bank][kept[bank]]
            left[bank] += amount[dropped]
            other = receiver[dropped]
            left[other] -= amount[dropped]
            if left[other] < floor[other]:
                short.append(other)
    settled = np.zeros(len(amount), bool)
    for queue, count in zip(queues, kept, strict=True):
        settled[queue[:count]] = True
    return settled


def bilateral(payments: Payments, available: Int64) -> Bool:
    """bool[n]: what settles when pairs of banks offset what they owe each other at the heads of their queues.

    In turns until nothing more settles: all pairs of which one's first payment goes to the other, by the numbers of the
    banks; the first payments of both queues that go to the other bank, as many as `fifo` takes of them. Raises
    SettlementError.
    """
    queues = _queues(payments, len(available))
    amount, receiver = payments.amount.tolist(), payments.receiver.tolist()
    money, heads = available.tolist(), [0] * len(queues)
    settled = np.zeros(len(amount), bool)

    def leading(bank: int, other: int) -> list[int]:
        """Payments at the head of a bank's queue that go to the other."""
        return list(takewhile(lambda each: receiver[each] == other, islice(queues[bank], heads[bank], None)))

    def offset(pair: tuple[int, int]) -> bool:
        """Whether anything settles between two banks; what does is settled."""
        lines = {bank: leading(bank, pair[1 - side]) for side, bank in enumerate(pair)}
        floor = {bank: min(money[bank], 0) for bank in pair}
        sums = {bank: sum(amount[each] for each in line) for bank, line in lines.items()}
        one, other = pair
        balance = sums[other] - sums[one]
        left = {one: money[one] + balance, other: money[other] - balance}
        short = [bank for bank in pair if left[bank] < floor[bank]]
        while short:
            bank = short.pop()
            while left[bank] < floor[bank] and lines[bank]:
                dropped = amount[lines[bank].pop()]
                payee = other if bank == one else one
                left[bank] += dropped
                left[payee] -= dropped
                if left[payee] < floor[payee]:
                    short.append(payee)
        for bank, line in lines.items():
            heads[bank] += len(line)
            money[bank] = left[bank]
            settled[line] = True
        return any(lines.values())

    moved = True
    while moved:
        at_heads = {
            (min(bank, receiver[queue[head]]), max(bank, receiver[queue[head]]))
            for bank, (queue, head) in enumerate(zip(queues, heads, strict=True))
            if head < len(queue)
        }
        turn = [offset(pair) for pair in sorted(at_heads)]
        moved = any(turn)
    return settled


def bypass(payments: Payments, available: Int64, objective: Objective) -> Bool:
    """bool[n]: a set that settles at once and may pass payments by; payments are not divided.

    To find the best is NP-hard (Guntzer, Jungnickel and Leclerc, "Efficient algorithms for the clearing of interbank
    payments", European Journal of Operational Research 106, 1998). This takes the best, ties the first, of three sets
    that are made as large as it can: what `fifo` settles, all from which was dropped what cannot be paid, and none.

    Dropping: of the bank that lacks most (ties: the first by number), of its lowest priority there, for VALUE the
    smallest payment that covers what it lacks, else the largest; for COUNT the largest (ties: the last to come).
    Enlarging, over and over: by priority, for VALUE the largest payment, for COUNT the smallest (ties: the first to
    come), with those that fund it, where its payer lacks money: of payments to the bank that lacks most, the one whose
    own payer then lacks least, of these the smallest that is enough, else the largest (ties: the first to come), and
    so on up to as many as two for each bank. Raises SettlementError.
    """
    banks = len(available)
    first = fifo(payments, available)
    starts = (first, _dropped(payments, available, objective), np.zeros(len(first), bool))
    found = [_Enlarging(payments, available, start, objective).chosen for start in starts]
    return max(found, key=lambda chosen: worth(payments, chosen, objective)) if banks else first


def worth(payments: Payments, settled: Bool, objective: Objective) -> int:
    """How much of the objective a set reaches, fen or payments."""
    return int(settled.sum() if objective == Objective.COUNT else payments.amount[settled].sum())


def _dropped(payments: Payments, available: Int64, objective: Objective) -> Bool:
    """All payments but those dropped until nobody lacks anything."""
    chosen, floor = np.ones(len(payments.sender), bool), np.minimum(available, 0)
    left = available + flows(payments, chosen, len(available))
    while (left < floor).any():
        bank = int(np.argmax(floor - left))
        number = _to_drop(payments, chosen, bank, int(floor[bank] - left[bank]), objective)
        chosen[number] = False
        left[bank] += payments.amount[number]
        left[payments.receiver[number]] -= payments.amount[number]
    return chosen


class _Enlarging:
    """A set that settles, made larger until nothing more fits."""

    def __init__(self, payments: Payments, available: Int64, start: Bool, objective: Objective) -> None:
        self.chosen = start.copy()
        self._sender, self._receiver, self._amount, priority = (column.tolist() for column in payments)
        self._floor = np.minimum(available, 0).tolist()
        self._left = (available + flows(payments, start, len(available))).tolist()
        self._to: list[list[int]] = [[] for _ in self._left]
        for number, bank in enumerate(self._receiver):
            self._to[bank].append(number)
        size = 1 if objective == Objective.COUNT else -1
        waiting = np.flatnonzero(~start).tolist()
        waiting.sort(key=lambda each: (priority[each], size * self._amount[each], each))
        while self._pass(waiting):
            waiting = [number for number in waiting if not self.chosen[number]]

    def _pass(self, waiting: list[int]) -> bool:
        """Take in what fits, one after the other; whether anything did."""
        grown = False
        for number in waiting:
            if not self.chosen[number]:
                added, left = self._funded(number)
                if added:
                    self.chosen[added], self._left, grown = True, left, True
        return grown

    def _funded(self, number: int) -> tuple[list[int], list[int]]:
        """A payment and those that fund it, none where it cannot be funded; and what all have then."""
        added, left = [number], self._left.copy()
        self._move(left, number)
        lacking = {self._sender[number]}
        while True:
            short = [bank for bank in lacking if left[bank] < self._floor[bank]]
            if not short:
                return added, left
            bank = min(short, key=lambda each: (left[each] - self._floor[each], each))
            inside = frozenset(added)
            able = [each for each in self._to[bank] if not self.chosen[each] and each not in inside]
            if not able or len(added) > 2 * len(left):
                return [], left
            wanted = self._floor[bank] - left[bank]
            funds = min(able, key=lambda each: self._price(left, each, wanted))
            added.append(funds)
            self._move(left, funds)
            lacking.add(self._sender[funds])

    def _price(self, left: list[int], number: int, wanted: int) -> tuple[int, bool, int, int]:
        amount, payer = self._amount[number], self._sender[number]
        lacks = max(0, amount - max(0, left[payer] - self._floor[payer]))
        short = amount < wanted
        return lacks, short, -amount if short else amount, number

    def _move(self, left: list[int], number: int) -> None:
        left[self._sender[number]] -= self._amount[number]
        left[self._receiver[number]] += self._amount[number]


def _to_drop(payments: Payments, chosen: Bool, bank: int, lacking: int, objective: Objective) -> int:
    own = np.flatnonzero(chosen & (payments.sender == bank))
    own = own[payments.priority[own] == payments.priority[own].max()]
    amounts = payments.amount[own]
    covering = amounts >= lacking
    wanted = amounts[covering].min() if objective == Objective.VALUE and covering.any() else amounts.max()
    return int(own[amounts == wanted][-1])


def _queues(payments: Payments, banks: int) -> list[list[int]]:
    """The numbers of each bank's payments, in the order of its queue."""
    numbers = order(checked(payments, banks))
    bounds = np.searchsorted(payments.sender[numbers], np.arange(banks + 1))
    every = numbers.tolist()
    return [every[low:high] for low, high in zip(bounds.tolist(), bounds[1:].tolist(), strict=False)]
