"""Underwriting by a noisy signal: what a lender knows of a borrower, whom it takes, and what those then do.

A borrower's hidden propensity is z ~ N(0, 1). In a pool of mean mu it defaults with PD = Phi(mu + z - delta v), where v
is whether others will see the default and delta how much that disciplines. A lender of precision tau observes
s = z + e / sqrt(tau), e ~ N(0, 1), and knows mu, delta and v. Then z given s is N(m, 1 / (1 + tau)) with
m = s tau / (1 + tau), and

    E[PD | s] = Phi((mu - delta v + m) / sqrt(1 + 1 / (1 + tau))).

It lends while that lies below margin / (margin + LGD), what it earns on a loan that is repaid against what it loses on
one that is not: while m < `cutoff`. A precision of 0 sees nothing and takes all or none of a pool.
"""

from __future__ import annotations

import math

from producers import exactmath
from producers.native import compiled


@compiled
def cutoff(mean: float, precision: float, highest: float) -> float:
    """The m up to which a lender takes borrowers, which is where E[PD | s] = `highest`, 0 < highest < 1.

    Solved for once a pool and day, so that a borrower costs a comparison and no distribution function.
    """
    return exactmath.normal_quantile(highest) * math.sqrt(1.0 + 1.0 / (1.0 + precision)) - mean
