"""The proof.

Recompute every closed window of every metric from the raw topics and compare it with what the metric topics hold. What
may be expected of a stack that runs or was stopped is settled first, and argued, in `jinliu.oracle.moment`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinliu.oracle import alarms, alerts, found, spans
from jinliu.oracle.compare import Key, Verdict, compare
from jinliu.oracle.contract import (
    BANKS,
    BANKS_OR_NONE,
    BORROWERS,
    INSTITUTIONS,
    INSTITUTIONS_OR_NONE,
    JOINT_LOAN_CAP,
    MAX_SEQ_JUMP,
    NONE,
    TOPICS,
)
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import KafkaLog, Log
from jinliu.oracle.moment import ACCOUNTING, OPEN_STATUS, Moment, Place, look
from jinliu.oracle.partition import Judged, Task, judge_all, workshop
from jinliu.oracle.proof import Institution, Proof
from jinliu.oracle.rules import Rules
from schemas import catalog
from streams import metrics as bundled
from streams.metric import Metric
from streams.plan import told
from streams.rows import avro

if TYPE_CHECKING:
    from topologies import Topology


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a proof is. stage: "reading" (records of the raw topics) or "proving" (metrics)."""

    stage: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]
NOT_OF_THE_SQL = ("window_end", "status", "revision", "missing", "missing_sources")
"""Fields of a row that its proof need not give: `revision` is not proved, the others are judged from the log."""


def verify(
    broker: str,
    prefix: str,
    topology: "Topology",
    on_progress: OnProgress | None = None,
    *,
    registry: str | None = None,
    metrics: Mapping[str, Metric] | None = None,
    log: Log | None = None,
) -> Verdict:
    """Prove the metric topics of a run, also of one that goes on meanwhile or was stopped anywhere: `unread` and
    `unmerged` of the verdict say what it leaves open.

    registry: URL of the schema registry the run used, if any. metrics: by name, all bundled ones by default. log:
    another log than the broker's, for tests. Raises OracleError where the log cannot be judged, where it holds the run
    of another topology, and for a metric whose proof is absent or leaves out a field.
    """
    known = bundled.load() if metrics is None else metrics
    for metric in known.values():
        if metric.rollups and not metric.proof.strip():
            raise OracleError(f"metric {metric.name!r} has no proof: give it the SQL that recomputes its rows")
    tell = on_progress or (lambda progress: None)
    reader = log or KafkaLog(broker, prefix)
    try:
        with workshop() as directory:
            ids = catalog.ids(registry)
            run = found.run(reader, ids)
            _check(run, topology)
            chosen = told(known, run["roster"])
            verdict = Verdict()
            moment = look(reader, chosen, ids)
            tasks = _tasks(reader, topology, run, chosen, ids, directory, verdict, moment.reached)
            remote = (broker, prefix) if log is None else None
            judged = judge_all(tasks, reader, remote, lambda done, of: tell(Progress("reading", done, of)))
            verdict.records = sum(part.records for part in judged)
            _prove(verdict, reader, topology, run, chosen, judged, moment, directory, tell)
            return verdict
    finally:
        if log is None:
            reader.close()


def _check(run: Mapping[str, Any], topology: "Topology") -> None:
    """Raises OracleError unless the run was opened with this very topology: no other could judge it."""
    if run["digest"] != topology.digest:
        raise OracleError(
            f"the run {run['run']} was opened with another topology (or another version of it): {run['topology']!r}, "
            f"digest {run['digest'][:12]}; this is {topology.name!r}, digest {topology.digest[:12]}; give --topology"
        )


def rules_of(topic: str, topology: "Topology", run: Mapping[str, Any], windows: Iterable[str]) -> Rules:
    """By what a topic's records are judged in a run."""
    spec, scale = TOPICS[topic], topology.scale
    places = {institution.id: i for i, institution in enumerate(topology.institutions)}
    known = {BANKS: frozenset(topology.banks), INSTITUTIONS: frozenset(places)}
    known |= {BANKS_OR_NONE: known[BANKS] | {NONE}, INSTITUTIONS_OR_NONE: known[INSTITUTIONS] | {NONE}}
    return Rules(
        topic=topic,
        record=spec.record,
        shards=scale.shards,
        roster=tuple(run["roster"][topic]),
        start_ms=run["start"],
        end_ms=run["end"],
        tick_ms=scale.tick_ms,
        lateness_ms=scale.lateness_ticks * scale.tick_ms,
        patience_ms=scale.patience_ticks * scale.tick_ms,
        max_seq_jump=MAX_SEQ_JUMP,
        persons=topology.borrowers if spec.population == BORROWERS else topology.population,
        words={name: known[words] for name, words in spec.words.items()},
        ranges=dict(spec.ranges),
        person=spec.person,
        institution=spec.institution,
        places=places,
        windows=tuple(dict.fromkeys(windows)),
        worth=spec.worth,
        caps=tuple(
            (each.effective_ms, float(each.value)) for each in topology.policies if each.lever == JOINT_LOAN_CAP
        ),
    )


def _tasks(
    log: Log,
    topology: "Topology",
    run: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    ids: Mapping[str, int],
    directory: Path,
    verdict: Verdict,
    reached: Mapping[tuple[str, int], int],
) -> list[Task]:
    """One task a partition of every topic that a metric reads, up to where the workers have read it."""
    sql = " ".join(metric.proof for metric in metrics.values())
    words = frozenset(re.findall(r"[a-z_][a-z_0-9]*", sql.lower()))
    tasks = []
    for topic in _topics(metrics):
        reading = [metric for metric in metrics.values() if topic in metric.topics()]
        rules = rules_of(
            topic, topology, run, (name for metric in reading for name in metric.window_names(topology.windows))
        )
        schemas = {name: (ids[name], catalog.schema(name).text) for name in (rules.record, "tick")}
        extents = log.extents(topic)
        if len(extents) != rules.shards:
            raise OracleError(
                f"topic {topic} has {len(extents)} partitions; topology {topology.name} has {rules.shards} shards"
            )
        for shard, (_, end) in extents.items():
            # What the workers have not read yet is no difference: a stack that runs, or was stopped, is behind.
            read = min(end, reached.get((topic, shard), 0))
            verdict.unread += end - read
            tasks.append(Task(rules, shard, read, schemas, words, directory / f"{topic}-{shard}.parquet"))
    return tasks


def _topics(metrics: Mapping[str, Metric]) -> list[str]:
    topics = sorted({topic for metric in metrics.values() for topic in metric.topics()})
    for topic in topics:
        if topic not in TOPICS:
            raise OracleError(f"the proof knows no event topic {topic!r}; it knows {', '.join(TOPICS)}")
    return topics


def _prove(
    verdict: Verdict,
    log: Log,
    topology: "Topology",
    run: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    judged: Sequence[Judged],
    moment: Moment,
    directory: Path,
    tell: OnProgress,
) -> None:
    """Compare every metric, one after the other."""
    files = {topic: [part.path for part in judged if part.topic == topic] for topic in _topics(metrics)}
    scale = topology.scale
    written = alerts.told(log, moment.alerts, moment.ids[alerts.ALERT])
    called_for: list[Mapping[str, Any]] = []
    raised: list[Mapping[str, Any]] = []
    proof = Proof(files, _institutions(topology), (scale.person_weight, scale.weight, scale.shards), directory)
    try:
        for number, metric in enumerate(metrics.values()):
            tell(Progress("proving", number, len(metrics)))
            if metric.rollups:
                expected = _expected(proof, metric, topology, run, judged)
                settled = _closed_places(metric, topology, run, judged) - moment.unmerged[metric.name]
                rows = _found(log, metric, moment, expected, settled)
                if metric.alarms:
                    called_for += alarms.expected(metric, expected.values(), settled)
                    raised += alarms.lying(metric, written, _places(metric, topology, run), settled)
                verdict.unmerged += _left_open(expected, rows, moment.unmerged[metric.name])
            elif metric.name == ACCOUNTING:
                expected, rows = _accounting(metric, judged), _accounts(metric, moment)
            else:
                continue
            compare(verdict, metric.name, metric.key, expected, rows)
        broken = alerts.expected(alert for part in judged for alert in part.alerts)
        compare(verdict, alerts.ALERTS, alerts.KEY, broken, alerts.lying(written, files, moment.reached))
        compare(verdict, alerts.ALERTS, alarms.KEY, alarms.keyed(called_for), alarms.keyed(raised))
        tell(Progress("proving", len(metrics), len(metrics)))
    finally:
        proof.close()


def _expected(
    proof: Proof, metric: Metric, topology: "Topology", run: Mapping[str, Any], judged: Sequence[Judged]
) -> dict[Key, dict[str, Any]]:
    """The rows of all closed windows of a metric, with status and missing."""
    out: dict[Key, dict[str, Any]] = {}
    needed = [field.name for field in fields(metric.row) if field.name not in NOT_OF_THE_SQL]
    for name in metric.window_names(topology.windows):
        closed = closed_windows(metric, name, run, judged)
        calendar = [(window.start, window.end) for window in spans.over(name, run["start"], run["end"])]
        for row in proof.rows(metric.name, metric.proof, name, calendar, needed):
            completed = closed.get(row.get("window_start"))
            if completed is None:
                continue
            row |= {"window": name, **completed}
            key = _key(metric, row)
            if key in out:
                raise OracleError(f"the proof of metric {metric.name!r} gives two rows for {key}")
            out[key] = row
    return out


def closed_windows(
    metric: Metric, name: str, run: Mapping[str, Any], judged: Sequence[Judged]
) -> dict[Any, dict[str, Any]]:
    """Window start -> window_end, status and missing, of the windows that all shards of the metric's topics closed."""
    parts = [part for part in judged if part.topic in metric.topics()]
    adding = {rollup.topic for rollup in metric.rollups if rollup.cumulative}
    out = {}
    for window in spans.over(name, run["start"], run["end"]):
        if all(window.start in part.closed[name] for part in parts):
            found = [(part.lacking if part.topic in adding else part.closed)[name][window.start] for part in parts]
            lost = [counts for counts in found if counts]
            missing: Counter[str] = Counter()
            for counts in lost:
                missing.update(counts)
            out[window.start] = {
                "window_end": window.end,
                "status": "INCOMPLETE" if lost else "FINAL",
                "missing": missing.total(),
                "missing_sources": ",".join(f"{name}={missing[name]}" for name in sorted(missing)) or None,
            }
    return out


def _accounting(metric: Metric, judged: Sequence[Judged]) -> dict[Key, dict[str, Any]]:
    """The rows of `metrics.accounting`: what became of the records of each topic, shard and source."""
    out = {}
    for part in judged:
        for source, ledger in part.ledgers.items():
            counts = asdict(ledger)
            if any(counts.values()):
                received = ledger.folded + ledger.late + ledger.duplicate + ledger.dead
                row = {"topic": part.topic, "shard": part.shard, "source": source, "received": received, **counts}
                out[_key(metric, row)] = row
    return out


def _accounts(metric: Metric, moment: Moment) -> dict[Key, dict[str, Any]]:
    """The accounts found, without `upto`: where their judgement ends, not part of it."""
    return {
        _key(metric, row): {name: value for name, value in row.items() if name != "upto"} for row in moment.accounts
    }


def _closed_places(
    metric: Metric, topology: "Topology", run: Mapping[str, Any], judged: Sequence[Judged]
) -> frozenset[Place]:
    """The windows (name, start) that are closed."""
    names = metric.window_names(topology.windows)
    return frozenset((name, start) for name in names for start in closed_windows(metric, name, run, judged))


def _places(metric: Metric, topology: "Topology", run: Mapping[str, Any]) -> Iterator[Place]:
    """The windows (name, start) of the run."""
    for name in metric.window_names(topology.windows):
        for window in spans.over(name, run["start"], run["end"]):
            yield name, window.start


def _found(
    log: Log, metric: Metric, moment: Moment, expected: Mapping[Key, Any], settled: Set[Place]
) -> dict[Key, dict[str, Any]]:
    """The rows on the metric's topic at the moment that are closed, or that should be. settled: closed and merged."""
    out = {}
    schema, number = avro(metric.name, metric.row), moment.ids[metric.name]
    for row in found.rows(log, f"metrics.{metric.name}", schema, number, moment.ends[metric.name]):
        key = _key(metric, row)
        place = (row.get("window"), row.get("window_start"))
        if row.get("status") != OPEN_STATUS or key in expected or place in settled:
            out[key] = row
    return out


def _left_open(expected: dict[Key, dict[str, Any]], rows: dict[Key, dict[str, Any]], unmerged: Set[Place]) -> int:
    """Take the rows that no merge has closed yet out of both; returns of how many windows they are."""
    places = set()
    for key, row in list(expected.items()):
        place = (row["window"], row["window_start"])
        if place in unmerged and (key not in rows or rows[key].get("status") == OPEN_STATUS):
            places.add(place)
            del expected[key]
            rows.pop(key, None)
    return len(places)


def _key(metric: Metric, row: Mapping[str, Any]) -> Key:
    try:
        return tuple(row[name] for name in metric.key)
    except KeyError as error:
        raise OracleError(
            f"metric {metric.name!r}: a row has no key field {error}: {json.dumps(dict(row), default=str)}"
        ) from error


def _institutions(topology: "Topology") -> list[Institution]:
    return [
        Institution(item.id, _ms(item.certified), index, item.kind) for index, item in enumerate(topology.institutions)
    ]


def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
