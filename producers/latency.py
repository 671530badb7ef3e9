"""Response times of the banks' interfaces: log-normal by institution and route, cut at the client's timeout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from producers import scalar
from topologies.economy import RouteName

if TYPE_CHECKING:
    from topologies import Topology

ROUTES: tuple[RouteName, ...] = get_args(RouteName)
DIRECT, NETWORK, BANKCARD, ON_US = range(4)


class Latency:
    """Latency figures of a world.

    Attributes
    ----------
    mu : float64[banks, 4 routes, 2 (native, through middleware)], log of the median in ms.
    sigma : float64[banks].
    tail : float64[banks, 4, 2], probability of a timeout.
    middleware : float64[banks], share of calls that pass protocol conversion (0 for modern cores).
    mean_s : float64[banks, 4], mean response in seconds, both ways weighted.
    """

    def __init__(self, topology: Topology, size: NDArray[np.float64]) -> None:
        figures = topology.economy.routes
        by_id = {institution.id: institution for institution in topology.institutions}
        banks = [by_id[bank] for bank in topology.banks]
        n = len(banks)
        self.mu = np.zeros((n, 4, 2), np.float64)
        self.sigma = np.zeros(n, np.float64)
        self.tail = np.zeros((n, 4, 2), np.float64)
        self.middleware = np.zeros(n, np.float64)
        self.mean_s = np.zeros((n, 4), np.float64)
        log_timeout = scalar.log(figures.timeout_ms)
        median = np.zeros(n, np.float64)
        for certified in (True, False):
            group = [b for b, bank in enumerate(banks) if (bank.certified is not None) == certified]
            medians = figures.certified_median_ms if certified else figures.other_median_ms
            sigmas = figures.certified_sigma if certified else figures.other_sigma
            for rank, b in enumerate(group):
                place = ((rank * 7) % len(group) + 0.5) / len(group)
                median[b] = medians[0] + (medians[1] - medians[0]) * place
                self.sigma[b] = sigmas[0] + (sigmas[1] - sigmas[0]) * place
                self.middleware[b] = figures.middleware_share if banks[b].legacy_core else 0.0
        median *= self._levelled(median, size)
        for b in range(n):
            self._fill(b, float(median[b]), figures.latency, figures.middleware, log_timeout)

    def _levelled(self, median: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors on the medians that give legacy cores, called natively, the mean of the modern ones.

        What conversion costs is then the only difference between calls through it and others, pooled or bank by bank.
        """
        legacy = self.middleware > 0
        mean = [float(m * scalar.exp(s * s / 2.0)) for m, s in zip(median, self.sigma, strict=True)]
        load = {
            kind: math.fsum(float(size[b]) for b in range(len(mean)) if legacy[b] == kind) for kind in (False, True)
        }
        if not load[False] or not load[True]:
            return np.ones(len(mean))
        pooled = {
            kind: math.fsum(float(size[b]) * mean[b] for b in range(len(mean)) if legacy[b] == kind) / load[kind]
            for kind in (False, True)
        }
        return np.where(legacy, pooled[False] / pooled[True], 1.0)

    def _fill(
        self, b: int, median: float, factors: Mapping[RouteName, float], converted: float, log_timeout: float
    ) -> None:
        spread = float(scalar.exp(self.sigma[b] * self.sigma[b] / 2.0))
        for r, route in enumerate(ROUTES):
            for through, factor in enumerate((1.0, converted)):
                typical = median * factors[route] * factor
                self.mu[b, r, through] = scalar.log(typical)
                z = (log_timeout - self.mu[b, r, through]) / self.sigma[b]
                self.tail[b, r, through] = scalar.normal_cdf(-z)
            share = self.middleware[b]
            self.mean_s[b, r] = median * factors[route] * spread * (1.0 - share + share * converted) / 1000.0

    def timeouts(self, size: NDArray[np.float64], route: int) -> float:
        """Mean probability of a timeout on a route over payers of banks with shares float64[banks]."""
        return math.fsum(
            float(
                size[b]
                * ((1 - self.middleware[b]) * self.tail[b, route, 0] + self.middleware[b] * self.tail[b, route, 1])
            )
            for b in range(len(size))
        )
