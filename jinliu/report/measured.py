"""What a measurement gives, and the registry of measurements: one small function a claim."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from jinliu.report.facts import Facts
from jinliu.report.intervals import Interval

if TYPE_CHECKING:
    from topologies import Topology

Value: TypeAlias = "float | int | bool | tuple[float, ...]"


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure read from metric rows.

    value: a number, or one for each of the claim's figures. interval: for each of them (None: every event counted,
    nothing sampled, or no interval, as `note` says). rows: where it was read. against: what it is held against where
    the claim names it in words. besides: conditions that must hold too, by name. note: what to say with it.
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
"""Filled by `load`."""
PUT_IN: dict[str, tuple[str, ...]] = {}


def measures(claim: str, put_in: tuple[str, ...] = ()) -> Callable[[Measure], Measure]:
    """Register the function that measures a claim.

    put_in: paths of the world that decide the value and that no citation there names for the claim: they are no
    numbers, or cited for what else they do.
    """

    def register(measure: Measure) -> Measure:
        if claim in MEASURES:
            raise ValueError(f"claim {claim} is measured twice")
        MEASURES[claim] = measure
        PUT_IN[claim] = put_in
        return measure

    return register


@cache
def load() -> Mapping[str, Measure]:
    """The measurements of every module of this package by claim: a file put here needs to be named nowhere."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    return MappingProxyType(MEASURES)


def put_in(claim: str, topology: "Topology") -> tuple[str, ...]:
    """Paths of the world that were given for a claim: by citation, or by what the measurement says of itself."""
    load()
    return tuple(dict.fromkeys((*topology.put_in_for(claim), *PUT_IN.get(claim, ()))))
