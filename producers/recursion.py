"""The recursion by day: state[d + 1] = f(state[d], policies[d]), as one sequential compiled loop.

Channel choice is a logit (McFadden 1974) for each scene and segment over ALIPAY, WECHAT_PAY, UNIONPAY and BANK:
utility = taste + convenience + network * last month's share in the scene - friction * seconds * pace - risk -
failures - latency.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers import exactmath
from producers.native import compiled, entry

Floats = NDArray[np.float64]
SEGMENTS, SCENES, CHANNELS, INSTRUMENTS = 4, 6, 4, 4
CELLS = SEGMENTS * SCENES * INSTRUMENTS
QR, ONLINE, NFC, USB_KEY = range(4)
ALIPAY, WECHAT_PAY, UNIONPAY, BANK = range(4)


class Params(NamedTuple):
    """Constants of the recursion; float64 throughout."""

    segment_weight: Floats  # [4] share of payments, adds up to 1
    segment_people: Floats  # [4] people
    pace: Floats  # [6]
    online: Floats  # [6]
    taste: Floats  # [4 segments, 4 channels]
    seconds: Floats  # [4] without device
    device: Floats  # [4] seconds of the device step
    mix: Floats  # [4 channels, 4 instruments]
    amount: Floats  # [4 segments, 6 scenes] mean amount, fen
    latency: Floats  # [2 (DIRECT, NETWORK), 4] mean seconds
    friction: float
    network: float
    risk: float
    failure: float
    latency_weight: float
    decay: float
    memory: float  # share of the incident memory kept a day
    no_qr: float
    incident: float  # per bank payment with the device
    incident_no_device: float  # factor
    separation: float
    federated_gain: float
    threshold: float


class Inputs(NamedTuple):
    """What each day is given, by rows of days."""

    demand: Floats  # [days, 6] payments a day by scene over all channels, all segments
    release: Floats  # [days, 4] convenience added
    adoption: Floats  # [days, 4 segments]
    hazard: Floats  # [days] phishing attempts per QR user
    month: NDArray[np.int64]  # [days] number of the month, to know its turn
    network: NDArray[np.int64]  # [days] 1 where platforms must use the network
    capacity: Floats  # [days] payments a day of the network
    device: NDArray[np.int64]  # [days] 1 where banks ask for the device
    federated: NDArray[np.int64]  # [days]


class Outputs(NamedTuple):
    """What the recursion leaves, by rows of days."""

    volume: Floats  # [days, 4 channels, 96 cells (segment, scene, instrument)] payments a day
    share: Floats  # [days, 6 scenes, 4 channels]
    scan_share: Floats  # [days, 4] each channel's share of QR payments
    amount: Floats  # [days, 4] fen a day by channel
    convenience: Floats  # [days, 4]
    risk: Floats  # [days, 4]
    overflow: Floats  # [days] share of network payments over capacity
    recall: Floats  # [days]
    alarm: Floats  # [days] false alarms per honest payment
    incident: Floats  # [days] per bank payment


def outputs(days: int) -> Outputs:
    """Room for `days` days."""
    return Outputs(
        np.zeros((days, CHANNELS, CELLS)),
        np.zeros((days, SCENES, CHANNELS)),
        np.zeros((days, CHANNELS)),
        np.zeros((days, CHANNELS)),
        np.zeros((days, CHANNELS)),
        np.zeros((days, CHANNELS)),
        np.zeros(days),
        np.zeros(days),
        np.zeros(days),
        np.zeros(days),
    )


@compiled
def softmax(utility: Floats, probability: Floats) -> None:
    """Choice probabilities of float64[4] utilities."""
    top = utility[0]
    for c in range(1, 4):
        top = max(top, utility[c])
    total = 0.0
    for c in range(4):
        probability[c] = exactmath.exp(utility[c] - top)
        total += probability[c]
    for c in range(4):
        probability[c] /= total


@compiled
def choose(
    p: Params, d: int, inputs: Inputs, last: Floats, convenience: Floats, risk: Floats, failing: Floats, out: Outputs
) -> None:
    """Fill volume and share of day d, given last month's shares [6, 4] and the stocks [4]."""
    utility = np.empty(4)
    without = np.empty(4)
    chosen = np.empty(4)
    fallback = np.empty(4)
    asked = inputs.device[d]
    for c in range(CHANNELS):
        out.amount[d, c] = 0.0
    for scene in range(SCENES):
        for c in range(CHANNELS):
            out.share[d, scene, c] = 0.0
        for segment in range(SEGMENTS):
            for c in range(CHANNELS):
                seconds = p.seconds[c] + p.device[c] * asked
                utility[c] = (
                    p.taste[segment, c]
                    + convenience[c]
                    + p.network * last[scene, c]
                    - p.friction * seconds * p.pace[scene]
                    - p.risk * risk[c]
                    - p.failure * failing[c]
                    - p.latency_weight * p.latency[inputs.network[d], c]
                )
                without[c] = utility[c]
            without[ALIPAY] -= p.no_qr
            without[WECHAT_PAY] -= p.no_qr
            softmax(utility, chosen)
            softmax(without, fallback)
            spend = inputs.demand[d, scene] * p.segment_weight[segment]
            scans = inputs.adoption[d, segment]
            cell = (segment * SCENES + scene) * INSTRUMENTS
            for c in range(CHANNELS):
                able = spend * scans * chosen[c]
                unable = spend * (1.0 - scans) * fallback[c]
                out.share[d, scene, c] += p.segment_weight[segment] * (scans * chosen[c] + (1.0 - scans) * fallback[c])
                out.amount[d, c] += (able + unable) * p.amount[segment, scene]
                v = out.volume[d, c]
                if c <= WECHAT_PAY:
                    v[cell + QR] = able * (1.0 - p.online[scene])
                    v[cell + ONLINE] = able * p.online[scene] + unable
                    v[cell + NFC] = 0.0
                    v[cell + USB_KEY] = 0.0
                else:
                    both = able + unable
                    key = p.mix[c, USB_KEY] * asked
                    v[cell + QR] = able * p.mix[c, QR]
                    v[cell + ONLINE] = both * (p.mix[c, ONLINE] + p.mix[c, USB_KEY] - key)
                    v[cell + NFC] = both * p.mix[c, NFC] + unable * p.mix[c, QR]
                    v[cell + USB_KEY] = both * key


@compiled
def totals(volume: Floats, scans: Floats, all_of: Floats) -> None:
    """QR and all payments of a day by channel, from float64[4, 96]."""
    for c in range(CHANNELS):
        scans[c] = 0.0
        all_of[c] = 0.0
        for cell in range(CELLS):
            all_of[c] += volume[c, cell]
            if cell % INSTRUMENTS == QR:
                scans[c] += volume[c, cell]


@compiled
def settle(p: Params, d: int, inputs: Inputs, out: Outputs, risk: Floats, failing: Floats) -> None:
    """Incidents, detection and overflow of day d; moves the memory of risk and failures [4]."""
    scans = np.empty(4)
    all_of = np.empty(4)
    totals(out.volume[d], scans, all_of)
    separation = p.separation + p.federated_gain * inputs.federated[d]
    out.recall[d] = exactmath.normal_cdf(separation - p.threshold)
    out.alarm[d] = exactmath.normal_cdf(-p.threshold)
    factor = 1.0 if inputs.device[d] == 1 else p.incident_no_device
    out.incident[d] = p.incident * factor
    users = 0.0
    for s in range(SEGMENTS):
        users += p.segment_people[s] * inputs.adoption[d, s]
    scanned = scans[0] + scans[1] + scans[2] + scans[3]
    stolen = inputs.hazard[d] * (1.0 - out.recall[d]) * users / scanned if scanned > 0.0 else 0.0
    routed = (all_of[ALIPAY] + all_of[WECHAT_PAY]) * inputs.network[d]
    out.overflow[d] = max(0.0, 1.0 - inputs.capacity[d] / routed) if routed > 0.0 else 0.0
    for c in range(CHANNELS):
        out.scan_share[d, c] = scans[c] / scanned if scanned > 0.0 else 0.0
        rate = out.incident[d] if c == BANK else (stolen * scans[c] / all_of[c] if all_of[c] > 0.0 else 0.0)
        fails = out.overflow[d] if c <= WECHAT_PAY else 0.0
        risk[c] = p.memory * risk[c] + (1.0 - p.memory) * rate * 10000.0
        failing[c] = p.memory * failing[c] + (1.0 - p.memory) * fails


def _make(stamp: str) -> Any:
    def advance(p: Params, inputs: Inputs, out: Outputs) -> None:
        stamp  # noqa: B018  (keys the cache)
        days = inputs.month.shape[0]
        last = np.full((SCENES, CHANNELS), 0.25)
        convenience = np.zeros(CHANNELS)
        risk = np.zeros(CHANNELS)
        failing = np.zeros(CHANNELS)
        for _ in range(40):  # the first month's habits: the fixed point of the first day
            choose(p, 0, inputs, last, convenience, risk, failing, out)
            for scene in range(SCENES):
                for c in range(CHANNELS):
                    last[scene, c] = out.share[0, scene, c]
        month = np.zeros((SCENES, CHANNELS))
        counted = 0
        for d in range(days):
            if d > 0 and inputs.month[d] != inputs.month[d - 1]:
                for scene in range(SCENES):
                    for c in range(CHANNELS):
                        last[scene, c] = month[scene, c] / counted
                        month[scene, c] = 0.0
                counted = 0
            for c in range(CHANNELS):
                convenience[c] = convenience[c] * (1.0 - p.decay) + inputs.release[d, c]
                out.convenience[d, c] = convenience[c]
                out.risk[d, c] = risk[c]
            choose(p, d, inputs, last, convenience, risk, failing, out)
            settle(p, d, inputs, out, risk, failing)
            counted += 1
            for scene in range(SCENES):
                for c in range(CHANNELS):
                    month[scene, c] += out.share[d, scene, c]

    return advance


advance = entry(_make)
