"""What `scoring` comes to over a pool, in closed form: for the fit and for tests, not for the events.

With X standard normal, a borrower defaults when X < mean + z; so X' = (X - z) / sqrt(2) and the guess m, brought to
variance 1, are bivariate normal with correlation -sqrt(tau / (2 (1 + tau))), and both rates are volumes under it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_FAR = 9.0
"""Standard deviations behind which lie 1e-19 of a pool."""


class Outcome(NamedTuple):
    """approved: share of the pool that is taken. default_rate: share of those that then default (nan where none)."""

    approved: float
    default_rate: float


def outcome(mean: float, precision: float, highest: float) -> Outcome:
    """What becomes of a pool whose borrowers are taken while E[PD | s] < `highest`.

    mean : mu - delta v of `scoring`. precision : tau, at least 0.
    """
    variance = 1.0 / (1.0 + precision)
    scale = math.sqrt(1.0 + variance)
    last = float(norm.ppf(highest)) * scale - mean
    if precision == 0.0:
        return Outcome(1.0, float(norm.cdf(mean / scale))) if last > 0.0 else Outcome(0.0, math.nan)
    spread = math.sqrt(precision * variance)
    approved = float(norm.cdf(last / spread))
    if approved == 0.0:
        return Outcome(0.0, math.nan)
    # The joint probability by one integral over the guess: scipy's bivariate normal is too coarse in the tails.
    top = min(_FAR, last / spread)
    bottom = min(-_FAR, top - 3.0)
    guess = (top - bottom) / 2.0 * _NODES + (top + bottom) / 2.0
    density = norm.cdf((mean + spread * guess) / scale) * norm.pdf(guess)
    joint = (top - bottom) / 2.0 * float(_WEIGHTS @ density)
    return Outcome(approved, joint / approved)
