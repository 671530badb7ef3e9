"""The exact functions for calls from Python: one number or one table at a time, as machine code from the cache.

What is only `compiled` is compiled anew in each process that calls it from Python, half a second a function.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producers import exactmath, philox
from producers.exactmath import QUANTILES
from producers.native import entry


def _exp(stamp: str) -> Any:
    def call(x: float) -> float:
        stamp  # noqa: B018  (keys the cache)
        return exactmath.exp(x)

    return call


def _log(stamp: str) -> Any:
    def call(x: float) -> float:
        stamp  # noqa: B018
        return exactmath.log(x)

    return call


def _normal_cdf(stamp: str) -> Any:
    def call(x: float) -> float:
        stamp  # noqa: B018
        return exactmath.normal_cdf(x)

    return call


def _normal_knots(stamp: str) -> Any:
    def call() -> NDArray[np.float64]:
        stamp  # noqa: B018
        return exactmath.normal_knots()

    return call


def _word(stamp: str) -> Any:
    def call(k0: np.uint64, k1: np.uint64, c0: np.uint64) -> np.uint64:
        stamp  # noqa: B018
        zero = np.uint64(0)
        return philox.words(k0, k1, c0, zero, zero, zero)[0]

    return call


_exp_entry, _log_entry, _normal_cdf_entry = entry(_exp), entry(_log), entry(_normal_cdf)
_normal_knots_entry, _word_entry = entry(_normal_knots), entry(_word)


def exp(x: float) -> float:
    """`exactmath.exp`."""
    return float(_exp_entry(float(x)))


def log(x: float) -> float:
    """`exactmath.log`."""
    return float(_log_entry(float(x)))


def normal_cdf(x: float) -> float:
    """`exactmath.normal_cdf`."""
    return float(_normal_cdf_entry(float(x)))


def normal_knots() -> NDArray[np.float64]:
    """`exactmath.normal_knots`."""
    knots: NDArray[np.float64] = _normal_knots_entry()
    return knots


def added(values: Iterable[float]) -> float:
    """The sum, one addition after the other: from Python 3.12 on, the built-in one compensates."""
    total = 0.0
    for value in values:
        total += value
    return total


def word(k0: int, k1: int, c0: int) -> int:
    """The first word of the block (c0, 0, 0, 0) under the key (k0, k1), all below 2^64."""
    return int(_word_entry(np.uint64(k0), np.uint64(k1), np.uint64(c0)))


def lognormal_knots(sigma: float) -> NDArray[np.int64]:
    """int64[4097] in units of 2**-20: quantiles of a log-normal whose mean, linear between knots, is 1.

    Divided by the mean of the trapezoids, not by exp(sigma**2 / 2): the sampled mean is exact in spite of cut tails.
    """
    values = [exp(sigma * z) for z in normal_knots().tolist()]
    inner = [(a + b) / 2 for a, b in pairwise(values)]
    mean = math.fsum(inner) / QUANTILES
    return np.array([round(v / mean * (1 << 20)) for v in values], dtype=np.int64)
