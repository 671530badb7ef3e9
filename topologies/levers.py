"""Levers: what regulators and the industry decide, the values each may take, and the world's dated decisions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from topologies.allowed import meant
from topologies.citation import Citation
from topologies.document import shown
from topologies.validation import Finding, refuse

Value = StrictBool | StrictFloat | StrictInt | StrictStr
Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


def ms(day: date) -> int:
    """UTC milliseconds of a date's start, or of a time."""
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


class PolicySpec(NamedTuple):
    """From `effective_ms` (UTC, a day's start) the lever has this value, until the next."""

    lever: str
    value: bool | float | int | str
    effective_ms: int
    source: str


class Decision(BaseModel):
    """A change of a lever at the start of a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    effective: date
    value: Value
    source: Citation


class Lever(BaseModel):
    """A lever: its type with what it allows, its value before any decision, and the decisions in order of their dates.

    `bool` is true or false; `number` lies from `minimum` to `maximum`, in `unit`; `enum` is one of `values`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: Annotated[str, Field(min_length=1)]
    type: Literal["bool", "number", "enum"]
    values: tuple[Symbol, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    baseline: Value
    source: Citation
    decisions: tuple[Decision, ...] = ()

    @property
    def allowed(self) -> str:
        """What the lever allows, in words."""
        if self.type == "bool":
            return "true or false"
        if self.type == "enum":
            return "one of " + ", ".join(self.values)
        low, high = self.minimum, self.maximum
        span = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        return f"a number{span}" + (f" ({self.unit})" if self.unit else "")

    def wrong(self, value: object) -> str | None:
        """What is wrong with a value for this lever, or None."""
        if self.type == "bool":
            fits = isinstance(value, bool)
        elif self.type == "enum":
            fits = value in self.values
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number and (self.minimum or 0.0) <= float(value) <= (self.maximum or 0.0)  # type: ignore[arg-type]
        hint = meant(str(value), self.values) if self.type == "enum" else ""
        return None if fits else f"{shown(value)} is not allowed{hint}"

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        """Numbers are floats however they are written, so that 1 and 1.0 are one world with one digest."""

        def real(value: Any) -> Any:
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

        if not isinstance(data, dict) or data.get("type") != "number":
            return data
        decisions = data.get("decisions", ())
        if isinstance(decisions, list | tuple):
            decisions = [
                {**d, "value": real(d.get("value"))} if isinstance(d, dict) and "value" in d else d for d in decisions
            ]
        values = {"baseline": real(data["baseline"])} if "baseline" in data else {}
        return {**data, **values, "decisions": decisions}

    @model_validator(mode="after")
    def _consistent(self) -> Lever:
        refuse(self._shape() or self._values())
        return self

    def _shape(self) -> list[Finding]:
        """Fields that do not go with the type."""
        found = []
        bounds = (self.minimum, self.maximum)
        if (self.type == "enum") != bool(self.values) or len(set(self.values)) < len(self.values):
            found.append(
                Finding(("values",), "does not fit the type", "different symbols for the type enum, else none")
            )
        if self.type == "number" and (None in bounds or bounds[0] >= bounds[1]):  # type: ignore[operator]
            found.append(Finding(("minimum",), "the bounds do not fit the type", "a minimum below a maximum"))
        for name, bound in zip(("minimum", "maximum"), bounds, strict=True):
            if self.type != "number" and bound is not None:
                found.append(Finding((name,), f"the type {self.type} has no bounds", "for the type number only"))
        return found

    def _values(self) -> list[Finding]:
        """Values that the type does not allow, decisions out of order."""
        found = []
        for loc, value in [(("baseline",), self.baseline)] + [
            (("decisions", n, "value"), decision.value) for n, decision in enumerate(self.decisions)
        ]:
            wrong = self.wrong(value)
            if wrong:
                found.append(Finding(loc, wrong, self.allowed))
        for n, (one, two) in enumerate(zip(self.decisions, self.decisions[1:], strict=False)):
            if two.effective <= one.effective:
                loc = ("decisions", n + 1, "effective")
                found.append(
                    Finding(
                        loc, f"{two.effective} is not allowed", f"a date after the decision before it, {one.effective}"
                    )
                )
        return found
