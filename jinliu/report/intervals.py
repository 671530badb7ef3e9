"""95% intervals, each by the method that fits how its figure was sampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv, stdtrit

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds and the method's name."""

    low: float
    high: float
    method: str


def wilson(hits: int, trials: int) -> Interval:
    """Score interval of a share (Wilson, Probable Inference, JASA 22, 1927). For independent people."""
    share, z2 = hits / trials, Z * Z / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    return Interval(middle - half, middle + half, "Wilson")


def clopper_pearson(hits: int, trials: float) -> Interval:
    """Exact binomial interval (Clopper and Pearson, Biometrika 26, 1934).

    For rare strata `hits` is the number of records and `trials` the weighted total in units of one record's weight.
    """
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, TAIL))
    high = 1.0 if hits >= trials else float(betaincinv(hits + 1, trials - hits, 1 - TAIL))
    return Interval(low, high, "Clopper-Pearson, effective counts")


def ratio(parts: Sequence[float], wholes: Sequence[float], clusters: str) -> Interval | None:
    """Delta-method interval of sum(parts) / sum(wholes) over clusters (Cochran, Sampling Techniques, 6.3).

    None with fewer than two clusters.
    """
    n, whole = len(parts), math.fsum(wholes)
    if n < 2 or not whole:
        return None
    value = math.fsum(parts) / whole
    squares = math.fsum((part - value * size) ** 2 for part, size in zip(parts, wholes, strict=True))
    half = _t(n - 1) * math.sqrt(n / (n - 1) * squares) / abs(whole)
    return Interval(value - half, value + half, f"ratio, by {clusters}")


def total(values: Sequence[float], clusters: str, scale: float = 1.0) -> Interval | None:
    """t interval of scale * sum(values) over clusters that are taken as drawn alike; seasons between them widen it."""
    n = len(values)
    if n < 2:
        return None
    whole = math.fsum(values)
    squares = math.fsum((value - whole / n) ** 2 for value in values)
    half = _t(n - 1) * math.sqrt(n * squares / (n - 1))
    return Interval(scale * (whole - half), scale * (whole + half), f"t, by {clusters}")


def mean(values: Sequence[float], clusters: str) -> Interval | None:
    """t interval of a mean over clusters."""
    return total(values, clusters, 1 / len(values)) if values else None


def _t(freedom: int) -> float:
    return float(stdtrit(freedom, 1 - TAIL))
