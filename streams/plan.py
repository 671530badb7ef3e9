"""What the engine does with one event topic of one run: roster, time, rules, columns to decode, rollups to fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas import catalog
from schemas.layout import fields
from streams import metrics as bundled
from streams import refusal
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

MAX_SEQ_JUMP = 1_000_000
TICK = "tick"
TICK_COLUMNS = ("source", "seq", "kind", "shard", "tick_start", "tick_end", "events", "amount_fen")
EVENT_COLUMNS = ("source", "seq", "event_time")
DTYPE = {"long": "int64", "int": "int32", "enum": "int8", "boolean": "bool", "double": "float64", "string": "int16"}


@dataclass(frozen=True, slots=True)
class EventTopic:
    """An event topic: its record, the amount its control totals add up, how many real events it stands for, the field
    that places an event in a shard, and range rules.

    person: field with a person id. institution: string field whose code places the event. vocabularies: string field
    -> "banks" or "institutions". rules: what else an event of the run cannot be.
    """

    record: str
    amount: str | None = None
    weight: str | None = None
    person: str | None = None
    institution: str | None = None
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


EVENT_TOPICS: Mapping[str, EventTopic] = {
    "payments": EventTopic(
        record="payment",
        amount="amount_fen",
        weight="weight",
        person="payer_id",
        vocabularies={"payer_bank": "banks", "payee_bank": "banks"},
        rules=(
            refusal.outside("amount_fen", 0, refusal.AMOUNT_FEN_MAX),
            refusal.outside("weight", 1, refusal.WEIGHT_MAX),
            refusal.outside("latency_ms", 0, refusal.LATENCY_MS_MAX, "int32"),
        ),
    ),
    "operations": EventTopic(
        record="operation",
        amount="amount_fen",
        institution="institution",
        vocabularies={"institution": "institutions"},
        rules=(refusal.outside("amount_fen", 0, refusal.TOTAL_FEN_MAX),),
    ),
}


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """Arguments of `schemas.decode.Decoder` but for the ids: records in kind order (the event, then the tick)."""

    records: tuple[str, ...]
    vocabularies: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class TopicPlan:
    """The plan of one topic. Times are simulated UTC ms; rollups are those of all metrics that read the topic, in
    order of name.
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
        banks=tuple(topology.banks),
        institutions=tuple(institution.id for institution in topology.institutions),
        certified={institution.id: institution.certified for institution in topology.institutions},
    )


def plans(
    topology: Topology, run: Mapping[str, Any], metrics: Mapping[str, Metric] | None = None
) -> dict[str, TopicPlan]:
    """A plan for every event topic that a metric reads, by topic.

    run: the run record (roster, start, end). metrics: by name, all bundled ones by default. Raises DefinitionError,
    WindowError.
    """
    chosen = bundled.load() if metrics is None else metrics
    world = world_of(topology)
    wanted = dict.fromkeys(topic for metric in chosen.values() for topic in metric.topics())
    scale = topology.scale
    return {
        topic: plan_topic(
            topic, world, _roster(run, topic), (run["start"], run["end"], scale.tick_ms),
            (scale.lateness_ticks, scale.patience_ticks), tuple(chosen.values()), topology.windows,
        )
        for topic in wanted
    }  # fmt: skip


def _roster(run: Mapping[str, Any], topic: str) -> tuple[str, ...]:
    if not run["roster"].get(topic):
        told = ", ".join(run["roster"])
        raise DefinitionError(f"a metric reads topic {topic!r}, which no source of this run tells; they tell {told}")
    return tuple(run["roster"][topic])


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
    vocabularies = {"source": roster}
    for name, words in spec.vocabularies.items():
        vocabularies[name] = world.banks if words == "banks" else world.institutions
    columns = event_columns(spec.record, vocabularies)
    people = -(-world.people // world.shards)
    rollups = []
    for metric in sorted(metrics, key=lambda metric: metric.name):
        names = metric.window_names(windows)
        for rollup in metric.rollups:
            if rollup.topic == topic:
                rollups.append(
                    BoundRollup(metric.name, bind(rollup, columns, people, metric.name), nested(names, *span))
                )
    rules = _rules(spec)
    sums = (name for name in (spec.amount, spec.weight) if name)
    read = dict.fromkeys((*EVENT_COLUMNS, *sums, *(rule.column for rule in rules)))
    for bound in rollups:
        read.update(dict.fromkeys(bound.layout.rollup.columns()))
    return TopicPlan(
        topic=topic, record=spec.record, shards=world.shards, roster=roster,
        start_ms=span[0], end_ms=span[1], tick_ms=span[2],
        lateness_ticks=waiting[0], patience_ticks=waiting[1], world=world, rules=rules, rollups=tuple(rollups),
        decoder=DecoderSpec((spec.record, TICK), vocabularies, {spec.record: tuple(read), TICK: TICK_COLUMNS}),
        amount=spec.amount, weight=spec.weight, passes=tuple(fold_pass(bound.layout) for bound in rollups),
    )  # fmt: skip


def event_columns(record: str, vocabularies: Mapping[str, Sequence[str]]) -> dict[str, Column]:
    """Columns of a record as rollups see them; strings without a vocabulary cannot be read by a rollup."""
    parsed = catalog.schema(record).parsed
    person = next((spec.person for spec in EVENT_TOPICS.values() if spec.record == record), None)
    symbols = {field["name"]: _enumeration(field["type"]) for field in parsed["fields"]}
    columns = {}
    for item in fields(parsed):
        closed: tuple[Any, ...] | None = None
        if item.type == "enum":
            closed = symbols[item.name]
        elif item.type == "boolean":
            closed = (False, True)
        elif item.type == "string":
            if item.name not in vocabularies:
                continue
            closed = tuple(vocabularies[item.name])
        if item.type != "fixed":
            columns[item.name] = Column(DTYPE[item.type], closed, item.nullable, item.name == person)
    return columns


def _enumeration(kind: Any) -> tuple[str, ...] | None:
    options = kind if isinstance(kind, list) else [kind]
    for option in options:
        if isinstance(option, dict) and option["type"] == "enum":
            return tuple(option["symbols"])
    return None


def _rules(spec: EventTopic) -> tuple[Rule, ...]:
    rules = [refusal.outside_span(), *(refusal.unknown(name) for name in spec.vocabularies)]
    if spec.person is not None:
        rules.append(refusal.foreign_person(spec.person))
    if spec.institution is not None:
        rules.append(refusal.foreign_code(spec.institution))
    return (*rules, *spec.rules)
