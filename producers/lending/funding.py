"""Who puts in how much of a loan, and how what is repaid is divided, to the fen.

A share is in millionths. The platform's part of any amount is rounded down, so that no rounding ever lifts it over a
cap on its share; the bank's is the rest. Parts of instalments are differences of such parts of running totals: over a
loan each party gets back the principal that it put in, to the fen, whenever the loan stops.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from producers.lending.instalments import PRINCIPAL_FEN_MAX, Fen, within

WHOLE_PPM = 10**6
TOTAL_FEN_MAX = 9 * PRINCIPAL_FEN_MAX
"""A running total times a share stays within int64; interest of 800% on the largest loan."""


class Split(NamedTuple):
    """int64, in fen, of the shape of what was divided; the two add up to it."""

    platform_fen: Fen
    bank_fen: Fen


def split(amount_fen: Fen, platform_ppm: Fen) -> Split:
    """Divide amounts by the platform's share: int64[loans] each.

    Raises ValueError for an amount that is negative or above TOTAL_FEN_MAX, or a share outside 0 to 1 000 000.
    """
    within("amount_fen", amount_fen, 0, TOTAL_FEN_MAX)
    within("platform_ppm", platform_ppm, 0, WHOLE_PPM)
    platform = amount_fen * platform_ppm // WHOLE_PPM
    return Split(platform, amount_fen - platform)


def split_instalments(paid_fen: Fen, platform_ppm: Fen) -> Split:
    """Divide what comes in month by month, principal or interest: int64[loans, months], shares int64[loans].

    After any month both parties have had, of all that came in so far, exactly what `split` gives of it. Raises
    ValueError as `split` does, of the running totals.
    """
    within("paid_fen", paid_fen, 0, TOTAL_FEN_MAX)
    so_far = np.cumsum(paid_fen, axis=1)
    running = split(so_far, platform_ppm[:, np.newaxis])
    platform = np.diff(running.platform_fen, axis=1, prepend=0)
    return Split(platform, paid_fen - platform)
