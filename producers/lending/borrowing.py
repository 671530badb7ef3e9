"""The borrowing kernel: every borrower of a shard through all years, and the loans that come of it.

A borrower's occasions are a Poisson process in the pool's cumulative rate. On each one or two lenders are asked; each
sees the propensity z through noise of its own, decides by the day's cutoff, and knows of the borrower's past what it
has seen itself, what the credit system tells those who report to it, and, while data is shared, all open loans. Of an
open loan each instalment in turn is a chance to default: with PD = Phi(mu - delta v + z + omega n), n loans open
elsewhere at the time, the k-th of N instalments adds -log(1 - PD) times 2 (N - k + 1) / (N (N + 1)) to a hazard, and
the loan defaults when it passes -log(1 - U), U a uniform drawn once. So without other loans it defaults with
probability PD.

Every draw is `words(seed, stream, borrower, place, purpose, 0)`: nothing depends on who simulates what.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers import exactmath
from producers.lending.calendar import DAY_MS, due_ms
from producers.native import compiled, entry, leaf
from producers.philox import words
from producers.sampling import high, interpolate, low, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PERSON, OCCASION, ASKED = 0, 1, 2  # purposes of a draw; ASKED and the next are the lenders asked on an occasion
SERIALS = 256  # applications a borrower can be told of
OPEN_MAX = 24  # loans a borrower can have at once
SAME_LENDER = 3  # open loans with one lender
SCREENED_OUT, REJECTED, ABANDONED, FUNDED = range(4)
HUNDRED_YUAN_FEN = 10_000
HALF = 4294967296.0
NEVER = 9223372036854775807
A_MINUTE_MS = 60_000  # between asking one lender and the next
DEFAULT_MS = 90 * DAY_MS


class Scene(NamedTuple):
    """What holds for one (source, shard); arrays of the market by rows of days."""

    seed: Any  # uint64
    stream: Any  # uint64
    shard: int
    shards: int
    start_ms: int  # of the first day
    first: Ints  # [pools]
    people: Ints  # [pools]
    on_record: Floats  # [pools]
    several: Floats  # [pools]
    offers_at: Ints  # [pools + 1] into `offers`
    offers: Ints  # offers by pool
    mine: NDArray[np.bool_]  # [offers] told by this source
    wanted: NDArray[np.bool_]  # [pools] holds an offer of this source
    lender: Ints  # [offers] number of the lender, below 64
    months: Ints  # [offers]
    amount_fen: Ints  # [offers]
    sigma: Floats  # [offers] of the time a decision takes
    waits: NDArray[np.bool_]  # [offers] applicants wait at the screen
    comes: NDArray[np.bool_]  # [offers] through a facilitator
    brought: NDArray[np.bool_]  # [offers] a platform brings the borrower to a bank
    share_low: Floats  # [offers] of the platform, where it is drawn for each loan
    share_high: Floats  # [offers]
    introduced: Floats  # [offers] share of loans whose customer the bank introduces to the platform
    amount_knots: Ints  # [4097]
    ask: Floats  # [days, offers]
    cumulative: Floats  # [pools, days + 1]
    cutoff: Floats  # [days, offers, 2]
    screen: Floats
    own: Floats
    referred: Floats
    quality: Floats  # [days, offers]
    mean: Floats
    room: Floats  # [days, offers]
    median_ms: Floats
    platform_ppm: Ints
    shared: NDArray[np.bool_]  # [days]
    reports: NDArray[np.bool_]  # [days, offers]
    overlap: float
    charge_off_ms: int
    patience_log_ms: float
    patience_sigma: float


class Loans(NamedTuple):
    """Applications and what came of them, one row each, in the order of borrowers. default : the first instalment
    missed, or 0. platform_ppm : the platform's part of the money.
    """

    borrower: Ints
    serial: Ints
    pool: NDArray[np.int16]
    offer: NDArray[np.int16]
    day: NDArray[np.int32]  # of the market
    applied_ms: Ints
    took_ms: Ints
    funded_ms: Ints
    amount_fen: Ints
    platform_ppm: NDArray[np.int32]
    outcome: NDArray[np.int8]
    default: NDArray[np.int16]
    on_record: NDArray[np.bool_]
    first: NDArray[np.bool_]
    introduced: NDArray[np.bool_]


def loans(capacity: int) -> Loans:
    """Room for `capacity` loans."""
    narrow: dict[str, Any] = {
        "pool": np.int16, "offer": np.int16, "day": np.int32, "platform_ppm": np.int32, "outcome": np.int8,
        "default": np.int16, "on_record": np.bool_, "first": np.bool_, "introduced": np.bool_,
    }  # fmt: skip
    return Loans(*(np.zeros(capacity, narrow.get(name, np.int64)) for name in Loans._fields))


class Open(NamedTuple):
    """The open loans of one borrower, `n[0]` of them; at : when the next instalment falls due or, behind a default,
    when it is written off."""

    n: Ints  # [1]
    at: Ints
    funded: Ints
    row: Ints  # of `Loans`, -1 where another source tells it
    k: Ints
    months: Ints
    lender: Ints
    failed: Ints
    reported: Ints
    mean: Floats
    hazard: Floats
    limit: Floats  # -log(1 - the loan's uniform): the hazard at which it defaults
    step: Floats  # -log(1 - PD) while `beside` loans are open elsewhere
    beside: Ints


@leaf
def elsewhere(o: Open, lender: int, at_ms: int) -> int:
    """Loans with other lenders that are open at a time."""
    n = 0
    for i in range(o.n[0]):
        if o.lender[i] != lender and o.funded[i] <= at_ms:
            n += 1
    return n


@leaf
def close(o: Open, i: int) -> None:
    """Forget open loan i."""
    last = o.n[0] - 1
    o.n[0] = last
    o.at[i], o.funded[i], o.row[i], o.k[i] = o.at[last], o.funded[last], o.row[last], o.k[last]
    o.months[i], o.lender[i], o.failed[i], o.reported[i] = (
        o.months[last], o.lender[last], o.failed[last], o.reported[last],
    )  # fmt: skip
    o.mean[i], o.hazard[i], o.limit[i] = o.mean[last], o.hazard[last], o.limit[last]
    o.step[i], o.beside[i] = o.step[last], o.beside[last]


@compiled
def advance(s: Scene, o: Open, z: float, until_ms: int, bad: Ints, out: Loans) -> None:
    """Instalments and write-offs before a time, in order. bad[0] : lenders who were not paid, as bits; bad[1] :
    defaults told to the credit system, 90 days later."""
    while o.n[0] > 0:
        i = 0
        for j in range(1, o.n[0]):
            if o.at[j] < o.at[i]:
                i = j
        if o.at[i] >= until_ms:
            return
        if o.failed[i] == 2:
            close(o, i)
            continue
        if o.failed[i] == 1:
            bad[1] += o.reported[i]
            o.failed[i] = 2
            o.at[i] += s.charge_off_ms - DEFAULT_MS
            continue
        months = o.months[i]
        beside = elsewhere(o, o.lender[i], o.at[i])
        if beside != o.beside[i]:
            o.beside[i] = beside
            o.step[i] = -exactmath.log(1.0 - min(exactmath.normal_cdf(o.mean[i] + z + s.overlap * beside), 0.999999))
        o.hazard[i] += o.step[i] * (2.0 * (months - o.k[i] + 1) / (months * (months + 1.0)))
        if o.hazard[i] > o.limit[i]:
            if o.row[i] >= 0:
                out.default[o.row[i]] = o.k[i]
            bad[0] |= np.int64(1) << o.lender[i]
            o.failed[i] = 1
            o.at[i] += DEFAULT_MS
            continue
        o.k[i] += 1
        if o.k[i] > months:
            close(o, i)
        else:
            o.at[i] = due_ms(o.funded[i], o.k[i])


@compiled
def decide(
    s: Scene, i: int, d: int, record: int, z: float, o: Open, bad: Ints, at_ms: int, took_ms: int,
    a: Any, b: Any, c: Any, e: Any,
) -> int:  # fmt: skip
    """What becomes of an application for offer i that is made at a time and decided on day d."""
    own, referred = s.own[d, i, record], s.referred[d, i, record]
    noise = exactmath.normal_quantile(unit(a))
    theirs = exactmath.normal_quantile(unit(b))
    if s.comes[i]:
        guess = (referred * z + math.sqrt(referred) * theirs) / (1.0 + referred)
        if guess >= s.screen[d, i, record]:
            return SCREENED_OUT
    same = 0
    for j in range(o.n[0]):
        if o.lender[j] == s.lender[i] and o.funded[j] <= at_ms:
            same += 1
    known = (bad[0] >> s.lender[i]) & 1 == 1 or (s.reports[d, i] and record == 1 and bad[1] > 0)
    if known or same >= SAME_LENDER or o.n[0] >= OPEN_MAX:
        return REJECTED
    precision = own + referred
    noise *= math.sqrt(own / s.quality[d, i])
    guess = (precision * z + noise + math.sqrt(referred) * theirs) / (1.0 + precision)
    last = s.cutoff[d, i, record]
    if s.shared[d]:
        last -= s.overlap * elsewhere(o, s.lender[i], at_ms)
    if guess >= last or low(c) >= s.room[d, i] * HALF or s.ask[d, i] <= 0.0:  # a band that is not offered any more
        return REJECTED
    if s.waits[i]:
        patience = s.patience_log_ms + s.patience_sigma * exactmath.normal_quantile((low(e) + 0.5) / HALF)
        if exactmath.log(float(took_ms)) > patience:
            return ABANDONED
    return FUNDED


@leaf
def day_at(cumulative: Floats, passed: float, since: int) -> int:
    """The first day, from `since` on, at whose end more than `passed` occasions have come; the number of days if
    none."""
    first, last = since, cumulative.shape[0] - 1
    while first < last:
        middle = (first + last) // 2
        if cumulative[middle + 1] <= passed:
            first = middle + 1
        else:
            last = middle
    return first


@compiled
def choose(s: Scene, p: int, d: int, u: float, other: int) -> int:
    """The offer asked for at a uniform u, or -1; beside offer `other`, one of another lender, if there is any."""
    whole = 1.0
    if other >= 0:
        whole = 0.0
        for at in range(s.offers_at[p], s.offers_at[p + 1]):
            if s.lender[s.offers[at]] != s.lender[other]:
                whole += s.ask[d, s.offers[at]]
    u *= whole
    for at in range(s.offers_at[p], s.offers_at[p + 1]):
        i = s.offers[at]
        if other >= 0 and s.lender[i] == s.lender[other]:
            continue
        u -= s.ask[d, i]
        if u < 0.0:
            return int(i)
    return -1


@compiled
def apply(
    s: Scene, p: int, i: int, d: int, at_ms: int, borrower: int, serial: int, place: int, purpose: int,
    record: int, z: float, o: Open, bad: Ints, told: Ints, out: Loans,
) -> None:  # fmt: skip
    """An application: decided on the terms of the day of the decision, and if funded an open loan the same day.
    told : rows written, whether a platform brought the borrower to a bank before.
    """
    a, b, c, e = words(s.seed, s.stream, np.uint64(borrower), np.uint64(place), np.uint64(purpose), np.uint64(0))
    f, g, h, _i = words(s.seed, s.stream, np.uint64(borrower), np.uint64(place), np.uint64(purpose), np.uint64(1))
    median = s.median_ms[d, i]
    spread = exactmath.exp(s.sigma[i] * exactmath.normal_quantile((high(c) + 0.5) / HALF))
    took = median * min(max(spread, 0.2), 5.0)
    took_ms = int(took)
    d = min((at_ms + took_ms - s.start_ms) // DAY_MS, s.ask.shape[0] - 1)
    outcome = decide(s, i, d, record, z, o, bad, at_ms, took_ms, a, b, c, e)
    amount = s.amount_fen[i] * interpolate(s.amount_knots, high(e)) >> 20
    amount = max(1, (amount + HUNDRED_YUAN_FEN // 2) // HUNDRED_YUAN_FEN) * HUNDRED_YUAN_FEN
    decided_ms = at_ms + took_ms
    funded_ms = decided_ms + 1000 + ((high(f) * 3_600_000) >> 32)
    if funded_ms // DAY_MS > decided_ms // DAY_MS:  # else another day's terms might forbid it
        funded_ms = max(decided_ms + 1, funded_ms // DAY_MS * DAY_MS - 2000)
    row = told[0] if s.mine[i] and serial < SERIALS else -1
    told[0] += 1 if row >= 0 else 0
    if row >= out.borrower.shape[0]:
        row = -1  # there was too little room; the caller sees by told[0]
    if row >= 0:
        out.borrower[row] = borrower
        out.serial[row] = serial
        out.pool[row] = p
        out.offer[row] = i
        out.day[row] = d
        out.applied_ms[row] = at_ms
        out.took_ms[row] = took_ms
        out.funded_ms[row] = funded_ms
        out.amount_fen[row] = amount
        share = s.platform_ppm[d, i]
        if s.share_high[i] > 0.0:
            share = int((s.share_low[i] + (s.share_high[i] - s.share_low[i]) * (low(f) / HALF)) * 1e6)
        out.platform_ppm[row] = share
        out.outcome[row] = outcome
        out.default[row] = 0
        out.on_record[row] = record == 1
        out.introduced[row] = low(h) / HALF < s.introduced[i]
        out.first[row] = outcome == FUNDED and s.brought[i] and told[1] == 0
    if outcome == FUNDED:
        n = o.n[0]
        o.n[0] = n + 1
        o.funded[n] = funded_ms
        o.at[n] = due_ms(funded_ms, 1)
        o.row[n] = row
        o.k[n] = 1
        o.months[n] = s.months[i]
        o.lender[n] = s.lender[i]
        o.failed[n] = 0
        o.reported[n] = 1 if s.reports[d, i] and record == 1 else 0
        o.mean[n] = s.mean[d, i, record]
        o.hazard[n] = 0.0
        o.limit[n] = -exactmath.log(1.0 - unit(g))
        o.step[n] = 0.0
        o.beside[n] = -1
        told[1] = 1 if s.brought[i] else told[1]


def _make(stamp: str) -> Any:
    def borrow(s: Scene, out: Loans) -> int:
        stamp  # noqa: B018  (keys the cache)
        days = s.ask.shape[0]
        o = Open(
            np.zeros(1, np.int64), np.zeros(OPEN_MAX, np.int64), np.zeros(OPEN_MAX, np.int64),
            np.zeros(OPEN_MAX, np.int64), np.zeros(OPEN_MAX, np.int64), np.zeros(OPEN_MAX, np.int64),
            np.zeros(OPEN_MAX, np.int64), np.zeros(OPEN_MAX, np.int64), np.zeros(OPEN_MAX, np.int64),
            np.zeros(OPEN_MAX), np.zeros(OPEN_MAX), np.zeros(OPEN_MAX), np.zeros(OPEN_MAX),
            np.zeros(OPEN_MAX, np.int64),
        )  # fmt: skip
        bad = np.zeros(2, np.int64)
        told = np.zeros(2, np.int64)
        zero = np.uint64(0)
        for p in range(s.first.shape[0]):
            if not s.wanted[p]:
                continue
            begin = s.first[p] + (s.shard - s.first[p]) % s.shards
            for borrower in range(begin, s.first[p] + s.people[p], s.shards):
                a, b, _c, _d = words(s.seed, s.stream, np.uint64(borrower), zero, np.uint64(PERSON), zero)
                z = exactmath.normal_quantile(unit(a))
                record = 1 if unit(b) < s.on_record[p] else 0
                o.n[0] = 0
                bad[0] = bad[1] = told[1] = 0
                serial, place, d, passed = 0, 0, 0, 0.0
                while True:
                    u, v, _w, _x = words(
                        s.seed, s.stream, np.uint64(borrower), np.uint64(place), np.uint64(OCCASION), zero
                    )
                    passed -= exactmath.log(unit(u))
                    d = day_at(s.cumulative[p], passed, d)
                    if d >= days:
                        break
                    span = s.cumulative[p, d + 1] - s.cumulative[p, d]
                    at_ms = s.start_ms + d * DAY_MS + int((passed - s.cumulative[p, d]) / span * DAY_MS)
                    advance(s, o, z, at_ms, bad, out)
                    i = choose(s, p, d, (high(v) + 0.5) / HALF, -1)
                    if i >= 0:
                        apply(s, p, i, d, at_ms, borrower, serial, place, ASKED, record, z, o, bad, told, out)
                        serial += 1
                        more = low(v) / HALF
                        if more < s.several[p]:  # given that it lies below, where it lies there is uniform again
                            j = choose(s, p, d, more / s.several[p], i)
                            if j >= 0:
                                apply(
                                    s, p, j, d, at_ms + A_MINUTE_MS, borrower, serial, place, ASKED + 1, record, z, o,
                                    bad, told, out,
                                )  # fmt: skip
                                serial += 1
                    place += 1
                advance(s, o, z, NEVER, bad, out)
        return int(told[0])

    return borrow


borrow = entry(_make)
