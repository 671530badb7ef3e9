"""What each day holds for each offer: its rate and fee, whom the lender would take, how much of the demand it has money
for. A recursion by day in expected terms, the same in every process.

Small banks live on referrals. With D the referred share of what a bank lends, its screening decays,
q' = q + lambda ((1 - D) - q): the precision of its own data is q times what it was, and what the bank still takes it
for, so that losses rise; the facilitator asks for a fee f0 + beta max(0, D - D0) (surplus - f0) of what is lent; assets
grow with the traffic that it approves, as far as its equity carries them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers import scalar, seasons
from producers.lending import regional
from producers.lending.instalments import schedule
from producers.lending.offers import COFINANCED, OWN, REFERRED, Offer, Table

if TYPE_CHECKING:
    from producers.economy import Economy
    from topologies.lending import Path

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PPM = 1_000_000
_EXAMPLE_FEN = 10**8
LEVERS = (
    "data-sharing", "credit-system-access", "joint-loan-cap", "partner-floor", "fee-bargaining", "loan-rate-cap",
    "protocol-conversion",
)  # fmt: skip


class Market(NamedTuple):
    """By rows of days since the warm-up began; an axis of two is without and with a record in the credit system.

    ask : float64[days, offers], share of a pool's occasions. cumulative : float64[pools, days + 1], occasions a
    borrower up to the day's start. rate_ppm, commission_ppm, platform_ppm : int64[days, offers]. cutoff, screen :
    float64[days, offers, 2], the best guess of z up to which the lender and, before it, the facilitator take a
    borrower. own, referred : float64[days, offers, 2], precisions that the lender gives its own and the facilitator's
    data; its own have `quality` (float64[days, offers]) times that. mean : float64[days, offers, 2], mu - delta v.
    room : float64[days, offers], share of what is approved that there is money for. median_ms : float64[days, offers]
    of a decision. shared : bool[days]. reports : bool[days, offers].
    """

    ask: Floats
    cumulative: Floats
    rate_ppm: Ints
    commission_ppm: Ints
    platform_ppm: Ints
    cutoff: Floats
    screen: Floats
    own: Floats
    referred: Floats
    quality: Floats
    mean: Floats
    room: Floats
    median_ms: Floats
    shared: NDArray[np.bool_]
    reports: NDArray[np.bool_]
    state: regional.State


def market(economy: Economy, table: Table, days: int) -> Market:
    """The market of the warm-up and `days` days of the era."""
    return _Making(economy, table, days).made()


def loan_shape(rate: float, months: int) -> tuple[float, float]:
    """Of a loan of 1 in level instalments: years that the mean yuan is outstanding, and what is outstanding on average
    when one defaults (weights fall linearly from the first instalment to the last).
    """
    plan = schedule(
        np.array([_EXAMPLE_FEN]), np.array([round(rate * PPM)], np.int64), np.array([months], np.int64)
    ).principal_fen[0]
    left = _EXAMPLE_FEN - np.concatenate(([0], np.cumsum(plan)[:-1]))
    weights = np.arange(months, 0, -1)
    life = int(left.sum()) / _EXAMPLE_FEN / 12.0
    exposure = int((weights * left).sum()) / (int(weights.sum()) * _EXAMPLE_FEN)
    return life, exposure


def nominal(apr: float) -> float:
    """The nominal rate of monthly instalments whose annual percentage rate is `apr`."""
    return 12.0 * (scalar.exp(scalar.log(1.0 + apr) / 12.0) - 1.0)


class _Making:
    def __init__(self, economy: Economy, table: Table, days: int) -> None:
        self.figures = economy.topology.lending
        self.table = table
        self.warm = self.figures.warm_up_days
        self.days = days + self.warm
        self.levers = {name: self._padded(economy.lever(name, days)) for name in LEVERS}
        self.first = economy.first
        shape = (self.days, len(table.offers))
        self.rate = np.zeros(shape)
        self.life = np.zeros(shape)
        self.exposure = np.zeros(shape)
        self.platform = np.zeros(shape)
        self.reports = np.zeros(shape, np.bool_)

    def _padded(self, values: Floats) -> Floats:
        """The era's values with the warm-up's before them: those of the first day."""
        return np.concatenate((np.full(self.warm, values[0]), values))

    def made(self) -> Market:
        occasions, cumulative = self._occasions()
        ask = self._asked(occasions)
        for i, offer in enumerate(self.table.offers):
            self._terms(i, offer, ask)
        own, referred, mean = self._seen()
        state = self._advance(occasions, own, referred, mean)
        margin = (self.rate - self._money() - self._each("cost")) * self.life + self._each("fee")
        margin -= state.commission
        highest = margin / (margin + (1.0 - self.figures.recovery) * self.exposure)
        cutoff = np.empty(own.shape)
        screen = np.full(own.shape, np.inf)
        regional.cutoffs(highest, own + referred, mean, cutoff)
        comes = np.array([offer.role != OWN for offer in self.table.offers])
        regional.cutoffs(np.minimum(2.0 * highest, 0.5), referred, mean, screen)
        screen[:, ~comes] = np.inf
        sharing = self.levers["data-sharing"] > 0
        return Market(
            ask=ask,
            cumulative=cumulative,
            rate_ppm=np.rint(self.rate * PPM).astype(np.int64),
            commission_ppm=np.rint(state.commission * PPM).astype(np.int64),
            platform_ppm=np.floor(self.platform * PPM).astype(np.int64),  # never over a cap by rounding
            cutoff=cutoff,
            screen=screen,
            own=own,
            referred=referred,
            quality=state.screening,
            mean=mean,
            room=state.room,
            median_ms=self._medians(sharing),
            shared=sharing,
            reports=self.reports,
            state=state,
        )

    def _each(self, name: str) -> Floats:
        """float64[offers]: a figure of the terms."""
        return np.array([float(getattr(offer.terms, name)) for offer in self.table.offers])

    def _occasions(self) -> tuple[Floats, Floats]:
        """float64[pools, 2, days] occasions a borrower and day (own, referred), and the pools' running totals."""
        rate = np.zeros((len(self.table.pools), 2, self.days))
        regional = self.figures.regional
        for p, pool in enumerate(self.table.pools):
            for side, knots in enumerate(pool.occasions):
                scale = regional.traffic if side == 1 and regional is not None else 1.0
                rate[p, side] = self._path(knots) * scale / 365.0
        cumulative = np.zeros((len(self.table.pools), self.days + 1))
        for d in range(self.days):  # one addition after the other: the same bits on every machine
            cumulative[:, d + 1] = cumulative[:, d] + (rate[:, 0, d] + rate[:, 1, d])
        return rate, cumulative

    def _path(self, knots: Path) -> Floats:
        """float64[days]: log-linear between dates, linear where it begins with nothing."""
        begin = self.first - timedelta(days=self.warm)
        return seasons.path(dict(knots), self.days, begin, logarithmic=min(knots.values()) > 0)

    def _asked(self, occasions: Floats) -> Floats:
        ask = np.empty((self.days, len(self.table.offers)))
        for i, offer in enumerate(self.table.offers):
            rate = occasions[offer.pool]
            side = 0 if offer.role == OWN else 1
            ask[:, i] = offer.ask * rate[side] / (rate[0] + rate[1]) if offer.regional >= 0 else offer.ask
            if offer.band >= 0 and self.figures.joint is not None:
                ask[:, i] *= self._path(self.figures.joint.ask)
        return ask

    def _terms(self, i: int, offer: Offer, ask: Floats) -> None:
        """Rate under the cap, who reports, and of joint loans the platform's share and the bands that are left."""
        cap = self.levers["loan-rate-cap"]
        for value in dict.fromkeys(cap.tolist()):
            rate = min(offer.terms.rate, nominal(value))
            rate = round(rate * PPM) / PPM
            self.rate[cap == value, i] = rate
            self.life[cap == value, i], self.exposure[cap == value, i] = loan_shape(rate, offer.terms.months)
        access = self.levers["credit-system-access"] > 0
        self.reports[:, i] = access if offer.terms.joins else offer.terms.reports
        joint = self.figures.joint
        if offer.band >= 0 and joint is not None:
            share = np.maximum(joint.demand / (1.0 + joint.opacity[offer.band]), self.levers["partner-floor"])
            self.platform[:, i] = np.minimum(share, 1.0)
            ask[share > self.levers["joint-loan-cap"], i] = 0.0
        elif not offer.regional >= 0 and offer.bank == "none":
            self.platform[:, i] = 1.0
        elif offer.role == COFINANCED and self.figures.regional is not None:
            least, most = self.figures.regional.platform_share
            self.platform[:, i] = (least + most) / 2.0

    def _money(self) -> Floats:
        """float64[days, offers]: cost of the money in a loan, by its shares."""
        bank = np.array([offer.funding_bank for offer in self.table.offers])
        platform = np.array([offer.funding_platform for offer in self.table.offers])
        money: Floats = bank + (platform - bank) * self.platform
        return money

    def _seen(self) -> tuple[Floats, Floats, Floats]:
        """Precisions of the lender before decay, of the facilitator, and mu - delta v: float64[days, offers, 2]."""
        f = self.figures
        shape = (*self.rate.shape, 2)
        own, referred, mean = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for i, offer in enumerate(self.table.offers):
            extra = f.regional.referred_mean if f.regional is not None and offer.role != OWN else 0.0
            joint = f.joint.platform_precision if offer.band >= 0 and f.joint is not None else None
            precision = offer.terms.precision if joint is None else joint
            for record in (0, 1):
                seen = self.reports[:, i] * float(record)
                own[:, i, record] = precision + f.record_precision * seen
                mean[:, i, record] = self.table.pools[offer.pool].mean + extra - f.discipline * seen
            if offer.role != OWN:
                referred[:, i] = f.facilitator_precision
        return own, referred, mean

    def _advance(self, occasions: Floats, own: Floats, referred: Floats, mean: Floats) -> regional.State:
        shape = self.rate.shape
        state = regional.State(np.ones(shape), np.zeros(shape), np.ones(shape), *(np.zeros((self.days, 0)),) * 5)
        terms = self.figures.regional
        if terms is None:
            return state
        banks = len(terms.banks)
        state = state._replace(**{name: np.zeros((self.days, banks)) for name in regional.BY_BANK})
        offer_of = np.full((banks, 3), -1, np.int64)
        for i, offer in enumerate(self.table.offers):
            if offer.regional >= 0:
                offer_of[offer.regional, offer.role] = i
        asked = np.zeros((self.days, banks, 3))
        on_record = np.zeros(banks)
        for b in range(banks):
            for role in (OWN, REFERRED, COFINANCED):
                offer = self.table.offers[int(offer_of[b, role])]
                pool = self.table.pools[offer.pool]
                a_day = occasions[offer.pool, 0 if role == OWN else 1] * offer.ask
                asked[:, b, role] = a_day * pool.count * pool.weight * offer.terms.amount_yuan
                on_record[b] = pool.on_record
        bargain, screening = terms.bargain, terms.screening
        params = regional.Params(
            offer_of=offer_of,
            asked=asked,
            on_record=on_record,
            equity=np.array([bank.equity_yuan for bank in terms.banks.values()], np.float64),
            overhead=np.array([bank.overhead_yuan_a_year for bank in terms.banks.values()], np.float64),
            rate=self.rate,
            life=self.life,
            exposure=self.exposure,
            money=self._money(),
            cost=self._each("cost"),
            own=own,
            referred=referred,
            mean=mean,
            bargaining=self.levers["fee-bargaining"],
            loss=1.0 - self.figures.recovery,
            fee=bargain.fee,
            beta=bargain.beta,
            dependence=bargain.dependence,
            decay=screening.decay_a_year / 365.0,
            least=screening.least,
            memory=1.0 / screening.memory_days,
            capital_ratio=terms.capital_ratio,
            payout=terms.payout,
            nodes=regional.NODES,
            weights=regional.WEIGHTS,
        )
        regional.advance(params, state)
        return state

    def _medians(self, sharing: NDArray[np.bool_]) -> Floats:
        """float64[days, offers]: of decisions, ms. Those that are waited for pass protocol conversion where it is."""
        out = np.empty(self.rate.shape)
        slower = np.where(self.levers["protocol-conversion"] > 0, self.figures.patience.conversion, 1.0)
        for i, offer in enumerate(self.table.offers):
            decision = offer.terms.decision
            usual = decision.median_seconds
            out[:, i] = np.where(sharing, decision.shared_median_seconds or usual, usual)
            if decision.patience:
                out[:, i] *= slower
        return out * 1000.0
