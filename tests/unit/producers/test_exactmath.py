"""Accuracy against libm and scipy; known bits, the same on every machine."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from producers import exactmath, scalar


def test_exp_and_log_are_within_units_in_the_last_place() -> None:
    for x in np.linspace(-600, 600, 3001).tolist():
        assert exactmath.exp(x) == pytest.approx(math.exp(x), rel=1e-15)
    for x in np.geomspace(1e-300, 1e300, 3000).tolist():
        assert exactmath.log(x) == pytest.approx(math.log(x), rel=1e-15, abs=1e-16)
    assert exactmath.exp(-1000.0) == 0.0
    assert exactmath.log(0.0) == -math.inf


def test_the_normal_distribution_is_scipys() -> None:
    for p in [*np.geomspace(1e-300, 0.5, 400).tolist(), *(1 - np.geomspace(1e-12, 0.5, 200)).tolist()]:
        assert exactmath.normal_quantile(p) == pytest.approx(norm.ppf(p), rel=1e-14, abs=1e-14)
    for x in np.linspace(-36, 8, 1001).tolist():
        assert exactmath.normal_cdf(x) == pytest.approx(norm.cdf(x), rel=1e-12)


def test_bits_are_fixed() -> None:
    assert exactmath.exp(1.0).hex() == "0x1.5bf0a8b14576ap+1"
    assert exactmath.log(10.0).hex() == "0x1.26bb1bbb55516p+1"
    assert exactmath.normal_quantile(0.975).hex() == "0x1.f5c0331eeff82p+0"
    knots = scalar.lognormal_knots(1.0)
    assert (int(knots[0]), int(knots[2048]), int(knots[4096])) == (13650, 636288, 29660826)


def test_sampled_lognormal_has_mean_one() -> None:
    knots = scalar.lognormal_knots(1.3).astype(float) / (1 << 20)
    assert ((knots[:-1] + knots[1:]) / 2).mean() == pytest.approx(1.0, abs=1e-5)
