"""The run record: what a prefix holds, written once and checked by everybody.

Several processes may open the same prefix at once. Each writes its record if it saw none and then reads the log
again: the first record wins. A loser takes its own record back with a tombstone, so that compaction cannot make it
the first one.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from producers.errors import OtherRunError
from producers.levers import decided_in_vain, tell_idle
from producers.logs import Entry, TopicReader
from producers.options import POLICIES, RUNS, Options
from producers.policies import TOPOLOGY, Decision
from producers.producer import BatchProducer
from schemas import catalog, wire
from schemas.registry import refuse_other, tells, told

FLUSH_S = 60.0
WRITER_S = 5.0
"""How long the others leave the topology's policies to whoever's run record won."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run: `id` names it, `roster` gives each event topic the sources that tell it; the span is [start_ms,
    end_ms)."""

    id: str
    seed: int
    topology: str
    digest: str
    roster: Mapping[str, tuple[str, ...]]
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, options: Options) -> "Run":
        topology = options.topology
        return cls(
            options.run_id,
            options.seed,
            topology.name,
            topology.digest,
            options.roster(),
            options.start_ms,
            options.end_ms,
        )

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Run":
        return cls(
            record["run"],
            record["seed"],
            record["topology"],
            record["digest"],
            {topic: tuple(sources) for topic, sources in record["roster"].items()},
            record["start"],
            record["end"],
        )

    def record(self) -> dict[str, Any]:
        return {
            "run": self.id,
            "seed": self.seed,
            "topology": self.topology,
            "digest": self.digest,
            "roster": {topic: list(sources) for topic, sources in self.roster.items()},
            "start": self.start_ms,
            "end": self.end_ms,
        }

    def sources(self) -> tuple[str, ...]:
        """Every source of the roster, once."""
        return tuple(dict.fromkeys(source for sources in self.roster.values() for source in sources))

    def __str__(self) -> str:
        return (
            f"seed {self.seed}, topology {self.topology} ({self.digest[:8]}), "
            f"{_moment(self.start_ms)} to {_moment(self.end_ms)}"
        )


def first_run(entries: Iterable[Entry]) -> Run | None:
    """The run that the records of topic `runs`, in log order, open, or None.

    It is the first run record whose key has not been taken back by a tombstone.
    """
    found: dict[bytes | None, Run] = {}
    for entry in entries:
        if entry.value is None:
            found.pop(entry.key, None)
        elif entry.name == "run":
            found.setdefault(entry.key, Run.read(entry.value))
    return next(iter(found.values()), None)


def read_run(broker: str, prefix: str, registry: str | None = None) -> Run | None:
    """The run a prefix holds, or None.

    Raises TopicMissingError when there is no topic `runs`, OtherRegistryError.
    """
    ids = check_registry(broker, prefix, registry)
    with TopicReader(broker, prefix + RUNS, ids, "jinliu-run") as reader:
        return first_run(reader.read_to_end())


def check_registry(broker: str, prefix: str, registry: str | None) -> Mapping[str, int]:
    """The schema ids of `registry`, once it is sure that a run which the prefix holds was opened with the same ones.

    Raises TopicMissingError when there is no topic `runs`, OtherRegistryError, RegistryError.
    """
    ids, topic = catalog.ids(registry), prefix + RUNS
    with _HeaderReader(broker, topic, ids, "jinliu-run") as reader:
        headers = reader.first_telling()
    if headers is not None:
        refuse_other(headers, registry, ids, f"{f'prefix {prefix!r}' if prefix else 'the broker'} at {broker}")
    return ids


class _HeaderReader(TopicReader):
    """Reads the headers of a topic, whatever its records are written with."""

    def first_telling(self) -> list[tuple[str, bytes]] | None:
        """Headers of the first record that says which schema ids its run uses; None where none does."""
        end = self._consumer.end_offsets([self._place])[self._place]
        deadline = time.monotonic() + FLUSH_S
        while self._consumer.position(self._place) < end and time.monotonic() < deadline:
            for records in self._consumer.poll(timeout_ms=200).values():
                for record in records:
                    if tells(record.headers or ()):
                        return list(record.headers)
        return None


def unfinished(options: Options, ids: Mapping[str, int], run: Run) -> tuple[str, ...]:
    """Sources of the run that have not told their end, in the topology's order. Raises TopicMissingError."""
    with TopicReader(options.broker, options.topic(RUNS), ids, "jinliu-run") as reader:
        closed = {
            entry.value["source"]
            for entry in reader.read_to_end()
            if entry.name == "progress" and entry.value is not None
            and entry.value["run"] == run.id and entry.value["closed"]
        }  # fmt: skip
    known = [source.name for source in options.topology.sources]
    return tuple(sorted((source for source in run.sources() if source not in closed), key=known.index))


def topology_decisions(policies: Iterable[Any]) -> list[Decision]:
    """The topology's dated policies as records, in its order. Values become JSON text with sorted keys."""
    return [
        Decision(
            policy.lever,
            json.dumps(policy.value, ensure_ascii=False, sort_keys=True, default=str),
            policy.effective_ms,
            TOPOLOGY,
        )
        for policy in policies
    ]


def open_run(options: Options) -> Run:
    """Open the run of these options under their prefix, or join it where it is open already.

    Writes the run record and the topology's policies when they are not there yet. Safe when several processes do it
    at once. Warns of levers that the topology decides anew though nothing acts on them yet.

    Raises OtherRunError when the prefix holds another run, OtherRegistryError when it holds one with other schema
    ids, TopicMissingError without topics.
    """
    mine = Run.of(options)
    tell_idle(decided_in_vain(options.topology))
    ids = check_registry(options.broker, options.prefix, options.registry)
    with (
        TopicReader(options.broker, options.topic(RUNS), ids, "jinliu-run") as runs,
        TopicReader(options.broker, options.topic(POLICIES), ids, "jinliu-run") as policies,
    ):
        seen = runs.read_to_end()
        present = first_run(seen)
        wanted = topology_decisions(options.topology.policies)
        decisions = _decisions(policies)
        if present is not None and present.id != mine.id:
            raise _other(options, present, mine)
        if present is not None and not _missing(wanted, decisions):
            return present
        producer = BatchProducer(options.broker, client_id="jinliu-run")
        try:
            wrote = present is None and _write_run(options, producer, runs, seen, mine, ids)
            _write_policies(options, producer, policies, decisions, wanted, ids, at_once=wrote)
        finally:
            producer.close(timeout=FLUSH_S)
    return mine


def _write_run(
    options: Options,
    producer: BatchProducer,
    runs: TopicReader,
    seen: list[Entry],
    mine: Run,
    ids: Mapping[str, int],
) -> bool:
    """Write the record and see who was first; whether it was this process. Raises OtherRunError after taking it
    back."""
    topic, key = options.topic(RUNS), mine.id.encode()
    value = wire.encode("run", mine.record(), ids)
    sent = producer.send(topic, key=key, value=value, headers=told(options.registry, ids), partition=0)
    producer.flush_all(FLUSH_S)
    offset = sent.get(timeout=FLUSH_S).offset
    check_registry(options.broker, options.prefix, options.registry)  # of two at once the first one's ids hold
    new = runs.read_to_end()
    seen += new
    first = first_run(seen)
    if first is not None and first.id != mine.id:
        producer.send(topic, key=key, value=None, partition=0)
        producer.flush_all(FLUSH_S)
        raise _other(options, first, mine)
    return bool(offset == min(entry.offset for entry in new if entry.key == key))


def _write_policies(
    options: Options,
    producer: BatchProducer,
    policies: TopicReader,
    decisions: list[Decision],
    wanted: Sequence[Decision],
    ids: Mapping[str, int],
    *,
    at_once: bool,
) -> None:
    """Write what is missing: at once by the process whose run record won, by another only after it had its time.

    Should two still write, readers take the copies for one.
    """
    deadline = time.monotonic() + (0.0 if at_once else WRITER_S)
    pause = threading.Event()
    decisions += _decisions(policies)
    while _missing(wanted, decisions) and time.monotonic() < deadline:
        pause.wait(0.1)
        decisions += _decisions(policies)
    for decision in _missing(wanted, decisions):
        write_decision(options, producer, decision, ids)
    producer.flush_all(FLUSH_S)


def write_decision(options: Options, producer: BatchProducer, decision: Decision, ids: Mapping[str, int]) -> Any:
    """Append one record to `policies`; the future of its acknowledgement."""
    value = wire.encode("policy", decision.record(), ids)
    return producer.send(options.topic(POLICIES), key=decision.key(), value=value, partition=0)


def _decisions(policies: TopicReader) -> list[Decision]:
    return [
        Decision.read(entry.value)
        for entry in policies.read_to_end()
        if entry.value is not None and entry.name == "policy"
    ]


def _missing(wanted: Sequence[Decision], present: Iterable[Decision]) -> list[Decision]:
    there = set(present)
    return [decision for decision in wanted if decision not in there]


def _other(options: Options, present: Run, mine: Run) -> OtherRunError:
    where = f"prefix {options.prefix!r}" if options.prefix else "the topics without prefix"
    return OtherRunError(
        f"{where} at {options.broker} hold another run ({present}), this is {mine}: give the options of that run to go "
        "on with it, or another --prefix or --data directory for a new one"
    )


def _moment(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d" if ms % 86_400_000 == 0 else "%Y-%m-%dT%H:%M:%SZ")
