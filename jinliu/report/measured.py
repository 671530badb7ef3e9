"""What a measurement gives, and the registry of measurements: one small function a claim."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from jinliu.report.facts import Facts
from jinliu.report.intervals import Interval

Value: TypeAlias = "float | int | bool | tuple[float, ...]"


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure read from metric rows.

    value: a number, or one for each of the claim's figures. interval: for each of them (None: every event counted,
    nothing sampled). rows: where it was read. against: what it is held against where the claim names it in words.
    besides: conditions that must hold too, by name. note: what to say with it.
    """

    value: Value
    interval: tuple[Interval | None, ...]
    rows: tuple[str, ...]
    against: float | None = None
    besides: Mapping[str, bool] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why a claim was not measured, and what it would take."""

    reason: str


Measure = Callable[[Facts], Measured | Unmeasured]
MEASURES: dict[str, Measure] = {}


def measures(claim: str) -> Callable[[Measure], Measure]:
    """Register the function that measures a claim."""

    def register(measure: Measure) -> Measure:
        if claim in MEASURES:
            raise ValueError(f"claim {claim} is measured twice")
        MEASURES[claim] = measure
        return measure

    return register
