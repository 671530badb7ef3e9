"""What the engine does with one event topic of one run: roster, time, rules, columns to decode, rollups to fold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas import catalog
from schemas.eventtopics import (
    BANKS,
    BANKS_OR_NONE,
    BORROWERS,
    EVENT_TOPICS,
    INSTITUTIONS,
    INSTITUTIONS_OR_NONE,
    KEY_RANGE_MAX,
    NONE,
    EventTopic,
)
from schemas.layout import fields
from streams import loanbook, refusal
from streams import metrics as bundled
from streams.errors import DefinitionError
from streams.foldkernel import FoldPass, fold_pass
from streams.metric import Metric, World
from streams.openwindows import BoundRollup
from streams.partials import PARTIAL_PARTITIONS as PARTIAL_PARTITIONS
from streams.refusal import Rule
from streams.rollup import Column, bind
from streams.windows import Windows, nested

if TYPE_CHECKING:
    from topologies import Topology

JOINT_LOAN_CAP = "joint-loan-cap"
"""The lever that caps the platform's share of a joint loan."""
MAX_SEQ_JUMP = 1_000_000
TICK = "tick"
TICK_COLUMNS = ("source", "seq", "kind", "shard", "tick_start", "tick_end", "events", "amount_fen")
EVENT_COLUMNS = ("source", "seq", "event_time")
DTYPE = {"long": "int64", "int": "int32", "enum": "int8", "boolean": "bool", "double": "float64", "string": "int16"}


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """Arguments of `schemas.decode.Decoder` but for the ids: records in kind order (the event, then the tick)."""

    records: tuple[str, ...]
    vocabularies: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class TopicPlan:
    """The plan of one topic. Times are simulated UTC ms; rollups are those of all metrics that read the topic, in
    order of name. people: how many its person field numbers. worth: columns whose sum times weight the ledger bounds.
    lifecycle: its events are steps of loans, kept in order by `streams.loanbook`.
    """

    topic: str
    record: str
    shards: int
    roster: tuple[str, ...]
    start_ms: int
    end_ms: int
    tick_ms: int
    lateness_ticks: int
    patience_ticks: int
    world: World
    rules: tuple[Rule, ...]
    rollups: tuple[BoundRollup, ...]
    decoder: DecoderSpec
    amount: str | None = None
    weight: str | None = None
    worth: tuple[str, ...] = ()
    people: int = 0
    lifecycle: bool = False
    max_seq_jump: int = MAX_SEQ_JUMP
    passes: tuple[FoldPass, ...] = ()

    def windows(self, name: str) -> Windows:
        """The windows called `name`. Raises KeyError if no rollup of the topic uses them."""
        for bound in self.rollups:
            for windows in bound.windows:
                if windows.name == name:
                    return windows
        raise KeyError(name)


def world_of(topology: Topology) -> World:
    """What rollups and derivations may know of a topology."""
    return World(
        weight=topology.scale.weight,
        person_weight=topology.scale.person_weight,
        shards=topology.scale.shards,
        people=topology.population,
        borrowers=topology.borrowers,
        banks=tuple(topology.banks),
        institutions=tuple(institution.id for institution in topology.institutions),
        certified={institution.id: institution.certified for institution in topology.institutions},
        kinds={institution.id: institution.kind for institution in topology.institutions},
        joint_loan_cap=tuple(
            (policy.effective_ms, float(policy.value)) for policy in topology.policies if policy.lever == JOINT_LOAN_CAP
        ),
    )


def plans(
    topology: Topology, run: Mapping[str, Any], metrics: Mapping[str, Metric] | None = None
) -> dict[str, TopicPlan]:
    """A plan for every event topic that the run's sources tell, by topic: also one that no metric reads has accounts
    and dead letters.

    run: the run record (roster, start, end). metrics: by name, all bundled ones by default; those that read a topic
    which nobody tells are left out. Raises DefinitionError, WindowError.
    """
    chosen = told(bundled.load() if metrics is None else metrics, run["roster"])
    world = world_of(topology)
    scale = topology.scale
    return {
        topic: plan_topic(
            topic, world, tuple(roster), (run["start"], run["end"], scale.tick_ms),
            (scale.lateness_ticks, scale.patience_ticks), tuple(chosen.values()), topology.windows,
        )
        for topic, roster in run["roster"].items() if roster
    }  # fmt: skip


def told(metrics: Mapping[str, Metric], topics: Collection[str]) -> dict[str, Metric]:
    """The metrics that read nothing but these topics: those a world that tells them computes.

    Raises DefinitionError for a metric of a topic that there is not.
    """
    for metric in metrics.values():
        for topic in metric.topics():
            if topic not in EVENT_TOPICS:
                raise DefinitionError(
                    f"metric {metric.name!r}: no event topic {topic!r}; known: {', '.join(EVENT_TOPICS)}"
                )
    return {name: metric for name, metric in metrics.items() if all(topic in topics for topic in metric.topics())}


def plan_topic(
    topic: str,
    world: World,
    roster: tuple[str, ...],
    span: tuple[int, int, int],
    waiting: tuple[int, int],
    metrics: Sequence[Metric],
    windows: Mapping[str, Sequence[str]],
) -> TopicPlan:
    """One topic's plan. span: start, end, tick (ms). waiting: allowed lateness and patience (ticks). windows: metric
    -> window names.
    """
    spec = EVENT_TOPICS.get(topic)
    if spec is None:
        raise DefinitionError(f"no event topic {topic!r}; known: {', '.join(EVENT_TOPICS)}")
    known = {
        BANKS: world.banks,
        INSTITUTIONS: world.institutions,
        BANKS_OR_NONE: (*world.banks, NONE),
        INSTITUTIONS_OR_NONE: (*world.institutions, NONE),
    }
    vocabularies = {"source": roster, **{name: known[words] for name, words in spec.vocabularies.items()}}
    people = world.borrowers if spec.population == BORROWERS else world.people
    columns = event_columns(spec.record, vocabularies, spec.bounds, spec.person)
    rollups = []
    for metric in sorted(metrics, key=lambda metric: metric.name):
        names = metric.window_names(windows)
        for rollup in metric.rollups:
            if rollup.topic == topic:
                layout = bind(rollup, columns, -(-people // world.shards), metric.name)
                rollups.append(BoundRollup(metric.name, layout, nested(names, *span)))
    rules = _rules(spec, columns)
    worth = spec.worth or tuple(name for name in (spec.amount,) if name)
    sums = (name for name in (spec.amount, spec.weight, *worth) if name)
    steps = loanbook.COLUMNS if spec.lifecycle else ()
    read = dict.fromkeys((*EVENT_COLUMNS, *sums, *steps, *(name for rule in rules for name in rule.columns)))
    for bound in rollups:
        read.update(dict.fromkeys(bound.layout.rollup.columns()))
    return TopicPlan(
        topic=topic, record=spec.record, shards=world.shards, roster=roster,
        start_ms=span[0], end_ms=span[1], tick_ms=span[2],
        lateness_ticks=waiting[0], patience_ticks=waiting[1], world=world, rules=rules, rollups=tuple(rollups),
        decoder=DecoderSpec((spec.record, TICK), vocabularies, {spec.record: tuple(read), TICK: TICK_COLUMNS}),
        amount=spec.amount, weight=spec.weight, worth=worth, people=people, lifecycle=spec.lifecycle,
        passes=tuple(fold_pass(bound.layout) for bound in rollups),
    )  # fmt: skip


def event_columns(
    record: str,
    vocabularies: Mapping[str, Sequence[str]],
    bounds: Mapping[str, tuple[int, int]],
    person: str | None,
) -> dict[str, Column]:
    """Columns of a record as rollups see them; strings without a vocabulary cannot be read by a rollup, integers are
    keys where their bounds leave few enough values.
    """
    parsed = catalog.schema(record).parsed
    symbols = {field["name"]: _enumeration(field["type"]) for field in parsed["fields"]}
    columns = {}
    for item in fields(parsed):
        closed: tuple[Any, ...] | None = None
        least, most = bounds.get(item.name, (0, KEY_RANGE_MAX))
        if item.type == "enum":
            closed = symbols[item.name]
        elif item.type == "boolean":
            closed = (False, True)
        elif item.type == "string":
            if item.name not in vocabularies:
                continue
            closed = tuple(vocabularies[item.name])
        elif most - least < KEY_RANGE_MAX:
            closed = tuple(range(least, most + 1))
        if item.type != "fixed":
            low = least if item.type in ("int", "long") and closed else 0
            columns[item.name] = Column(DTYPE[item.type], closed, item.nullable, item.name == person, low)
    return columns


def _enumeration(kind: Any) -> tuple[str, ...] | None:
    options = kind if isinstance(kind, list) else [kind]
    for option in options:
        if isinstance(option, dict) and option["type"] == "enum":
            return tuple(option["symbols"])
    return None


def _rules(spec: EventTopic, columns: Mapping[str, Column]) -> tuple[Rule, ...]:
    rules = [refusal.outside_span(), *(refusal.unknown(name) for name in spec.vocabularies)]
    if spec.person is not None:
        rules.append(refusal.foreign_person(spec.person))
    if spec.institution is not None:
        rules.append(refusal.foreign_code(spec.institution))
    for name, (least, most) in spec.bounds.items():
        rules.append(refusal.outside(name, least, most, columns[name].dtype))
    rules += [refusal.breaking(rule, columns) for rule in spec.rules]  # behind the bounds: nothing wraps
    return tuple(rules)
