"""Obligations between banks, what is left of them when they are netted, and what it takes to settle the rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.settlement.errors import SettlementError

Int64 = npt.NDArray[np.int64]
AMOUNT_MAX = 2**62
"""Of all obligations together: so that no position leaves int64."""


class Netting(NamedTuple):
    """Totals in fen. bilateral: of what pairs owe each other net; multilateral: of what banks owe all others net."""

    gross: int
    bilateral: int
    multilateral: int

    @property
    def ratio(self) -> float | None:
        """Multilateral net over gross; None where nothing is owed."""
        return self.multilateral / self.gross if self.gross else None


def checked(owed: Int64) -> Int64:
    """The obligations int64[n, n] (row owes column). Raises SettlementError for one that is negative, of a bank to
    itself, or too much.
    """
    if owed.ndim != 2 or owed.shape[0] != owed.shape[1]:
        raise SettlementError(f"obligations of {owed.shape} are not those of each bank to each")
    if (owed < 0).any():
        raise SettlementError(f"obligations of {int(owed.min())} fen: they are not negative")
    if owed.diagonal().any():
        raise SettlementError("a bank owes itself nothing")
    if owed.astype(np.float64).sum() > AMOUNT_MAX:
        raise SettlementError("the obligations together leave int64")
    return owed


def matrix(banks: int, sender: Int64, receiver: Int64, amount: Int64) -> Int64:
    """int64[banks, banks]: the sum of the amounts by who owes whom."""
    owed = np.zeros((banks, banks), np.int64)
    np.add.at(owed, (sender, receiver), amount)
    return owed


def bilateral(owed: Int64) -> Int64:
    """int64[n, n]: of each pair the one who owes more owes the difference."""
    more: Int64 = np.maximum(owed - owed.T, 0)
    return more


def positions(owed: Int64) -> Int64:
    """int64[n]: what each bank is owed less what it owes; the sum is 0."""
    net: Int64 = owed.sum(axis=0) - owed.sum(axis=1)
    return net


def netted(owed: Int64) -> Netting:
    """How much is left of the obligations when they are netted."""
    net = positions(checked(owed))
    return Netting(int(owed.sum()), int(bilateral(owed).sum()), int(net[net > 0].sum()))


def lower_bound(owed: Int64) -> Int64:
    """int64[n]: the least a bank must have of its own for all to settle at once, what it owes net."""
    least: Int64 = np.maximum(-positions(owed), 0)
    return least


def upper_bound(banks: int, sender: Int64, receiver: Int64, amount: Int64) -> Int64:
    """int64[banks]: what a bank must have of its own for each payment to settle as it comes: the deepest it falls.

    The bounds are those of Leinonen and Soramaki, "Simulating interbank payment and securities settlement mechanisms
    with the BoF-PSS2 simulator", Bank of Finland Discussion Papers 23/2003.
    """
    if not len(amount):
        return np.zeros(banks, np.int64)
    bank = np.concatenate((sender, receiver))
    change = np.concatenate((-amount, amount))
    numbers = np.lexsort((np.tile(np.arange(len(amount)), 2), bank))
    bank, path = bank[numbers], np.cumsum(change[numbers])
    firsts = np.flatnonzero(np.diff(bank, prepend=-1))
    before = np.concatenate(([0], path[firsts[1:] - 1]))
    deepest = np.zeros(banks, np.int64)
    deepest[bank[firsts]] = np.maximum(before - np.minimum.reduceat(path, firsts), 0)
    return deepest
