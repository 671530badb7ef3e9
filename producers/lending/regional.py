"""Small banks day by day in expected terms, as one compiled loop; `producers.lending.market` tells the equations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers import exactmath
from producers.lending.scoring import cutoff
from producers.native import compiled, entry

Floats = NDArray[np.float64]
EVERY_DAYS = 7
"""How often a bank looks at its screening anew: the rates of approval and default cost an integral each."""
BY_BANK = ("dependence", "quality", "assets", "equity", "profit")
OWN, REFERRED, COFINANCED = range(3)


def legendre(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Legendre quadrature on [-1, 1], from IEEE + - * / alone.

    numpy's come out of LAPACK, whose last bits depend on the machine. Newton's method on the recurrence of P_n
    (Davis and Rabinowitz, Methods of Numerical Integration, 2.7) until it stands still or turns around.
    """
    nodes, weights = np.zeros(n), np.zeros(n)
    for i in range((n + 1) // 2):
        x = _cosine(3.141592653589793 * (i + 0.75) / (n + 0.5))
        step = slope = 1.0
        for _ in range(100):
            before, value = 1.0, x
            for k in range(2, n + 1):
                before, value = value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k
            slope = n * (x * value - before) / (x * x - 1.0)
            if abs(value / slope) >= step:
                break
            step = abs(value / slope)
            x -= value / slope
        nodes[i], nodes[n - 1 - i] = -x, x
        weights[i] = weights[n - 1 - i] = 2.0 / ((1.0 - x * x) * slope * slope)
    return nodes, weights


def _cosine(angle: float) -> float:
    """Taylor's series, for 0 to pi: a guess to begin with."""
    term = total = 1.0
    for k in range(1, 20):
        term *= -angle * angle / ((2.0 * k - 1.0) * (2.0 * k))
        total += term
    return total


NODES, WEIGHTS = legendre(40)


class Params(NamedTuple):
    """float64 but where said: [days, offers] for what depends on the day and the offer, [..., 2] without and with a
    record in the credit system."""

    offer_of: NDArray[np.int64]  # [banks, 3 roles]
    asked: Floats  # [days, banks, 3] yuan a day
    on_record: Floats  # [banks]
    equity: Floats  # [banks] yuan
    overhead: Floats  # [banks] yuan a year
    rate: Floats
    life: Floats
    exposure: Floats
    money: Floats
    cost: Floats  # [offers]
    own: Floats  # [days, offers, 2]
    referred: Floats  # [days, offers, 2]
    mean: Floats  # [days, offers, 2]
    bargaining: Floats  # [days]
    loss: float
    fee: float
    beta: float
    dependence: float
    decay: float
    least: float
    memory: float
    capital_ratio: float
    payout: float
    nodes: Floats
    weights: Floats


class State(NamedTuple):
    """screening, commission, room : float64[days, offers]; the others float64[days, banks], yuan where money."""

    screening: Floats
    commission: Floats
    room: Floats
    dependence: Floats
    quality: Floats
    assets: Floats
    equity: Floats
    profit: Floats


@compiled
def outcome(
    mean: float, own: float, referred: float, quality: float, last: float, nodes: Floats, weights: Floats
) -> tuple[float, float]:
    """Share of a pool that is approved, and the share of those that then default; 0 where nobody is.

    The lender weighs its own data as of precision `own`, and they are of quality * own: it takes z for
    m = (own s + referred t) / (1 + own + referred) < `last`. m is normal with mean 0; given m, z is normal around a
    multiple of m. With quality 1 the same as `producers.lending.expected.outcome`, in exact arithmetic.
    """
    total = own + referred
    noise = (own / quality if own > 0.0 else 0.0) + referred
    covariance = total / (1.0 + total)
    variance = (total * total + noise) / ((1.0 + total) * (1.0 + total))
    spread = math.sqrt(variance)
    scale = math.sqrt(2.0 - covariance * covariance / variance)
    top = last / spread
    approved = exactmath.normal_cdf(top)
    if approved < 1e-12:
        return 0.0, 0.0
    top = min(top, 9.0)
    bottom = min(-9.0, top - 3.0)
    half, middle = (top - bottom) / 2.0, (top + bottom) / 2.0
    joint = 0.0
    for k in range(nodes.shape[0]):
        guess = half * nodes[k] + middle
        density = exactmath.exp(-0.5 * guess * guess) / 2.5066282746310002
        joint += weights[k] * exactmath.normal_cdf((mean + covariance / spread * guess) / scale) * density
    return approved, half * joint / approved


@compiled
def screened(p: Params, d: int, b: int, role: int, quality: float, commission: float, out: Floats) -> None:
    """Approved share and default rate of a bank's offer on a day, over those with a record and without: out[2]."""
    i = p.offer_of[b, role]
    margin = (p.rate[d, i] - p.money[d, i] - p.cost[i]) * p.life[d, i] - commission
    out[0] = 0.0
    out[1] = 0.0
    if margin <= 0.0:
        return
    highest = margin / (margin + p.loss * p.exposure[d, i])
    for record in range(2):
        share = p.on_record[b] if record == 1 else 1.0 - p.on_record[b]
        own, referred = p.own[d, i, record], p.referred[d, i, record]
        last = cutoff(p.mean[d, i, record], own + referred, highest)
        approved, defaults = outcome(p.mean[d, i, record], own, referred, quality, last, p.nodes, p.weights)
        out[0] += share * approved
        out[1] += share * approved * defaults
    if out[0] > 0.0:
        out[1] /= out[0]


def _make(stamp: str) -> Any:
    def advance(p: Params, out: State) -> None:
        stamp  # noqa: B018  (keys the cache)
        days, banks = p.asked.shape[0], p.offer_of.shape[0]
        found = np.zeros((banks, 3, 2))
        assets, income, equity = np.zeros(banks), np.zeros(banks), p.equity.copy()
        quality, dependence, fee = np.ones(banks), np.zeros(banks), np.full(banks, p.fee)
        for b in range(banks):  # as if the first day's traffic had always been
            referred = p.asked[0, b, REFERRED] + p.asked[0, b, COFINANCED]
            total = referred + p.asked[0, b, OWN]
            dependence[b] = referred / total if total > 0.0 else 0.0
            quality[b] = max(p.least, 1.0 - dependence[b])
        for d in range(days):
            for b in range(banks):
                if d % EVERY_DAYS == 0 or p.rate[d, p.offer_of[b, REFERRED]] != p.rate[d - 1, p.offer_of[b, REFERRED]]:
                    for role in range(3):
                        screened(p, d, b, role, quality[b], fee[b] if role == REFERRED else 0.0, found[b, role])
                i = p.offer_of[b, REFERRED]
                surplus = (p.rate[d, i] - p.money[d, i] - p.cost[i]) * p.life[d, i]
                surplus -= found[b, REFERRED, 1] * p.exposure[d, i] * p.loss
                leaning = max(0.0, dependence[b] - p.dependence)
                fee[b] = p.fee + p.bargaining[d] * p.beta * leaning * max(0.0, surplus - p.fee)
                wanted = 0.0
                for role in range(3):
                    wanted += p.asked[d, b, role] * found[b, role, 0]
                runoff = assets[b] / (365.0 * p.life[d, i])
                left = max(0.0, equity[b] / p.capital_ratio - assets[b] + runoff)
                room = min(1.0, left / wanted) if wanted > 0.0 else 1.0
                lent, new_income, lost, written = 0.0, 0.0, 0.0, 0.0
                for role in range(3):
                    j = p.offer_of[b, role]
                    new = p.asked[d, b, role] * found[b, role, 0] * room
                    gone = new * found[b, role, 1] * p.exposure[d, j]
                    lent += new
                    written += gone
                    lost += gone * p.loss + (new * fee[b] if role == REFERRED else 0.0)
                    new_income += (new - gone) * (p.rate[d, j] - p.money[d, j] - p.cost[j])
                    out.room[d, j] = room
                    out.screening[d, j] = quality[b]
                    out.commission[d, j] = fee[b] if role == REFERRED else 0.0
                profit = (income[b] - p.overhead[b]) / 365.0 - lost
                equity[b] += profit * (1.0 - p.payout) if profit > 0.0 else profit
                income[b] += new_income - income[b] / (365.0 * p.life[d, i])
                assets[b] += lent - written - runoff
                taken = lent - p.asked[d, b, OWN] * found[b, OWN, 0] * room
                share = taken / lent if lent > 0.0 else dependence[b]
                dependence[b] += p.memory * (share - dependence[b])
                quality[b] = max(p.least, quality[b] + p.decay * ((1.0 - dependence[b]) - quality[b]))
                out.dependence[d, b], out.quality[d, b] = dependence[b], quality[b]
                out.assets[d, b], out.equity[d, b], out.profit[d, b] = assets[b], equity[b], profit * 365.0

    return advance


def _make_cutoffs(stamp: str) -> Any:
    def cutoffs(highest: Floats, precision: Floats, mean: Floats, out: Floats) -> None:
        stamp  # noqa: B018  (keys the cache)
        for d in range(out.shape[0]):
            for i in range(out.shape[1]):
                for record in range(2):
                    h = highest[d, i]
                    same = d > 0 and h == highest[d - 1, i] and precision[d, i, record] == precision[d - 1, i, record]
                    if same and mean[d, i, record] == mean[d - 1, i, record]:
                        out[d, i, record] = out[d - 1, i, record]
                    elif h <= 0.0:
                        out[d, i, record] = -np.inf
                    else:
                        out[d, i, record] = cutoff(mean[d, i, record], precision[d, i, record], h)

    return cutoffs


advance = entry(_make)
cutoffs = entry(_make_cutoffs)
