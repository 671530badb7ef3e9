"""The paying kernel: all payments of many ticks of one (source, shard) in one compiled call.

A tick holds a main stratum (thinned to one in `weight`), finer strata of what is rare (timeouts, overflow, incidents:
one in `rare_weight` while rarer than 1%) and the fates of persons (phishing attempts, the first QR payment of a
year), which weigh `person_weight`. The main stratum is lowered by what the others carry, so weighted totals keep
their expectation. Every draw is `words(seed, stream, tick, index, purpose, block)`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers import exactmath
from producers.native import entry, inlined, leaf
from producers.people import merchant_bank, segment_of, traits
from producers.philox import words
from producers.recursion import BANK, CELLS, INSTRUMENTS, QR, SCENES, UNIONPAY
from producers.sampling import (
    QUARTER_MS,
    build_alias,
    elapsed,
    high,
    interpolate,
    low,
    normal,
    pick,
    poisson,
    unit,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
DAY_MS = 86_400_000
MAIN, TIMEOUT, OVERFLOW, INCIDENT, PHISHING, FIRST = range(6)  # strata
EVENT, COUNT, GAP = range(3)  # purposes of a draw
DIRECT, NETWORK, BANKCARD, ON_US = range(4)
TRANSFER_SCENE = 4
MERCHANT_BASE = 1 << 40
RARE = 0.01  # probability below which a stratum is drawn finer
OK, TIMED_OUT, OVER_CAPACITY, BLOCKED = range(4)
NO_FRAUD, PHISHED, BANK_INCIDENT = range(3)


class World(NamedTuple):
    """What holds for the whole span of one (source, shard)."""

    seed: Any  # uint64
    stream: Any  # uint64
    channel: int
    shard: int
    shards: int
    tick_ms: int
    weight: int
    rare_weight: int
    person_weight: int
    bounds: Ints  # [5] first person ids of the segments, population
    ranges: Ints  # [5] the same as places k in the shard: person = shard + shards * k
    bank_lut: NDArray[np.int16]  # [4096]
    profile: Floats  # [97]
    amount_fen: Ints  # [4, 6]
    amount_knots: Ints  # [4097]
    normal_knots: Floats  # [4097]
    merchants: Ints  # [6]
    mu: Floats  # [banks, 4, 2]
    sigma: Floats  # [banks]
    tail: Floats  # [banks, 4, 2]
    middleware: Floats  # [banks]
    timeout_ms: int
    timeout_max: float  # greatest tail
    timeout_mean: Floats  # [2 (DIRECT, NETWORK)] expected over the channel's payers


class Days(NamedTuple):
    """What holds on each day of the block, by rows."""

    volume: Floats  # [days, 96]
    network: Ints  # [days]
    overflow: Floats  # [days]
    hazard: Floats  # [days] phishing attempts per QR user of this source
    recall: Floats
    alarm: Floats
    incident: Floats
    adoption: Floats  # [days, 4]
    first_at: Ints  # [days + 1] into `first`
    first: Ints  # persons whose first QR payment of the year comes on the day, through this source


class Columns(NamedTuple):
    """Payment columns to fill, one row an event."""

    seq: Ints
    event_time: Ints
    payer_id: Ints
    payee_id: Ints
    segment: NDArray[np.int8]
    scene: NDArray[np.int8]
    instrument: NDArray[np.int8]
    payer_bank: NDArray[np.int16]
    payee_bank: NDArray[np.int16]
    amount_fen: Ints
    weight: Ints
    route: NDArray[np.int8]
    outcome: NDArray[np.int8]
    latency_ms: NDArray[np.int32]
    middleware: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    fraud: NDArray[np.int8]


@inlined
def draw(w: World, tick: int, index: int, purpose: int, block: int) -> tuple[Any, Any, Any, Any]:
    """Four words of this source and shard; tick counts from the epoch."""
    return words(w.seed, w.stream, np.uint64(tick), np.uint64(index), np.uint64(purpose), np.uint64(block))


@leaf
def stratum_weight(w: World, probability: float) -> int:
    """Weight of a stratum of that probability."""
    return min(w.rare_weight, w.weight) if probability < RARE else w.weight


@leaf
def phished(w: World, days: Days, d: int, tick: int, share: float, out: Ints) -> int:
    """Persons of the shard whom a phishing attempt meets in this tick: Bernoulli over persons, by geometric gaps.

    Writes ids while they fit and returns their number; only those who scan QR codes count.
    """
    rate = days.hazard[d] * share
    if rate <= 0.0:
        return 0
    step = -1.0 / (rate + rate * rate / 2.0 + rate * rate * rate / 3.0)  # 1 / log(1 - rate) for small rates
    people = w.ranges[4]
    k = -1
    n = 0
    serial = 0
    while True:
        a, _b, _c, _d = draw(w, tick, serial, GAP, 0)
        serial += 1
        gap = math.floor(exactmath.log(unit(a)) * step)
        if gap >= people - k - 1:
            return n
        k += 1 + int(gap)
        person = w.shard + w.shards * k
        t = traits(w.seed, person)
        if t[2] < days.adoption[d, segment_of(w.bounds, person)] * 4294967296.0:
            if n < out.shape[0]:
                out[n] = person
            n += 1


@leaf
def rates(w: World, days: Days, d: int, p: Floats) -> None:
    """Probability of each stratum of failure or incident per payment of day d into p float64[6]."""
    p[MAIN] = 1.0
    over = days.overflow[d] if w.channel < UNIONPAY and days.network[d] == 1 else 0.0
    p[OVERFLOW] = over
    p[TIMEOUT] = w.timeout_mean[days.network[d]] * (1.0 - over)
    p[INCIDENT] = days.incident[d] if w.channel == BANK else 0.0
    p[MAIN] = max(0.0, 1.0 - p[TIMEOUT] - p[OVERFLOW] - p[INCIDENT])
    p[PHISHING] = 0.0
    p[FIRST] = 0.0


@leaf
def fill_counts(w: World, days: Days, day0: int, tick: int, counts: Ints, scratch: Ints, p: Floats) -> float:
    """Events of each stratum in a tick into counts int64[6]; returns the share of the day before the tick."""
    start = tick * w.tick_ms
    d = start // DAY_MS - day0
    inside = start % DAY_MS
    before = elapsed(w.profile, inside)
    share = elapsed(w.profile, inside + w.tick_ms) - before
    volume = 0.0
    for cell in range(CELLS):
        volume += days.volume[d, cell]
    part = volume * (w.ranges[4] / w.bounds[4])
    rates(w, days, d, p)
    counts[PHISHING] = phished(w, days, d, tick, share, scratch)
    firsts = days.first_at[d + 1] - days.first_at[d]
    counts[FIRST] = math.floor(firsts * elapsed(w.profile, inside + w.tick_ms)) - math.floor(firsts * before)
    a, b, c, e = draw(w, tick, 0, COUNT, 0)
    fates = (counts[PHISHING] + firsts * share) * w.person_weight
    counts[MAIN] = poisson(max(0.0, part * share * p[MAIN] - fates) / w.weight, a)
    counts[TIMEOUT] = poisson(part * share * p[TIMEOUT] / stratum_weight(w, p[TIMEOUT]), b)
    counts[OVERFLOW] = poisson(part * share * p[OVERFLOW] / stratum_weight(w, p[OVERFLOW]), c)
    counts[INCIDENT] = poisson(part * share * p[INCIDENT] / stratum_weight(w, p[INCIDENT]), e)
    return before


def _make_count(stamp: str) -> Any:
    def count(w: World, days: Days, day0: int, first_tick: int, events: Ints, most: Ints) -> None:
        stamp  # noqa: B018  (keys the cache)
        counts = np.zeros(6, np.int64)
        none = np.empty(0, np.int64)
        p = np.zeros(6)
        most[0] = 0
        for i in range(events.shape[0]):
            fill_counts(w, days, day0, first_tick + i, counts, none, p)
            events[i] = counts.sum()
            most[0] = max(most[0], counts[PHISHING])

    return count


count_ticks = entry(_make_count)


@inlined
def payer_of(
    w: World, days: Days, d: int, segment: int, scans: bool, tick: int, index: int, bits: int
) -> tuple[int, int]:
    """A person of the segment and shard and the draw of their bank; one who scans QR codes if `scans`.

    After 64 tries it is whoever came last.
    """
    k0, k1 = w.ranges[segment], w.ranges[segment + 1]
    limit = days.adoption[d, segment] * 4294967296.0
    block = 2
    person = w.shard
    bank = 0
    while True:
        person = w.shard + w.shards * (k0 + (((k1 - k0) * bits) >> 32))
        t = traits(w.seed, person)
        bank = t[0]
        if not scans or t[2] < limit or block > 64:
            return person, bank
        a, _b, _c, _d = draw(w, tick, index, EVENT, block)
        bits = high(a)
        block += 1


@inlined
def payee_of(w: World, scene: int, payer: int, bits: int) -> tuple[int, int]:
    """Payee id and bank: another person for a transfer, else a merchant of the scene, the larger ones more often."""
    if scene == TRANSFER_SCENE:
        payee = (w.bounds[4] * bits) >> 32
        if payee == payer:
            payee = (payee + 1) % w.bounds[4]
        return payee, int(w.bank_lut[traits(w.seed, payee)[0] >> 20])
    u = bits / 4294967296.0
    payee = MERCHANT_BASE + (scene << 36) + math.floor(w.merchants[scene] * (u * u))
    return payee, merchant_bank(w.seed, payee, w.bank_lut)


@inlined
def route_of(w: World, network: int, payer_bank: int, payee_bank: int) -> int:
    """The route a payment of this source takes."""
    if w.channel == BANK:
        return ON_US if payer_bank == payee_bank else BANKCARD
    if w.channel == UNIONPAY:
        return BANKCARD
    return NETWORK if network == 1 else DIRECT


@inlined
def response_ms(w: World, bank: int, route: int, through: int, late: bool, bits: int) -> int:
    """Response time in ms: log-normal below the timeout, or above it if `late`."""
    u = (bits + 0.5) / 4294967296.0
    tail = w.tail[bank, route, through]
    z = -exactmath.normal_quantile(max(tail * u, 1e-300)) if late else normal(w.normal_knots, u * (1.0 - tail))
    ms = math.floor(exactmath.exp(w.mu[bank, route, through] + w.sigma[bank] * z) + 0.5)
    return max(w.timeout_ms, ms) if late else min(max(1, ms), w.timeout_ms - 1)


@inlined
def carry(
    w: World, days: Days, d: int, tick: int, index: int, stratum: int, payer: int,
    b: Any, e: Any, f: Any, c: Columns, n: int,
) -> None:  # fmt: skip
    """Decide everything about event `n` but its time: who pays whom, how much, by which route, and how it ends."""
    cell = c.scene[n]  # the cell was put here by the caller
    segment = cell // (SCENES * INSTRUMENTS)
    scene = (cell // INSTRUMENTS) % SCENES
    instrument = cell % INSTRUMENTS
    if payer >= 0:
        segment = segment_of(w.bounds, payer)
        instrument = QR
        bank_draw = traits(w.seed, payer)[0]
    else:
        payer, bank_draw = payer_of(w, days, d, segment, instrument == QR, tick, index, low(b))
    payer_bank = int(w.bank_lut[bank_draw >> 20])
    payee, payee_bank = payee_of(w, scene, payer, high(f))
    route = route_of(w, days.network[d], payer_bank, payee_bank)
    # One draw for both: given that it lies below the share (or not), where it lies there is uniform again.
    u = (low(f) + 0.5) / 4294967296.0
    share = w.middleware[payer_bank]
    through = 1 if u < share else 0
    score = u / share if through == 1 else (u - share) / (1.0 - share)
    c.payer_id[n] = payer
    c.payee_id[n] = payee
    c.segment[n] = segment
    c.scene[n] = scene
    c.instrument[n] = instrument
    c.payer_bank[n] = payer_bank
    c.payee_bank[n] = payee_bank
    c.amount_fen[n] = max(1, (w.amount_fen[segment, scene] * interpolate(w.amount_knots, high(e))) >> 20)
    c.route[n] = route
    c.middleware[n] = through == 1
    c.latency_ms[n] = (
        0 if stratum == OVERFLOW else response_ms(w, payer_bank, route, through, stratum == TIMEOUT, low(e))
    )
    c.flagged[n] = score < (days.recall[d] if stratum == PHISHING else (0.0 if stratum == INCIDENT else days.alarm[d]))
    c.fraud[n] = PHISHED if stratum == PHISHING else (BANK_INCIDENT if stratum == INCIDENT else NO_FRAUD)
    c.outcome[n] = OK
    if stratum == TIMEOUT:
        c.outcome[n] = TIMED_OUT
    elif stratum == OVERFLOW:
        c.outcome[n] = OVER_CAPACITY
    elif stratum == PHISHING and c.flagged[n]:
        c.outcome[n] = BLOCKED


@inlined
def tail_of(w: World, c: Columns, n: int) -> float:
    """Probability that the payment of row n had timed out."""
    return float(w.tail[c.payer_bank[n], c.route[n], 1 if c.middleware[n] else 0])


@leaf
def fill_tick(
    w: World, days: Days, d: int, tick: int, before: float, counts: Ints, p: Floats, struck: Ints,
    threshold: Ints, other: Ints, left: Ints, serial: Ints, c: Columns, n: int, seq: int,
) -> int:  # fmt: skip
    """Write the events of one tick in time order from row n on; returns their amount total."""
    total = 0
    for k in range(6):
        total += counts[k]
    inside = (tick * w.tick_ms) % DAY_MS
    step = (elapsed(w.profile, inside + w.tick_ms) - before) / total if total > 0 else 0.0
    for k in range(6):
        left[k] = counts[k]
        serial[k] = 0
    firsts = math.floor((days.first_at[d + 1] - days.first_at[d]) * before) + days.first_at[d]
    quarter = inside // QUARTER_MS
    pace = QUARTER_MS / (w.profile[quarter + 1] - w.profile[quarter])
    last = tick * w.tick_ms + w.tick_ms - 1
    day_start = tick * w.tick_ms - inside
    amount = 0
    for i in range(total):
        a, b, e, f = draw(w, tick, i, EVENT, 0)
        # Time: one event in each of `total` equal shares of the tick's payments, placed at random inside its share.
        at = before + step * (i + (high(a) + 0.5) / 4294967296.0)
        while quarter < 95 and w.profile[quarter + 1] < at:
            quarter += 1
            pace = QUARTER_MS / (w.profile[quarter + 1] - w.profile[quarter])
        ms = quarter * QUARTER_MS + int((at - w.profile[quarter]) * pace)
        row = n + i
        c.event_time[row] = min(max(day_start + ms, tick * w.tick_ms), last)
        # Stratum: sampling without replacement, so that rare events fall at random places among the others.
        stratum = 0
        place = (low(a) * (total - i)) >> 32
        while place >= left[stratum]:
            place -= left[stratum]
            stratum += 1
        left[stratum] -= 1
        payer = -1
        if stratum == PHISHING:
            payer = struck[serial[PHISHING]]
        elif stratum == FIRST:
            payer = days.first[firsts + serial[FIRST]]
        serial[stratum] += 1
        c.scene[row] = pick(threshold, other, high(b))
        index = i
        retry = 0
        while True:
            carry(w, days, d, tick, index, stratum, payer, b, e, f, c, row)
            if stratum != TIMEOUT or retry == 64:
                break
            if unit(draw(w, tick, i, EVENT, 128 + retry)[0]) * w.timeout_max <= tail_of(w, c, row):
                break
            retry += 1
            index = i + total * (retry + 1)  # one that no event of the tick has
            a, b, e, f = draw(w, tick, index, EVENT, 0)
            c.scene[row] = pick(threshold, other, high(b))
        fate = stratum >= PHISHING
        c.weight[row] = w.person_weight if fate else (w.weight if stratum == MAIN else stratum_weight(w, p[stratum]))
        c.seq[row] = seq + i
        amount += c.amount_fen[row]
    return amount


def _make_fill(stamp: str) -> Any:
    def fill(
        w: World,
        days: Days,
        day0: int,
        first_tick: int,
        seq: int,
        most: int,
        c: Columns,
        events: Ints,
        tick_seq: Ints,
        amounts: Ints,
    ) -> None:
        stamp  # noqa: B018  (keys the cache)
        counts = np.zeros(6, np.int64)
        p = np.zeros(6)
        struck = np.empty(most, np.int64)
        threshold = np.empty(128, np.int64)
        other = np.empty(128, np.int64)
        left = np.empty(6, np.int64)
        serial = np.empty(6, np.int64)
        known = -1
        n = 0
        for i in range(events.shape[0]):
            tick = first_tick + i
            before = fill_counts(w, days, day0, tick, counts, struck, p)
            d = (tick * w.tick_ms) // DAY_MS - day0
            if d != known:
                build_alias(days.volume[d], threshold, other)
                known = d
            amounts[i] = fill_tick(
                w, days, d, tick, before, counts, p, struck, threshold, other, left, serial, c, n, seq
            )
            n += events[i]
            seq += events[i]
            tick_seq[i] = seq
            seq += 1

    return fill


fill_ticks = entry(_make_fill)
