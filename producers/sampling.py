"""Draws from counter-based words: Poisson counts, aliases, interpolated quantiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from producers import exactmath
from producers.native import compiled, leaf

HALF = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
SLOTS = 128  # of an alias table
QUARTER_MS = 900_000
QUARTERS = 96


@leaf
def high(word: np.uint64) -> int:
    """Upper 32 bits of a word, as int64."""
    return np.int64(word >> HALF)  # type: ignore[return-value]


@leaf
def low(word: np.uint64) -> int:
    """Lower 32 bits of a word, as int64."""
    return np.int64(word & LOW)  # type: ignore[return-value]


@leaf
def unit(word: np.uint64) -> float:
    """Uniform in (0, 1), 52 bits and never an end."""
    return (np.int64(word >> np.uint64(12)) + 0.5) / 4503599627370496.0


@leaf
def poisson(mean: float, word: np.uint64) -> int:
    """A Poisson count from one word: by inversion below a mean of 30, else rounded Cornish-Fisher (skewness error below
    1%).
    """
    if mean <= 0.0:
        return 0
    u = unit(word)
    if mean < 30.0:
        term = exactmath.exp(-mean)
        total = term
        n = 0
        while u > total and n < 200:
            n += 1
            term *= mean / n
            total += term
        return n
    z = exactmath.normal_quantile(u)
    return max(0, math.floor(mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0 + 0.5))


@compiled
def build_alias(weights: NDArray[np.float64], threshold: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Walker's alias table of up to 128 weights in 128 slots; thresholds in units of 2**-25. Returns the sum of the
    weights.
    """
    n = weights.shape[0]
    total = 0.0
    for i in range(n):
        total += weights[i]
    scaled = np.zeros(SLOTS, np.float64)
    small = np.empty(SLOTS, np.int64)
    large = np.empty(SLOTS, np.int64)
    ns = 0
    nl = 0
    for i in range(SLOTS):
        threshold[i] = 1 << 25
        other[i] = i
        if i < n and total > 0.0:
            scaled[i] = weights[i] / total * SLOTS
        if scaled[i] < 1.0:
            small[ns] = i
            ns += 1
        else:
            large[nl] = i
            nl += 1
    while ns > 0 and nl > 0:
        ns -= 1
        s = small[ns]
        g = large[nl - 1]
        threshold[s] = math.floor(scaled[s] * 33554432.0)
        other[s] = g
        scaled[g] -= 1.0 - scaled[s]
        if scaled[g] < 1.0:
            nl -= 1
            small[ns] = g
            ns += 1
    heaviest = 0
    for i in range(n):
        if weights[i] > weights[heaviest]:
            heaviest = i
    while ns > 0:  # rounding may leave an empty slot unpaired; it must never be picked itself
        ns -= 1
        s = small[ns]
        if s >= n or weights[s] == 0.0:
            threshold[s] = 0
            other[s] = heaviest
    return total


@leaf
def pick(threshold: NDArray[np.int64], other: NDArray[np.int64], bits: int) -> int:
    """A cell from 32 random bits."""
    slot = bits >> 25
    if (bits & 0x1FFFFFF) < threshold[slot]:
        return slot
    return int(other[slot])


@leaf
def interpolate(knots: NDArray[np.int64], bits: int) -> int:
    """Value at the quantile `bits` / 2**32 of an int64[4097] table, linear between knots."""
    cell = bits >> 20
    a = knots[cell]
    return int(a + (((knots[cell + 1] - a) * (bits & 0xFFFFF)) >> 20))


@leaf
def normal(knots: NDArray[np.float64], u: float) -> float:
    """Standard normal quantile at u in (0, 1): table inside, exact in the outermost cells."""
    x = u * 4096.0
    cell = math.floor(x)
    if cell < 4 or cell >= 4092:
        return float(exactmath.normal_quantile(u))
    return float(knots[cell] + (knots[cell + 1] - knots[cell]) * (x - cell))


@leaf
def elapsed(profile: NDArray[np.float64], ms: int) -> float:
    """Share of the day's payments before `ms` of the day; profile float64[97] is cumulative by quarter hour."""
    quarter = ms // QUARTER_MS
    if quarter >= QUARTERS:
        return 1.0
    return float(
        profile[quarter] + (profile[quarter + 1] - profile[quarter]) * ((ms - quarter * QUARTER_MS) / QUARTER_MS)
    )
