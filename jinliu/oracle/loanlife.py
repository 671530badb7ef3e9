"""The life of loans: which accepted events of a partition break the order of their loan, in log order.

A loan is somewhere (its stage) and owes something; each step must be one that this stage allows, by somebody who may
take it, with sums that go on from those before. A step that breaks the order is refused and moves nothing.

Loans do not touch each other, so a chunk is screened at once: its events are sorted by loan, and each is held against
what the event before it leaves, were that one in order. Where all of a loan's events pass, all are in order, by
induction from the first. The other loans are suspect and walked step by step, as the rule is written. The screen
takes it that every event it is shown is accepted but for its order; of one that is not, the loan becomes suspect, and
its steps up to there are walked again.
"""

from dataclasses import astuple

import numpy as np

from jinliu.oracle.columns import Bool, Int64
from jinliu.oracle.loanrules import Actor, Arrears, Kind, Loans, Product
from jinliu.oracle.loansteps import (
    BEHIND,
    PERMITTED,
    SHARE_LEAST,
    SHARE_MOST,
    Breach,
    Loan,
    Stage,
    Step,
    breach,
    moved,
)

WIDTH = 15
NUMBER, STAGE, OUTSTANDING, LEFT, BANK_OUTSTANDING, BANK_LEFT, MARK, VINTAGE, COMMISSIONED, WHOSE = range(10)
"""Columns of the table of loans, a row being a `Loan`; from WHOSE on those that no step may change."""


class Lives:
    """The loans of a partition that are not over: `table` int64[loans, WIDTH], by number."""

    def __init__(self) -> None:
        self.enter(np.empty((0, WIDTH), np.int64))

    def enter(self, loans: Int64) -> None:
        """Take these for the loans, those that are over left out. loans: rows in any order."""
        standing = loans[loans[:, STAGE] != Stage.NONE]
        self.table = standing[np.argsort(standing[:, NUMBER], kind="stable")]
        self._numbers = self.table[:, NUMBER].copy()

    def find(self, numbers: Int64) -> tuple[Int64, Bool]:
        """Row of the table for each number, and whether it is there (else the row is any)."""
        if not len(self._numbers):
            return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), bool)
        at = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        return at, self._numbers[at] == numbers

    def get(self, number: int) -> Loan:
        """A loan as it stands, NONE where it is not known."""
        (at,), (there,) = self.find(np.array([number]))
        return Loan(*self.table[at].tolist()) if there else Loan(number)


class Chapter:
    """The lives of a partition's loans over one chunk of events."""

    def __init__(self, lives: Lives, told: Loans, shown: Bool) -> None:
        """shown: the events that nothing but their order, or the sequence of their source, could refuse, bool[n]."""
        self._lives, self._told = lives, told
        rows = np.flatnonzero(shown)
        self._rows = rows[np.argsort(told.loan[rows], kind="stable")]
        loan = told.loan[self._rows]
        first = np.empty(len(loan), bool)
        first[:1] = True
        first[1:] = loan[1:] != loan[:-1]
        self._firsts = np.flatnonzero(first)
        self._numbers = loan[self._firsts]
        self._ends = np.append(self._firsts[1:], len(loan))
        self._at, self._there = lives.find(self._numbers)
        self._suspect = np.zeros(len(self._numbers), bool)
        self._leaves = np.empty((0, WIDTH), np.int64)
        if len(loan):
            self._screen(np.cumsum(first) - 1)
        self.suspect = np.zeros(len(shown), bool)
        """bool[n]: events whose loan is to be walked."""
        self.suspect[self._rows] = np.repeat(self._suspect, self._ends - self._firsts)
        self._by_hand: dict[int, Loan] = {}

    def _screen(self, group: Int64) -> None:
        """Find the suspect loans, and what the others leave behind. group: the loan of each row, in order of loans."""
        told, rows, firsts = self._told, self._rows, self._firsts
        start = np.zeros((len(firsts), WIDTH), np.int64)
        start[self._there] = self._lives.table[self._at[self._there]]
        kind, amount, outstanding = told.kind[rows], told.amount[rows], told.outstanding[rows]
        principal, product, platform = told.principal[rows], told.product[rows], told.platform[rows]

        behind = BEHIND[kind]
        behind[(kind == Kind.REPAID) & (outstanding == 0)] = Stage.NONE
        before = _shifted(behind, firsts, start[:, STAGE])
        wrong = ~PERMITTED[before, kind, product, told.actor[rows], (platform != told.nobody).astype(np.int64)]

        for column, of in enumerate(_whose(told), WHOSE):
            values = of[rows]
            wrong |= (before != Stage.NONE) & (values != _shifted(values, firsts, start[:, column]))

        commission = kind == Kind.COMMISSION
        repaid, off, back = kind == Kind.REPAID, kind == Kind.CHARGED_OFF, kind == Kind.RECOVERED
        going_on = (kind == Kind.DUE) | (kind == Kind.PAST_DUE) | repaid

        def kept(values: Int64, keeps: Bool, column: int) -> tuple[Int64, Int64]:
            """What stands behind each row, and what stood before it."""
            behind = _kept(values, keeps, firsts[group], start[group, column])
            return behind, _shifted(behind, firsts, start[:, column])

        def written_off(fen: Int64, column: int) -> Int64:
            """What is left to be recovered behind each row."""
            change = np.where(off, fen, np.where(back, -fen, 0))
            added = np.cumsum(change)
            left: Int64 = added + (start[:, column] - (added - change)[firsts])[group]
            return left

        owed, owed_before = kept(outstanding, commission, OUTSTANDING)
        paid = np.where(repaid, principal, 0)
        wrong |= going_on & ((paid > owed_before) | (outstanding != owed_before - paid))
        wrong |= off & ((principal != owed_before) | (amount != owed_before))
        left = written_off(amount, LEFT)
        wrong |= left < 0

        bank, bank_outstanding = told.bank_fen[rows], told.bank_outstanding[rows]
        bank_owed, bank_owed_before = kept(bank_outstanding, commission, BANK_OUTSTANDING)
        bank_paid = np.where(repaid, told.bank_principal[rows], 0)
        wrong |= going_on & (bank_outstanding != bank_owed_before - bank_paid)
        wrong |= off & (bank != bank_owed_before)
        bank_left = written_off(bank, BANK_LEFT)
        wrong |= (bank_left < 0) | (left < bank_left)

        begins, arrears = (kind == Kind.FUNDED) | (kind == Kind.BROUGHT_FORWARD), told.arrears[rows]
        passes = kind == Kind.PAST_DUE
        mark, mark_before = kept(np.where(repaid, 0, arrears), ~(begins | passes | repaid), MARK)
        wrong |= (passes & (arrears != mark_before + 1)) | ((repaid | off) & (arrears != mark_before))
        vintage, vintage_before = kept(told.vintage[rows], ~begins, VINTAGE)
        lent = (before == Stage.OPEN) | (before == Stage.WRITTEN_OFF)
        wrong |= lent & (told.vintage[rows] != vintage_before)
        wrong |= told.vintage[rows] + told.age[rows] != told.month[rows]

        funded, part = kind == Kind.FUNDED, told.platform_fen[rows]
        wrong |= funded & (product == Product.PARTNERSHIP) & (part != 0)
        unfit = (part * SHARE_LEAST < amount) | (part * SHARE_MOST > amount)
        wrong |= funded & (product == Product.COFINANCED) & unfit

        commissions = start[:, COMMISSIONED] + np.add.reduceat(commission.astype(np.int64), firsts)
        begun = self._there + np.add.reduceat((before == Stage.NONE).astype(np.int64), firsts)
        self._suspect = np.logical_or.reduceat(wrong, firsts)
        self._suspect |= (commissions > 1) | ((commissions > 0) & (begun > 1))  # in which of its lives is not asked

        last = self._ends - 1
        whose = [of[rows[last]] for of in _whose(told)]
        stands = [of[last] for of in (behind, owed, left, bank_owed, bank_left, mark, vintage)]
        self._leaves = np.column_stack([self._numbers, *stands, commissions, *whose])

    def breach(self, row: int) -> Breach | None:
        """How an event, accepted but for its order, breaks it; one that does not moves its loan.

        Of each suspect loan the events are to be asked about in log order.
        """
        return self._step(row) if self.suspect[row] else None

    def deny(self, row: int) -> None:
        """An event that was shown is refused, or a duplicate. All before it were asked about, none behind it was."""
        number = int(self._told.loan[row])
        at = int(np.searchsorted(self._numbers, number))
        if self._suspect[at]:
            return
        self._suspect[at] = True
        rows = self._rows[self._firsts[at] : self._ends[at]]
        self.suspect[rows] = True
        for before in rows[rows < row].tolist():
            why = self._step(before)
            assert why is None, f"event {before}: a loan that was not suspect was in order"

    def close(self) -> None:
        """Enter in the table what the chunk leaves of its loans."""
        lives, done = self._lives, ~self._suspect
        walked = np.array([astuple(loan) for loan in self._by_hand.values()], np.int64).reshape(-1, WIDTH)
        gone = np.zeros(len(lives.table), bool)
        gone[self._at[self._there & done]] = True
        at, there = lives.find(walked[:, NUMBER])
        gone[at[there]] = True
        lives.enter(np.concatenate([lives.table[~gone], self._leaves[done], walked]))

    def _step(self, row: int) -> Breach | None:
        """One step of a suspect loan, as the rule is written."""
        told, number = self._told, int(self._told.loan[row])
        loan = self._by_hand.get(number) or self._lives.get(number)
        step = Step(
            kind=Kind(told.kind[row]),
            actor=Actor(told.actor[row]),
            whose=tuple(int(of[row]) for of in _whose(told)),
            has_platform=bool(told.platform[row] != told.nobody),
            amount_fen=int(told.amount[row]),
            principal_fen=int(told.principal[row]),
            outstanding_fen=int(told.outstanding[row]),
            part_fen=int(told.platform_fen[row]),
            bank_fen=int(told.bank_fen[row]),
            bank_principal_fen=int(told.bank_principal[row]),
            bank_outstanding_fen=int(told.bank_outstanding[row]),
            arrears=Arrears(told.arrears[row]),
            vintage=int(told.vintage[row]),
            age=int(told.age[row]),
            month=int(told.month[row]),
        )
        found = breach(loan, step)
        self._by_hand[number] = moved(loan, step) if found is None else loan
        return found


def _whose(told: Loans) -> tuple[Int64, ...]:
    """The columns that no step of a loan may change, in the order of the table's."""
    return told.product, told.lender, told.bank, told.platform, told.borrower, told.weight


def _shifted(values: Int64, firsts: Int64, start: Int64) -> Int64:
    """What stood in the row before, in order of loans; for the first row of each loan what it started with."""
    before = np.empty_like(values)
    before[1:] = values[:-1]
    before[firsts] = start
    return before


def _kept(values: Int64, keeps: Bool, first: Int64, start: Int64) -> Int64:
    """The values, where a row keeps what stood before it those of the last row that does not, or of the start.

    first, start: by row, the first row of its loan and what that started with.
    """
    place = np.arange(len(values))
    last = np.maximum.accumulate(np.where(keeps, -1, place))
    kept: Int64 = np.where(last < first, start, values[last])
    return kept
