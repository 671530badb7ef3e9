"""Models of the `lending:` section: who borrows, what is offered to them, and the banks that live on referrals.

Amounts are yuan, rates are nominal a year and shares of what is lent; `economy.md` in the design notes tells the
mechanisms.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from topologies.allowed import Allowed

Product = Literal["BAITIAO", "WEILIDAI", "CARD", "CONSUMER", "SME", "PARTNERSHIP", "COFINANCED", "JOINT"]
PRODUCTS: tuple[Product, ...] = get_args(Product)
Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]*$"), Allowed("lower-case letters, digits and hyphens, such as cmb-card")
]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(ge=0)]
Path = dict[date, Level]
Count = Annotated[StrictInt, Field(ge=1, le=10**10)]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecisionFigures(_Figures):
    """How long a lender takes to decide: log-normal around a median, cut at the ends."""

    median_seconds: Positive
    sigma: Positive
    shared_median_seconds: Positive | None = Field(
        default=None, description="The median while lenders share their data; the same where it is left out."
    )
    patience: StrictBool = Field(
        default=False, description="Whether applicants wait at the screen and leave when it takes too long."
    )


class PoolFigures(_Figures):
    """People or firms who borrow alike. A borrower's occasions to borrow come at random at the pool's rate."""

    people: Count = Field(description="Real borrowers it stands for.")
    weight: Count = Field(description="Real borrowers that one stands for.")
    mean: float = Field(default=0.0, description="Added to mu for this pool.")
    on_record: Share = Field(description="Share that the central bank's credit system knows.")
    occasions_a_year: Path = Field(min_length=1, description="Occasions a borrower and year, log-linear between dates.")
    several: Share = Field(default=0.0, description="Occasions on which a second lender is asked, too.")


class TermsFigures(_Figures):
    """On what terms a lender lends."""

    product: Product
    amount_yuan: Positive = Field(description="Mean amount asked for.")
    months: Annotated[StrictInt, Field(ge=1, le=36)]
    rate: Share = Field(description="Nominal interest a year, before any cap.")
    fee: Share = Field(default=0.0, description="Kept back when the loan is paid out, over the amount.")
    cost: Level = Field(description="Operating cost of a year over what is outstanding.")
    precision: Level = Field(description="tau of the lender's own data on the borrower.")
    reports: StrictBool = Field(description="Whether it reads the central bank's credit system and reports to it.")
    joins: StrictBool = Field(default=False, description="Whether it does so only while `credit-system-access` holds.")
    decision: DecisionFigures


class OfferFigures(TermsFigures):
    """A loan that a pool may ask for. The lender is the bank, or the platform where no bank is in it."""

    bank: Name | None = None
    platform: Name | None = None
    pool: Name
    ask: Share = Field(description="Occasions of the pool on which it is asked for; a pool's add up to at most 1.")

    @model_validator(mode="after")
    def _one_party(self) -> OfferFigures:
        if (self.bank is None) == (self.platform is None):
            raise ValueError("an offer of its own names a bank or a platform, and not both")
        if self.product in ("PARTNERSHIP", "COFINANCED", "JOINT"):
            raise ValueError(f"{self.product} is offered under regional or joint, not here")
        return self


class RegionalFigures(_Figures):
    """A small bank that lends by itself and on referral."""

    people: Count
    weight: Count
    own_occasions_a_year: Path = Field(min_length=1)
    traffic_a_year: Path = Field(min_length=1, description="Referred occasions a borrower and year, before `traffic`.")
    facilitators: Annotated[tuple[Name, ...], Field(min_length=1)]
    equity_yuan: Positive = Field(description="At the beginning of the warm-up.")
    overhead_yuan_a_year: Level = Field(description="Operating cost beside that of its loans.")


class BargainFigures(_Figures):
    """How the channel fee follows dependence: f0 + beta max(0, D - D0) (surplus - f0), over what is originated."""

    fee: Share = Field(description="f0.")
    beta: Level
    dependence: Share = Field(description="D0: the referred share from which the facilitator has something to ask.")


class ScreeningFigures(_Figures):
    """How a bank that takes referrals forgets to screen: q' = q + lambda ((1 - D) - q)."""

    decay_a_year: Level = Field(description="lambda.")
    least: Share = Field(description="Screening that is left at full dependence.")
    memory_days: Positive = Field(description="Over which the referred share is taken.")


class RegionalTerms(_Figures):
    """What all small banks share."""

    banks: dict[Name, RegionalFigures] = Field(min_length=1)
    own: TermsFigures
    referred: TermsFigures = Field(description="Partnership lending.")
    cofinanced: TermsFigures
    traffic: Positive = Field(description="Scales the traffic of all small banks.")
    cofinanced_share: Share = Field(description="Of the traffic.")
    platform_share: tuple[Share, Share] = Field(description="Range of a facilitator's part of a co-financed loan.")
    introduced: Share = Field(default=0.0, description="Co-financed loans whose customer the bank introduced.")
    referred_mean: float = Field(description="Added to mu for those who come by referral.")
    mean: float = Field(default=0.0, description="Added to mu for the small banks' pools.")
    on_record: Share
    bargain: BargainFigures
    screening: ScreeningFigures
    capital_ratio: Share = Field(description="car: equity over loans, at least.")
    payout: Share = Field(description="Profit that is not retained.")


class JointFigures(_Figures):
    """Joint loans: bands of borrowers, each more opaque to the bank than the one before."""

    platform: Name
    banks: Annotated[tuple[Name, ...], Field(min_length=1)]
    pool: Name
    opacity: Annotated[tuple[Positive, ...], Field(min_length=2, description="Precision of the bank, band by band.")]
    platform_precision: Level
    demand: Positive = Field(description="The share the bank demands of the platform is this over 1 + precision.")
    service: Share = Field(description="Of the bank's interest, passed on to the platform.")
    ask: Path = Field(min_length=1, description="Occasions of the pool on which it is asked for, all bands together.")
    terms: TermsFigures


class FundingFigures(_Figures):
    """Cost of money a year."""

    bank: Share
    regional: Share
    platform: Share


class LateFigures(_Figures):
    """Instalments paid late by those who pay."""

    short: Share = Field(description="Paid within 28 days.")
    long: Share = Field(description="Paid behind the 30th day, with the next one.")


class PatienceFigures(_Figures):
    """How long applicants wait at the screen: log-normal."""

    median_seconds: Positive
    sigma: Positive
    conversion: Positive = Field(description="Factor of protocol conversion on the time a decision takes.")


class FineFigures(_Figures):
    """A fine of the regulator."""

    bank: Name
    day: date
    yuan: Positive


class CostFigures(_Figures):
    """Operating cost of banks, and how it divides; the rest is neither branches nor labour."""

    yuan_a_year: Level = Field(description="Of a bank of size 1 that is not regional.")
    branch: Share
    labour: Share
    platform_fee: Share = Field(description="A bank's income over platform payments from its cards.")


class AcquisitionFigures(_Figures):
    """What a new payment user costs a bank."""

    own_yuan: tuple[Positive, Positive] = Field(description="Range over banks and months, on its own mobile payment.")
    platform_yuan: tuple[Positive, Positive]
    users_a_month: Positive = Field(description="Of a bank of size 1, per thousand customers, on its own.")
    platform_users_a_month: Positive


class Residual(_Figures):
    """What the fit left of one target."""

    target: float
    model: float
    relative: float


class Lending(_Figures):
    """The whole section."""

    warm_up_days: Annotated[StrictInt, Field(ge=0, le=3650)] = Field(description="Lending before the era begins.")
    thin: Annotated[StrictInt, Field(ge=1, le=10**4)] = Field(description="Multiplies the weights of all borrowers.")
    amount_sigma: Positive = Field(description="Log-normal spread of amounts.")
    mean: float = Field(description="mu: PD = Phi(mu + z - delta v) with z standard normal.")
    discipline: Level = Field(description="delta: a default that others will see is dearer.")
    overlap: Level = Field(description="Added to the propensity for each other open loan.")
    record_precision: Level = Field(description="tau that a record in the credit system adds for those who read it.")
    facilitator_precision: Level = Field(description="tau of a facilitator's data.")
    recovery: Share = Field(description="Of what was written off.")
    charge_off_days: Annotated[StrictInt, Field(ge=91, le=720)]
    funding: FundingFigures
    late: LateFigures
    patience: PatienceFigures
    pools: dict[Name, PoolFigures]
    offers: dict[Name, OfferFigures]
    joint: JointFigures | None = None
    regional: RegionalTerms | None = None
    costs: CostFigures
    fines: tuple[FineFigures, ...] = ()
    acquisition: AcquisitionFigures
    fit: dict[str, Residual] = Field(default={}, description="Residuals, written by `python -m producers.fitlending`.")

    @property
    def borrowers(self) -> int:
        """How many borrowers are simulated; their ids are 0 .. borrowers - 1."""
        banks = self.regional.banks.values() if self.regional is not None else ()
        return sum(each.people // (each.weight * self.thin) for each in (*self.pools.values(), *banks))

    @model_validator(mode="after")
    def _complete(self) -> Lending:
        asked: dict[str, float] = {}
        offers = [(name, offer.pool, offer.ask) for name, offer in self.offers.items()]
        if self.joint is not None:
            offers.append(("joint", self.joint.pool, max(self.joint.ask.values())))
            if any(later >= earlier for earlier, later in pairwise(self.joint.opacity)):
                raise ValueError("joint.opacity must fall from band to band")
        for name, pool, ask in offers:
            if pool not in self.pools:
                raise ValueError(f"offer {name} is for the pool {pool}, which is not under pools")
            asked[pool] = asked.get(pool, 0.0) + ask
        for pool, share in asked.items():
            if share > 1 + 1e-9:
                raise ValueError(f"the offers for the pool {pool} are asked for on {share:g} of its occasions, over 1")
        return self
