"""Deferred net settlement: the obligations of a cycle settle by their multilateral positions, all or nothing.

What happens where a bank cannot pay its position is the system's rule:

    NOTHING    nothing settles
    EXCLUDE    the bank that lacks most (ties: the first by number) is left out with all that it owes and is owed, and
               the positions of the others are calculated again, until all can pay
    GUARANTEE  a fund pays what is lacking, if it holds enough for all; else as EXCLUDE

What is left out stays owed, to the fen.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from streams.settlement.errors import SettlementError
from streams.settlement.netting import Int64, checked, positions


class Shortfall(StrEnum):
    """What is done where a bank cannot pay its position."""

    NOTHING = "nothing"
    EXCLUDE = "exclude"
    GUARANTEE = "guarantee"


class Round(NamedTuple):
    """One calculation: int64[n] each. excluded: the bank that is left out behind it, -1 for none."""

    positions: Int64
    lacking: Int64
    excluded: int


class NetSettlement(NamedTuple):
    """settled, carried: int64[n, n], together what was owed. positions: int64[n] that are paid. drawn: int64[n] from
    the fund. cover: the largest net debit of the whole cycle, which resources of the system should cover (CPMI-IOSCO,
    Principles for financial market infrastructures, 2012, principles 4 and 7).
    """

    settled: Int64
    carried: Int64
    positions: Int64
    drawn: Int64
    cover: int
    rounds: tuple[Round, ...]


def settle(owed: Int64, available: Int64, rule: Shortfall, fund: int = 0) -> NetSettlement:
    """Settle a cycle. owed: int64[n, n], row owes column. available: int64[n] a bank can pay, balance and credit.

    Raises SettlementError.
    """
    if len(available) != len(checked(owed)):
        raise SettlementError(f"{len(available)} balances of {len(owed)} banks")
    if fund < 0:
        raise SettlementError(f"a guarantee fund of {fund} fen: it is not negative")
    inside = np.ones(len(owed), bool)
    rounds: list[Round] = []
    while True:
        settled = np.where(np.outer(inside, inside), owed, 0)
        net = positions(settled)
        lacking = np.where(net < 0, np.maximum(-net - np.maximum(available, 0), 0), 0)
        drawn = lacking if rule == Shortfall.GUARANTEE and _total(lacking) <= fund else np.zeros_like(lacking)
        if not (lacking - drawn).any():
            rounds.append(Round(net, lacking, -1))
            break
        out = int(np.argmax(lacking))
        rounds.append(Round(net, lacking, -1 if rule == Shortfall.NOTHING else out))
        if rule == Shortfall.NOTHING:
            settled, net = np.zeros_like(owed), np.zeros_like(net)
            break
        inside[out] = False
    whole = rounds[0].positions
    return NetSettlement(settled, owed - settled, net, drawn, int(-whole.min(initial=0)), tuple(rounds))


def _total(amounts: Int64) -> int:
    return sum(amounts.tolist())
