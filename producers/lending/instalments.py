"""Level instalments in whole fen and the annual percentage rate of a loan's cash flows, loan by loan in columns.

Only IEEE + - * / of float64 and int64 arithmetic, each operation by itself: the same bits on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Fen = NDArray[np.int64]

PRINCIPAL_FEN_MAX = 10**12
"""Ten billion yuan; with `RATE_PPM_MAX` a month's interest stays within int64."""
RATE_PPM_MAX = 10**6
MONTHS_MAX = 360
APR_PPM_MAX = 10**15
"""A loan of one fen for which 5.6 are paid a month later; what is dearer is an error of whoever asks."""
_YEAR_PPM = 12 * 10**6


class Schedule(NamedTuple):
    """How loans are to be repaid: int64[loans, months] each, in fen, zero behind a loan's last month."""

    principal_fen: Fen
    interest_fen: Fen

    @property
    def instalment_fen(self) -> Fen:
        """int64[loans, months]: what is due."""
        return self.principal_fen + self.interest_fen


def schedule(principal_fen: Fen, rate_ppm: Fen, months: Fen) -> Schedule:
    """Level monthly instalments (an annuity in arrears), rounded to the fen.

    principal_fen, rate_ppm (nominal interest a year, millionths), months : int64[loans]. The interest of a month is a
    twelfth of the year's on what is outstanding, half a fen rounded up; the last instalment takes what rounding left,
    so that the principal adds up to the fen. Raises ValueError for a loan outside the limits of this module.
    """
    within("principal_fen", principal_fen, 1, PRINCIPAL_FEN_MAX)
    within("rate_ppm", rate_ppm, 0, RATE_PPM_MAX)
    within("months", months, 1, MONTHS_MAX)
    level = _level(principal_fen, rate_ppm, months)
    longest = int(months.max(initial=0))
    principal = np.zeros((len(level), longest), np.int64)
    interest = np.zeros((len(level), longest), np.int64)
    left = principal_fen.astype(np.int64)
    for month in range(longest):
        interest[:, month] = (left * rate_ppm + _YEAR_PPM // 2) // _YEAR_PPM
        part = np.minimum(level - interest[:, month], left)
        principal[:, month] = np.where(month == months - 1, left, part)
        left = left - principal[:, month]
    return Schedule(principal, interest)


def _level(principal_fen: Fen, rate_ppm: Fen, months: Fen) -> Fen:
    """int64[loans]: the instalment, rounded up to the fen: principal over the annuity's present value."""
    discount = 1.0 / (1.0 + rate_ppm / float(_YEAR_PPM))
    value = np.zeros(len(months))
    factor = np.ones(len(months))
    for month in range(int(months.max(initial=0))):
        factor = factor * discount
        value = value + np.where(month < months, factor, 0.0)
    return np.ceil(principal_fen / value).astype(np.int64)


def apr_ppm(received_fen: Fen, paid_fen: Fen) -> Fen:
    """Annual percentage rate in millionths, half rounded up: the internal rate of return of the borrower's cash flows.

    received_fen : int64[loans], what the borrower has in hand on the first day, fees taken off. paid_fen : int64[loans,
    months], what is paid at the end of each month. The rate X is the effective annual one that solves

        received = sum over months t of paid[t] / (1 + X) ** (t / 12)

    (Directive 2008/48/EC, Annex I, with equal months). It is negative where less is paid than was received. Solved by
    Newton's method in the monthly discount factor v: the sum is increasing and convex in v > 0, so that from a v above
    the root each step comes closer and none passes it; it is done where float64 tells no step from none. Raises
    ValueError where nothing is received or nothing paid, or something negative: there is no rate then; and for one
    above APR_PPM_MAX.
    """
    if (received_fen <= 0).any():
        raise ValueError("received_fen: nothing received, so there is no rate")
    if (paid_fen < 0).any() or (paid_fen.sum(axis=1) <= 0).any():
        raise ValueError("paid_fen: nothing or a negative amount paid, so there is no rate")
    received = received_fen.astype(np.float64)
    paid = paid_fen.astype(np.float64)
    v = np.ones(len(received))
    while (below := _present(paid, v)[0] < received).any():
        v = np.where(below, 2.0 * v, v)
    while True:
        value, slope = _present(paid, v)
        nearer = v - (value - received) / slope
        if (nearer >= v).all():
            break
        v = np.minimum(nearer, v)
    month = 1.0 / v
    quarter = month * month * month
    half = quarter * quarter
    ppm = np.floor((half * half - 1.0) * 1e6 + 0.5)
    if (ppm > APR_PPM_MAX).any():
        row = int(np.argmax(ppm))
        raise ValueError(f"paid_fen: loan {row} has a rate of {ppm[row]:.3g} millionths, allowed is {APR_PPM_MAX}")
    return ppm.astype(np.int64)


def _present(paid: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """float64[loans] each: present value of the payments at the monthly discount factor v and its slope (Horner)."""
    value = np.zeros(len(v))
    slope = np.zeros(len(v))
    for month in range(paid.shape[1] - 1, -1, -1):
        slope = slope * v + value
        value = value * v + paid[:, month]
    return value * v, slope * v + value


def within(name: str, values: Fen, least: int, most: int) -> None:
    """Raises ValueError naming the first loan (first axis) with a value outside least..most."""
    wrong = (values < least) | (values > most)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(f"{name}: loan {place[0]} has {values[place]}, allowed is {least} to {most}")
