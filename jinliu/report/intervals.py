"""95% intervals, each by the method that fits how its figure was sampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv, gammaincinv, stdtrit

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


def poisson(count: int, scale: float = 1.0) -> Interval:
    """Exact interval of scale * count (Garwood, Biometrika 28, 1936). For what is told independently, each alike."""
    low = 0.0 if count == 0 else float(gammaincinv(count, TAIL))
    return Interval(scale * low, scale * float(gammaincinv(count + 1, 1 - TAIL)), "Poisson")


def growth(value: float, variance: float, before: float, variance_before: float) -> Interval:
    """Interval of value / before - 1 by the delta method on the logarithm, of two independent totals above 0.

    variance: of a total of counts n that stand for w each, the sum of w ** 2 * n (Poisson).
    """
    spread = Z * math.sqrt(variance / value**2 + variance_before / before**2)
    times = value / before
    return Interval(times * math.exp(-spread) - 1, times * math.exp(spread) - 1, "Poisson, log")


Ratio = tuple[Sequence[float], Sequence[float]]
"""Parts and wholes, by cluster."""


def difference(first: Ratio, second: Ratio, clusters: str) -> Interval | None:
    """Delta-method interval of one ratio of sums less another over the same clusters. None with fewer than two."""
    n, values, errors = len(first[0]), [], []
    for parts, wholes in (first, second):
        whole = math.fsum(wholes)
        if n < 2 or not whole:
            return None
        value = math.fsum(parts) / whole
        values.append(value)
        errors.append([(part - value * size) / whole for part, size in zip(parts, wholes, strict=True)])
    squares = math.fsum((one - other) ** 2 for one, other in zip(*errors, strict=True))
    half = _t(n - 1) * math.sqrt(n / (n - 1) * squares)
    return Interval(values[0] - values[1] - half, values[0] - values[1] + half, f"ratios, paired by {clusters}")


def scaled(interval: Interval | None, factor: float) -> Interval | None:
    """The interval of what is `factor` (above 0) times as great."""
    return interval and Interval(interval.low * factor, interval.high * factor, interval.method)


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line by least squares. slope_interval, and `at`'s intervals of the mean, by Student's t."""

    intercept: float
    slope: float
    slope_interval: Interval
    _middle: float
    _squares: float
    _variance: float
    _points: int

    def at(self, x: float) -> tuple[float, Interval]:
        """The line's height at x."""
        height = self.intercept + self.slope * x
        spread = self._variance * (1 / self._points + (x - self._middle) ** 2 / self._squares)
        half = _t(self._points - 2) * math.sqrt(spread)
        return height, Interval(height - half, height + half, "least squares")


def line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Least squares of y on x; None with fewer than three points or where all x are alike."""
    n = len(x)
    middle, height = math.fsum(x) / max(n, 1), math.fsum(y) / max(n, 1)
    squares = math.fsum((each - middle) ** 2 for each in x)
    if n < 3 or not squares:
        return None
    slope = math.fsum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / squares
    left = math.fsum((b - height - slope * (a - middle)) ** 2 for a, b in zip(x, y, strict=True)) / (n - 2)
    half = _t(n - 2) * math.sqrt(left / squares)
    bounds = Interval(slope - half, slope + half, "least squares")
    return Line(height - slope * middle, slope, bounds, middle, squares, left, n)
