"""Whether loan pages tell the annual percentage rate (section 5.2.2 of the paper)."""

import numpy as np
import numpy.typing as npt

from jinliu.report import intervals
from jinliu.report.beside import Int64, Steps
from jinliu.report.facts import Facts, UncoveredError
from jinliu.report.measured import Measured, measures

Floats = npt.NDArray[np.float64]
PPM = 1e6
LOWEST, HIGHEST, HALVINGS = -0.5, 10.0, 80
"""Of the rate of a month, and how often the interval between is halved: to the last bit."""
ROUNDING_PPM = 1.0
"""A rate is told in whole millionths."""


@measures("loan.apr")
def disclosed(facts: Facts) -> Measured:
    """Offers whose APR is the internal rate of their cash flows, found anew by bisection."""
    steps = facts.raw.steps()
    told = steps.offers["apr_ppm"]
    if not len(told):
        raise UncoveredError("no loan was offered in what was read of topic loans")
    off = np.abs(internal_rate_ppm(steps) - told)
    right = off <= ROUNDING_PPM
    note = f"{len(told):,} offers in {steps.read:,} of the topic's {steps.of:,} records"
    if not right.all():
        wrong = int(np.argmax(off))
        amount = steps.offers["amount_fen"][wrong] / 100
        note += f"; worst: {off[wrong]:,.0f} millionths off in an offer of {amount:,.2f} yuan"
    sampled = steps.read < steps.of
    return Measured(
        float(right.mean()),
        (intervals.clopper_pearson(int(right.sum()), len(told)) if sampled else None,),
        (f"topic loans, {len(told):,} events OFFERED in stretches of every shard",),
        note=note,
    )


def internal_rate_ppm(steps: Steps) -> Floats:
    """float64[n]: effective annual internal rate in millionths of amount less fee now against what is repaid; nan where
    an offer lacks something of it."""
    amount, fee, rate, months, _ = (
        steps.offers[name] for name in ("amount_fen", "fee_fen", "rate_ppm", "months", "apr_ppm")
    )
    found = np.full(len(amount), np.nan)
    complete = (amount > fee) & (fee >= 0) & (rate >= 0) & (months > 0)
    for term in np.unique(months[complete]).tolist():
        rows = np.flatnonzero(complete & (months == term))
        alike = np.stack((amount[rows], fee[rows], rate[rows]))
        each, place = np.unique(alike, axis=1, return_inverse=True)
        monthly = _bisected((each[0] - each[1]).astype(np.float64), instalments(each[0], each[2], term))
        found[rows] = (((1 + monthly) ** 12 - 1) * PPM)[place.reshape(-1)]
    return found


def instalments(amount: Int64, rate_ppm: Int64, months: int) -> Int64:
    """int64[n, months], fen: level instalments in arrears, rounded up to the fen, of which the last takes what rounding
    left; the interest of a month is a twelfth of the year's on what is outstanding, rounded to the fen.
    """
    a_month = rate_ppm / (12 * PPM)
    annuity = np.where(rate_ppm > 0, (1 - (1 + a_month) ** -months) / np.where(rate_ppm > 0, a_month, 1), months)
    level = np.ceil(amount / annuity).astype(np.int64)
    left, paid = amount.copy(), np.empty((len(amount), months), np.int64)
    for month in range(months - 1):
        interest = (2 * left * rate_ppm + 12_000_000) // 24_000_000
        paid[:, month] = np.minimum(level, left + interest)
        left -= paid[:, month] - interest
    paid[:, -1] = left + (2 * left * rate_ppm + 12_000_000) // 24_000_000
    return paid


def _bisected(received: Floats, paid: Int64) -> Floats:
    """float64[n]: the rate of a month at which what is paid is worth what was received; nan where none is in bounds."""
    low, high = np.full(len(received), LOWEST), np.full(len(received), HIGHEST)
    outside = (_worth(paid, low) < received) | (_worth(paid, high) > received)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = _worth(paid, middle) > received
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(outside, np.nan, (low + high) / 2)


def _worth(paid: Int64, rate: Floats) -> Floats:
    """float64[n]: present value of monthly payments at a monthly rate."""
    worth = np.zeros(len(rate))
    for month in range(paid.shape[1] - 1, -1, -1):
        worth = (worth + paid[:, month]) / (1 + rate)
    return worth
