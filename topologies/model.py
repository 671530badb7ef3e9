"""The world as data: who is there, who tells what, at which scale, under which rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from topologies import windows as tumbling
from topologies.allowed import Allowed
from topologies.citation import Citation, Figure, covering, names, numbers
from topologies.economy import Economy
from topologies.errors import Place, Problem, TopologyError
from topologies.lending import Lending
from topologies.levers import Lever, PolicySpec, ms
from topologies.validation import refuse

Id = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]*$"), Allowed("lower-case letters, digits and hyphens, such as wechat-pay")
]
Topic = Literal["payments", "operations", "loans"]  # each has an entry in schemas.eventtopics and an emitter
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[StrictInt, Field(ge=1, le=10**12)]
Kind = Literal[
    "platform",
    "card-scheme",
    "clearing-platform",
    "state-bank",
    "joint-stock-bank",
    "city-bank",
    "rural-bank",
    "private-bank",
    "internet-bank",
    "facilitator",
]


def _tick(name: str) -> str:
    try:
        length = tumbling.length_ms(name)
    except ValueError:
        length = None
    if length is None or tumbling.DAY_MS % length:
        raise PydanticCustomError("refused", "{text}", {"text": f"{name} is not allowed"})
    return name


def _window(name: str) -> str:
    try:
        tumbling.length_ms(name)
    except ValueError as error:
        raise PydanticCustomError("refused", "{text}", {"text": f"{name!r} is not allowed"}) from error
    return name


def _moment(value: Any) -> Any:
    """Text as the date or the time it spells; a date and a time of midnight are different things here."""
    if isinstance(value, str):
        with suppress(ValueError):  # what it does not spell the type itself refuses
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    return value


Tick = Annotated[
    str, AfterValidator(_tick), Allowed("a length of which a day holds a whole number: day, hour, second, 10s, 500ms")
]
Window = Annotated[str, AfterValidator(_window), Allowed(tumbling.NAMES)]
Moment = Annotated[
    datetime | date,
    BeforeValidator(_moment),
    Allowed("a date such as 2022-06-30, or a time such as 2022-06-30 12:00:00 (civil time, no zone)"),
]


UNSIGNED: Any = {"about": True, "figures": True, "economy": {"fit"}, "lending": {"fit"}}
"""What the digest leaves out: prose, citations, residuals."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Part):
    """A stretch of simulated time. A date as `to` is the last day, inclusive; a time is the end, exclusive."""

    first: Moment = Field(alias="from")
    last: Moment = Field(alias="to")

    @property
    def start_ms(self) -> int:
        """First millisecond, UTC."""
        return ms(self.first)

    @property
    def end_ms(self) -> int:
        """First millisecond after it, UTC."""
        return ms(self.last) + (0 if isinstance(self.last, datetime) else tumbling.DAY_MS)


class Scale(_Part):
    """How much one event, person and tick stands for, and how the work is cut."""

    weight: Count = Field(description="Real payments an event stands for.")
    person_weight: Count = Field(description="Real people a person stands for.")
    rare_weight: Count = Field(description="Weight of the strata of incidents, frauds and failures.")
    shards: Annotated[StrictInt, Field(ge=1, le=256)]
    tick: Tick
    lateness_ticks: Annotated[StrictInt, Field(ge=0, le=10_000)]
    patience_ticks: Annotated[StrictInt, Field(ge=1, le=100_000)]
    lead_ticks: Annotated[StrictInt, Field(ge=1, le=100_000)]

    @property
    def tick_ms(self) -> int:
        """Length of a tick, milliseconds."""
        return tumbling.length_ms(self.tick) or 0


class Institution(_Part):
    """Somebody in the world. `certified`: since when its interface is."""

    id: Id
    name: Text
    kind: Kind
    certified: date | None = None
    legacy_core: StrictBool = False

    @property
    def bank(self) -> bool:
        """Whether it is a bank."""
        return self.kind.endswith("-bank")


class Source(_Part):
    """A process that tells what some institutions do, on some topics."""

    name: Id
    topics: Annotated[tuple[Topic, ...], Field(min_length=1)]
    institutions: Annotated[tuple[Id, ...], Field(min_length=1)]


class Topology(_Part):
    """A world. Read one with `topologies.load`.

    The order of institutions, sources, scenes and segments gives their codes; tables are in the order of their keys.
    """

    name: Id
    about: Text
    era: Span
    span: Span
    scale: Scale
    windows: dict[Id, tuple[Window, ...]]
    scenes: Annotated[tuple[str, ...], Field(min_length=1)]
    segments: Annotated[tuple[str, ...], Field(min_length=1)]
    institutions: Annotated[tuple[Institution, ...], Field(min_length=1)]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    levers: dict[Id, Lever]
    figures: dict[str, Citation]
    economy: Economy
    lending: Lending

    @model_validator(mode="after")
    def _consistent(self) -> Topology:
        from topologies.checks import findings  # it reads a Topology, so it cannot be imported above

        refuse(findings(self))
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of what can change an event or a window: no prose, citations, residuals.

        Comments, layout and the order of keys leave it alone.
        """
        data = self.model_dump(mode="json", by_alias=True, exclude=UNSIGNED)
        for lever in data["levers"].values():
            for stated in (lever, *lever["decisions"]):
                stated.pop("source")
                stated.pop("about", None)
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def banks(self) -> tuple[str, ...]:
        """Ids of the banks; a bank's code is its index."""
        return tuple(institution.id for institution in self.institutions if institution.bank)

    @cached_property
    def institution(self) -> Mapping[str, Institution]:
        """Institutions by id."""
        return {institution.id: institution for institution in self.institutions}

    @property
    def population(self) -> int:
        """Number of simulated people; their ids are 0 .. population - 1."""
        return self.economy.adults // self.scale.person_weight

    @property
    def borrowers(self) -> int:
        """Number of simulated borrowers, people and firms; their ids are 0 .. borrowers - 1, apart from payers'."""
        return self.lending.borrowers

    @property
    def event_topics(self) -> tuple[str, ...]:
        """The event topics that the sources tell, in order of first naming."""
        return tuple(dict.fromkeys(topic for source in self.sources for topic in source.topics))

    def roster(self, topic: str) -> tuple[str, ...]:
        """Names of the sources that tell a topic, in order."""
        return tuple(source.name for source in self.sources if topic in source.topics)

    @cached_property
    def policies(self) -> tuple[PolicySpec, ...]:
        """All levers' values by date, then by lever: the baseline from the start of the era, and the decisions.

        They make the log complete: its reader needs no topology to know a lever's value at any time of the era.
        """
        found = []
        for name, lever in self.levers.items():
            found.append(PolicySpec(name, lever.baseline, self.era.start_ms, lever.source))
            found += [
                PolicySpec(name, decision.value, ms(decision.effective), decision.source)
                for decision in lever.decisions
            ]
        return tuple(sorted(found, key=lambda policy: (policy.effective_ms, policy.lever)))

    def levers_at(self, time_ms: int) -> dict[str, bool | float | int | str]:
        """The value of each lever at a time of the era, by the topology alone."""
        return {policy.lever: policy.value for policy in self.policies if policy.effective_ms <= time_ms}

    def check_lever(self, name: str, value: object) -> None:
        """Raise TopologyError, saying what is allowed, unless the lever exists and allows the value."""
        lever = self.levers.get(name)
        wrong = "no such lever" if lever is None else lever.wrong(value)
        if wrong:
            allowed = "one of " + ", ".join(self.levers) if lever is None else lever.allowed
            raise TopologyError([Problem(Place(f"topology {self.name}"), f"levers.{name}", wrong, allowed)])

    def cited(self) -> tuple[Figure, ...]:
        """Every number of scale, institutions, economy and lending with its citation, and those of the levers."""
        found = []
        for path, value in numbers(self.figured(), ""):
            key = covering(path, self.figures)
            if key is not None:
                found.append(Figure(field=path, value=value, source=self.figures[key]))
        for name, lever in self.levers.items():
            stated = [
                ("baseline", lever.baseline, lever.source),
                *(("decisions", d.value, d.source) for d in lever.decisions),
            ]
            found += [
                Figure(field=f"levers.{name}.{field}", value=value, source=source)
                for field, value, source in stated
                if isinstance(value, int | float) and not isinstance(value, bool)
            ]
        return tuple(found)

    def put_in_for(self, claim: str) -> tuple[str, ...]:
        """Paths of what this world was given for a claim: a run that shows it shows what was put in.

        The entries of `figures` whose citation is the claim or names it, then levers: a decision, or a number or symbol
        as baseline. A switch's baseline says which world this is, not what comes out of it.
        """
        found = [path for path, source in self.figures.items() if names(source, claim)]
        for name, lever in self.levers.items():
            if lever.type != "bool" and names(lever.source, claim):
                found.append(f"levers.{name}.baseline")
            if any(names(decision.source, claim) for decision in lever.decisions):
                found.append(f"levers.{name}.decisions")
        return tuple(found)

    def figured(self) -> dict[str, Any]:
        """The parts whose numbers need a citation: residuals of the fit are its own record."""
        return self.model_dump(
            include={"scale": True, "institutions": True, "economy": True, "lending": True},
            exclude={"economy": {"fit"}, "lending": {"fit"}},
        )
