"""exp, log and the normal distribution from IEEE + - * / and sqrt alone: the same bits on every machine.

libm's and numpy's functions differ in the last bit between CPUs with and without AVX512, and a digest of events would
differ with them. These are within a few units in the last place and, what counts here, reproducible. numba emits no
fused multiply-add without `fastmath`, so each operation rounds once, as IEEE 754 says.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from producers.native import compiled

_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # low 32 bits zero: n * _LN2_HIGH is exact (fdlibm e_exp.c)
_LN2_LOW = 1.90821492927058770002e-10
_SQRT_HALF = 0.7071067811865476
_SQRT_TAU = 2.5066282746310002
_POWERS = np.array([math.ldexp(1.0, k) for k in range(-1022, 1024)], dtype=np.float64)
QUANTILES = 4096


@compiled
def exp(x: float) -> float:
    """e**x, relative error below 4e-16; 0 below -700 and capped at e**700."""
    if x < -700.0:
        return 0.0
    if x > 700.0:
        x = 700.0
    n = math.floor(x * _LOG2E + 0.5)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.1470745597729725e-11  # 1 / 14!, and so on down: Taylor's series, enough for |r| <= ln 2 / 2
    p = p * r + 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return float(p * _POWERS[int(n) + 1022])


@compiled
def log(x: float) -> float:
    """Natural logarithm of a positive finite x; -inf at 0 and below."""
    if x <= 0.0:
        return -np.inf
    m, e = math.frexp(x)
    if m < _SQRT_HALF:
        m *= 2.0
        e -= 1
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    p = 0.0
    for k in range(23, 0, -2):
        p = p * q + 1.0 / k
    return e * _LN2_HIGH + (2.0 * s * p + e * _LN2_LOW)


@compiled
def normal_quantile(p: float) -> float:
    """Inverse of the standard normal distribution function for 0 < p < 1 (Wichura, AS 241, PPND16)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        a = (
            (2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853
        ) * r + 45921.953931549871457
        a = ((a * r + 13731.693765509461125) * r + 1971.5909503065514427) * r + 133.14166789178437745
        b = ((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r + 21213.794301586595867
        b = ((b * r + 5394.1960214247511077) * r + 687.1870074920579083) * r + 42.313330701600911252
        return q * (a * r + 3.387132872796366608) / (b * r + 1.0)
    r = p if q < 0.0 else 1.0 - p
    r = math.sqrt(-log(r))
    if r <= 5.0:
        r -= 1.6
        a = ((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
        a = (((a + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
        a = (a + 4.6303378461565452959) * r + 1.42343711074968357734
        b = ((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
        b = (((b + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
        b = (b + 2.05319162663775882187) * r + 1.0
    else:
        r -= 5.0
        a = ((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
        a = (((a + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
        a = (a + 5.4637849111641143699) * r + 6.6579046435011037772
        b = ((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
        b = (((b + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
        b = (b + 0.59983220655588793769) * r + 1.0
    return -a / b if q < 0.0 else a / b


@compiled
def normal_cdf(x: float) -> float:
    """Standard normal distribution function (Hart 1968 as given by West 2005), relative error below 1e-13."""
    z = abs(x)
    if z > 37.0:
        tail = 0.0
    else:
        density = exp(-0.5 * z * z)
        if z < 7.07106781186547:
            a = ((3.52624965998911e-02 * z + 0.700383064443688) * z + 6.37396220353165) * z + 33.912866078383
            a = ((a * z + 112.079291497871) * z + 221.213596169931) * z + 220.206867912376
            b = ((8.83883476483184e-02 * z + 1.75566716318264) * z + 16.064177579207) * z + 86.7807322029461
            b = (((b * z + 296.564248779674) * z + 637.333633378831) * z + 793.826512519948) * z + 440.413735824752
            tail = density * a / b
        else:
            b = z
            for k in range(30, 0, -1):
                b = z + k / b
            tail = density / b / _SQRT_TAU
    return 1.0 - tail if x > 0.0 else tail


@compiled
def normal_knots() -> NDArray[np.float64]:
    """float64[4097]: normal quantiles at k / 4096; the two ends stand at a quarter of their cell."""
    knots = np.empty(QUANTILES + 1, np.float64)
    for k in range(1, QUANTILES):
        knots[k] = normal_quantile(k / QUANTILES)
    knots[0] = normal_quantile(0.25 / QUANTILES)
    knots[QUANTILES] = -knots[0]
    return knots
