"""Response times: the certified stay under the limit, conversion costs 15%, timeouts are the fitted tail."""

import numpy as np
import numpy.typing as npt
import pytest

import topologies
from producers import exactmath
from producers.economy import Economy
from producers.latency import NETWORK, ROUTES

CHINA = topologies.load("china")
ECONOMY = Economy(CHINA, 7)
LATENCY = ECONOMY.latency
CERTIFIED = np.array([i.certified is not None for i in CHINA.institutions if i.id in CHINA.banks])


def p99() -> npt.NDArray[np.float64]:
    """float64[banks, 4, 2]: 99th percentile in ms before the cut at the timeout."""
    z = exactmath.normal_quantile(0.99)
    return np.exp(LATENCY.mu + LATENCY.sigma[:, None, None] * z)


def test_certified_interfaces_meet_the_limit_and_some_others_do_not() -> None:
    assert CERTIFIED.sum() == 18
    assert p99()[CERTIFIED].max() < 200
    assert (p99()[~CERTIFIED, NETWORK, 0] > 200).any()


def test_conversion_costs_fifteen_per_cent_pooled_over_banks() -> None:
    through = LATENCY.middleware
    mean = np.exp(LATENCY.mu[:, NETWORK] + LATENCY.sigma[:, None] ** 2 / 2)
    converted = (ECONOMY.size * through * mean[:, 1]).sum() / (ECONOMY.size * through).sum()
    native = (ECONOMY.size * (1 - through) * mean[:, 0]).sum() / (ECONOMY.size * (1 - through)).sum()
    assert converted / native == pytest.approx(1.15, abs=1e-9)


def test_timeouts_are_the_mean_tail() -> None:
    tail = LATENCY.tail[:, NETWORK]
    mean = (ECONOMY.size * ((1 - LATENCY.middleware) * tail[:, 0] + LATENCY.middleware * tail[:, 1])).sum()
    assert LATENCY.timeouts(ECONOMY.size, NETWORK) == pytest.approx(mean)
    assert (LATENCY.tail[CERTIFIED] < 1e-5).all()
    assert ROUTES[NETWORK] == "NETWORK"
