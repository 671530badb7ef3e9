"""Models of the `economy:` section: the figures of the recursion by day (see economy.md in the design notes).

Amounts are yuan here, because people read and edit them; everything downstream is integer fen.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

SegmentName = Literal["YOUNG", "MASS", "SMALL_BUSINESS", "WEALTHY"]
SceneName = Literal["DINING", "TRANSPORT", "SHOPPING", "UTILITIES", "TRANSFER", "TRAVEL"]
ChannelName = Literal["ALIPAY", "WECHAT_PAY", "UNIONPAY", "BANK"]
InstrumentName = Literal["QR", "ONLINE", "NFC", "USB_KEY"]
RouteName = Literal["DIRECT", "NETWORK", "BANKCARD", "ON_US"]
SEGMENTS: tuple[SegmentName, ...] = get_args(SegmentName)
SCENES: tuple[SceneName, ...] = get_args(SceneName)
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)
INSTRUMENTS: tuple[InstrumentName, ...] = get_args(InstrumentName)
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentFigures(_Figures):
    """A segment of the population and how its people come to scan QR codes."""

    share: Fraction
    activity: Positive = Field(description="Payments a person and day, relative to the mean.")
    amount: Positive = Field(description="Mean amount relative to the scene's.")
    adoption_ceiling: Fraction = Field(description="Share that ever adopts QR payment.")
    adoption_middle: date = Field(description="Day by which half of the adopters have adopted.")
    adoption_spread_days: Positive = Field(description="Scale of the logistic in days.")


class SceneFigures(_Figures):
    """What is paid for."""

    share: Fraction = Field(description="Share of all occasions, before the fitted weight of frequent scenes.")
    amount_yuan: Positive = Field(description="Mean amount of the segment with factor 1.")
    pace: float = Field(ge=0, description="How dear a second at the till is, 1 at a metro gate.")
    frequent: bool
    online: Fraction = Field(
        description="Share of a platform's payments made in its app or online instead of by QR code."
    )
    merchants_per_thousand: Positive = Field(description="Merchants per thousand adults.")


class ChannelFigures(_Figures):
    """A way to pay."""

    taste: float = Field(description="Utility apart from what is modelled; WECHAT_PAY is the reference at 0.")
    segment_taste: dict[SegmentName, float] = {}
    seconds: Positive = Field(description="From pocket to paid.")
    device_seconds: float = Field(ge=0, default=0, description="Further seconds for a physical device and an SMS code.")
    release_gain: float = Field(ge=0, description="Convenience a release adds.")
    instruments: dict[InstrumentName, Fraction] = Field(
        description="Mix of instruments where the scene's own QR/online split does not say it."
    )


class ChoiceFigures(_Figures):
    """Coefficients of the logit."""

    friction_per_second: float = Field(ge=0)
    network: float = Field(ge=0, description="Utility of the whole of last month's share in the scene.")
    risk: float = Field(ge=0, description="Utility lost per incident in ten thousand payments, recently.")
    failure: float = Field(ge=0, description="Utility lost if all payments failed recently.")
    latency_per_second: float = Field(ge=0)
    convenience_decay: Fraction = Field(description="Lost a day: novelty wears off.")
    risk_memory_days: Positive
    no_qr_penalty: float = Field(ge=0, description="Utility a platform loses for a person without QR.")
    frequent_weight: Positive = Field(description="Scales the occasions in frequent scenes.")


class VolumeFigures(_Figures):
    """How much is paid."""

    payments_billion_a_day: dict[date, Positive] = Field(
        description="Mean over all channels, log-linear between the dates."
    )
    scale: Positive = Field(description="Scales the payments, so that third-party amount meets its figure in 2022.")
    amount_sigma: Positive = Field(description="Log-normal spread of amounts inside a scene.")


class CalendarFigures(_Figures):
    """Rhythms: hours, weekdays, Spring Festival and shopping days."""

    hours: tuple[Positive, ...] = Field(min_length=24, max_length=24)
    weekdays: tuple[Positive, ...] = Field(min_length=7, max_length=7, description="Monday first.")
    spring_festivals: tuple[date, ...]
    festival_transfer: Positive = Field(description="Red envelopes: transfers on the eve, times the usual.")
    festival_days: int = Field(ge=1)
    festival_other: Positive = Field(description="Other scenes over the festival, times the usual.")
    shopping_days: tuple[str, ...] = Field(description="MM-DD.")
    shopping_factor: Positive


class RouteFigures(_Figures):
    """Response time of the routes; the network's capacity is a lever."""

    latency: dict[RouteName, Positive] = Field(description="Factor on the bank's own.")
    middleware: Positive = Field(description="Factor of protocol conversion to a legacy core.")
    middleware_share: Fraction = Field(description="Of the calls to a legacy core.")
    timeout_ms: Positive
    certified_median_ms: tuple[Positive, Positive] = Field(description="Range over institutions.")
    certified_sigma: tuple[Positive, Positive]
    other_median_ms: tuple[Positive, Positive]
    other_sigma: tuple[Positive, Positive]


class FraudFigures(_Figures):
    """Phishing of QR users, incidents of bank payments, and the score that looks for them."""

    phishing_attempts_a_year: dict[date, Positive] = Field(description="Per QR user, linear between the dates.")
    phishing_scale: Positive
    incident_rate: Fraction = Field(description="Per bank payment with the device; it gets through.")
    incident_without_device: Positive = Field(description="Factor when the device step is dropped.")
    separation: Positive = Field(
        description="Distance of the fraud score's mean from an honest one's, in its deviations."
    )
    threshold: float = Field(description="Score above which a payment is flagged.")
    federated_gain: float = Field(ge=0, description="Added to the separation by federated learning.")


class ResearchFigures(_Figures):
    """Research and release cycles; revenue."""

    share: dict[int, Fraction] = Field(description="Banks' research spend over revenue by year.")
    platform_share: Fraction
    bank_decision_days: int = Field(ge=1)
    bank_decision_jitter_days: int = Field(ge=0)
    bank_build_days: int = Field(ge=1, description="From decision to release.")
    bank_pause_days: int = Field(ge=1, description="From a decision to the next proposal.")
    platform_release_days: int = Field(ge=1)
    bank_revenue_yuan_a_year: Positive = Field(description="Of a bank of size 1.")
    platform_fee: Fraction = Field(description="Revenue over payment amount of a platform.")


class Residual(_Figures):
    """What the fit left of one target."""

    target: float
    model: float
    relative: float


class Economy(_Figures):
    """The whole section."""

    adults: int = Field(gt=0)
    bureau_share: Fraction
    bank_size: dict[str, Positive] = Field(description="Relative size of banks by id; `other` for those not named.")
    segments: dict[SegmentName, SegmentFigures]
    scenes: dict[SceneName, SceneFigures]
    channels: dict[ChannelName, ChannelFigures]
    choice: ChoiceFigures
    volume: VolumeFigures
    calendar: CalendarFigures
    routes: RouteFigures
    fraud: FraudFigures
    research: ResearchFigures
    fit: dict[str, Residual] = Field(default={}, description="Residuals, written by `python -m producers.fit`.")

    @model_validator(mode="after")
    def _complete(self) -> Economy:
        for name, table, wanted in (
            ("segments", self.segments, SEGMENTS),
            ("scenes", self.scenes, SCENES),
            ("channels", self.channels, CHANNELS),
        ):
            missing = [key for key in wanted if key not in table]
            if missing:
                raise ValueError(f"{name} lacks {', '.join(missing)}")
        for name, shares in (
            ("segments", [s.share for s in self.segments.values()]),
            ("scenes", [s.share for s in self.scenes.values()]),
        ):
            if abs(sum(shares) - 1) > 1e-9:
                raise ValueError(f"shares of {name} add up to {sum(shares)}, not 1")
        if "other" not in self.bank_size:
            raise ValueError("bank_size lacks `other`")
        return self
