"""The economy of a world: a pure function of seed, topology and policy log, by day since its era began."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import recursion, releases, scalar, seasons
from producers.latency import BANKCARD, NETWORK, Latency
from producers.lending.market import Market, market
from producers.lending.offers import Table, table
from producers.levers import ACTING, Decision, decisions, tell_idle
from producers.people import People
from topologies.economy import CHANNELS, INSTRUMENTS, SCENES, SEGMENTS

if TYPE_CHECKING:
    from topologies import Topology

DAY_MS = 86_400_000
CHANNEL = {"alipay": 0, "wechat-pay": 1, "unionpay": 2, "banks": 3}
"""Who carries payments to the number of its channel: the three platforms and schemes by their own name, the source
`banks` for all banks' own mobile payment."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DayState:
    """One day of the economy; figures are expected real payments (not thinned).

    volume : float64[4 channels, 4 segments, 6 scenes, 4 instruments]; share : float64[6 scenes, 4 channels] of all
    payments; amount_fen : float64[4 channels]; convenience, risk : float64[4 channels]; overflow : share of network
    payments over capacity; recall, alarm : of the fraud score; hazard : phishing attempts per QR user; incident : per
    bank payment; routed : whether platforms use the network.
    """

    day: date
    volume: Floats
    share: Floats
    amount_fen: Floats
    convenience: Floats
    risk: Floats
    adoption: Floats
    overflow: float
    recall: float
    alarm: float
    hazard: float
    incident: float
    routed: bool
    device: bool


class Economy:
    """Lazily advanced; `day(d)` is day d since the topology's era began, whatever span is told.

    `policies` are the live decisions, as records or (lever, value, effective_ms); the topology's own hold anyway. One
    about a lever that nothing acts on is told in the log.
    """

    def __init__(self, topology: Topology, seed: int, policies: Iterable[Any] = ()) -> None:
        self.topology = topology
        self.figures = topology.economy
        self.seed = seed
        self.people = People(topology, seed)
        self.start_ms = topology.era.start_ms // DAY_MS * DAY_MS
        self.first = date(1970, 1, 1) + timedelta(days=self.start_ms // DAY_MS)
        self.size = np.bincount(self.people.bank_lut, minlength=len(topology.banks)) / len(self.people.bank_lut)
        self.latency = Latency(topology, self.size)
        self.params = parameters(self)
        self._policies = list(policies)
        tell_idle(policy.lever for policy in decisions(self._policies))
        self._days = 0
        self.inputs: recursion.Inputs
        self.out: recursion.Outputs
        self.ensure(max(1, -(-(topology.era.end_ms - self.start_ms) // DAY_MS)))

    def ensure(self, days: int) -> None:
        """Advance to at least `days` days; what was computed stays as it was, since each day depends on earlier ones
        only.
        """
        if days > self._days:
            self._days = days
            self._advance()

    def _advance(self) -> None:
        self.inputs = inputs(self, self._days, decisions([*self.topology.policies, *self._policies]))
        self.out = recursion.outputs(self._days)
        recursion.advance(self.params, self.inputs, self.out)

    def index(self, at_ms: int) -> int:
        """Day number of a simulated time."""
        return (at_ms - self.start_ms) // DAY_MS

    def day(self, d: int) -> DayState:
        """State of day d (0 is the topology's first). Raises IndexError before the start."""
        if d < 0:
            raise IndexError(f"day {d} lies before the topology's start {self.first}")
        self.ensure(d + 1)
        out = self.out
        shape = (len(CHANNELS), len(SEGMENTS), len(SCENES), len(INSTRUMENTS))
        return DayState(
            day=self.first + timedelta(days=d),
            volume=out.volume[d].reshape(shape),
            share=out.share[d],
            amount_fen=out.amount[d],
            convenience=out.convenience[d],
            risk=out.risk[d],
            adoption=self.inputs.adoption[d],
            overflow=float(out.overflow[d]),
            recall=float(out.recall[d]),
            alarm=float(out.alarm[d]),
            hazard=float(self.inputs.hazard[d]),
            incident=float(out.incident[d]),
            routed=bool(self.inputs.network[d]),
            device=bool(self.inputs.device[d]),
        )

    def lever(self, name: str, days: int) -> Floats:
        """float64[days]: a lever's value on each day of the era, as a number."""
        return _lever(self, days, decisions([*self.topology.policies, *self._policies]), name)

    @cached_property
    def offers(self) -> Table:
        """Pools and offers of the lending section."""
        return table(self.topology)

    @cached_property
    def market(self) -> Market:
        """The lending market of the warm-up and the whole era; 0.2 s when first asked for."""
        return market(self, self.offers, -(-(self.topology.era.end_ms - self.start_ms) // DAY_MS))

    def amounts(self) -> NDArray[np.int64]:
        """int64[4 segments, 6 scenes]: mean amount in fen."""
        return np.array(
            [
                [round(self.figures.scenes[c].amount_yuan * self.figures.segments[s].amount * 100) for c in SCENES]
                for s in SEGMENTS
            ],
            dtype=np.int64,
        )


def parameters(economy: Economy) -> recursion.Params:
    """Constants of the recursion from the topology's figures."""
    f = economy.figures
    weight = [f.segments[s].share * f.segments[s].activity for s in SEGMENTS]
    channels = [f.channels[c] for c in CHANNELS]
    size, latency = economy.size, economy.latency
    mean = [scalar.added(float(size[b] * latency.mean_s[b, r]) for b in range(len(size))) for r in range(4)]
    return recursion.Params(
        segment_weight=np.array([w / scalar.added(weight) for w in weight]),
        segment_people=np.array([f.segments[s].share * f.adults for s in SEGMENTS]),
        pace=np.array([f.scenes[s].pace for s in SCENES], dtype=np.float64),
        online=np.array([f.scenes[s].online for s in SCENES], dtype=np.float64),
        taste=np.array([[c.taste + c.segment_taste.get(s, 0.0) for c in channels] for s in SEGMENTS], dtype=np.float64),
        seconds=np.array([c.seconds for c in channels], dtype=np.float64),
        device=np.array([c.device_seconds for c in channels], dtype=np.float64),
        mix=np.array([[c.instruments.get(i, 0.0) for i in INSTRUMENTS] for c in channels], dtype=np.float64),
        latency=np.array([[mean[r], mean[r], mean[BANKCARD], mean[BANKCARD]] for r in (0, NETWORK)]),
        amount=economy.amounts().astype(np.float64),
        friction=float(f.choice.friction_per_second),
        network=float(f.choice.network),
        risk=float(f.choice.risk),
        failure=float(f.choice.failure),
        latency_weight=float(f.choice.latency_per_second),
        decay=float(f.choice.convenience_decay),
        memory=1.0 - 1.0 / f.choice.risk_memory_days,
        no_qr=float(f.choice.no_qr_penalty),
        incident=float(f.fraud.incident_rate),
        incident_no_device=float(f.fraud.incident_without_device),
        separation=float(f.fraud.separation),
        federated_gain=float(f.fraud.federated_gain),
        threshold=float(f.fraud.threshold),
    )


def inputs(economy: Economy, days: int, log: list[Decision]) -> recursion.Inputs:
    """What each day is given: demand, releases, adoption, hazards and levers."""
    f, first = economy.figures, economy.first
    epoch_day = economy.start_ms // DAY_MS
    dates = [first + timedelta(days=d) for d in range(days)]
    attempts = seasons.path(dict(f.fraud.phishing_attempts_a_year), days, first, logarithmic=False)
    levers = {name: _lever(economy, days, log, name) for name in ACTING}
    return recursion.Inputs(
        demand=seasons.demand(f, days, first),
        release=_release_gains(economy, days, epoch_day),
        adoption=economy.people.adoption(np.arange(epoch_day, epoch_day + days)),
        hazard=np.array([float(a) * f.fraud.phishing_scale / 365.0 for a in attempts]),
        month=np.array([day.year * 12 + day.month for day in dates], dtype=np.int64),
        network=levers["route"].astype(np.int64),
        capacity=levers["network-capacity"] * 1e9,
        device=levers["device-step"].astype(np.int64),
        federated=levers["federated"].astype(np.int64),
    )


def _lever(economy: Economy, days: int, log: list[Decision], lever: str) -> Floats:
    """float64[days]: a lever's value; a decision holds from the first day that starts at or after it, until the
    next."""
    values = np.full(days, ACTING[lever].default, np.float64)
    for decision in sorted((x for x in log if x.lever == lever), key=lambda x: x.effective_ms):
        start = max(0, -(-(decision.effective_ms - economy.start_ms) // DAY_MS))
        values[start:] = ACTING[lever].read(decision)
    return values


def _release_gains(economy: Economy, days: int, epoch_day: int) -> Floats:
    """float64[days, 4]: convenience each day's releases add; a bank's counts by its size and the research behind it."""
    f = economy.figures
    share = f.research.share
    years = sorted(share)
    bank = {name: b for b, name in enumerate(economy.topology.banks)}
    gains = np.zeros((days, len(CHANNELS)), np.float64)
    for step in releases.steps(economy.topology, economy.seed, epoch_day, epoch_day + days):
        if step.kind != "RELEASE":
            continue
        d = step.day - epoch_day
        if step.institution in bank:
            year = min(max((economy.first + timedelta(days=d)).year, years[0]), years[-1])
            effort = share[year] / share[years[0]]
            gains[d, 3] += f.channels["BANK"].release_gain * float(economy.size[bank[step.institution]]) * effort
        elif step.institution in CHANNEL:
            c = CHANNEL[step.institution]
            gains[d, c] += f.channels[CHANNELS[c]].release_gain
    return gains
