"""The report: every claim of the paper with what this run says about it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jinliu.oracle import found
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import KafkaLog, Log
from jinliu.oracle.proving import OnProgress, Progress
from jinliu.report import absent
from jinliu.report.checks import holds
from jinliu.report.facts import Facts, Row, UncoveredError
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, Unmeasured, load, put_in
from jinliu.report.raw import RawTopics
from schemas import catalog
from streams import metrics as bundled
from streams.plan import told
from streams.rows import avro
from topologies import claims as paper

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jinliu.report.beside import Worlds
    from topologies import Topology
    from topologies.claims import Claim

HOLDS, FAILS, NOT_MEASURED = "holds", "fails", "not measured"
ORIGIN = {
    "set": "set: an input measured back",
    "fitted": "fitted: a parameter was steered by it",
    "emerges": "emerges: in no fit's objective",
    "structure": "structure: visible event by event",
    "counter": "counter: a difference between two states",
    "note": "note: the paper's own figures disagree",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim and what was measured of it. `set_by`: paths of the topology that were given for it."""

    claim: "Claim"
    verdict: str
    measured: Measured | None = None
    reason: str = ""
    set_by: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The claim's entry in `jinliu report --json`."""
        claim, measured = self.claim, self.measured
        several = measured is not None and isinstance(measured.value, tuple)
        spans = [] if measured is None else [_bounds(interval) for interval in measured.interval]
        return {
            "id": claim.id,
            "kind": claim.kind,
            "says": claim.says,
            "value": None
            if measured is None
            else list(measured.value)
            if isinstance(measured.value, tuple)
            else measured.value,
            "interval": None if measured is None else spans if several else spans[0],
            "method": None
            if measured is None
            else " / ".join(dict.fromkeys(i.method for i in measured.interval if i)) or "every event",
            "paper": {"at": claim.at, "check": claim.check, "value": claim.value, "within": claim.within},
            "origin": ORIGIN[claim.kind],
            "set_by": list(self.set_by),
            "verdict": self.verdict,
            "reason": self.reason,
            "note": "; ".join(text for text in (measured.note if measured else "", claim.note or "") if text),
            "rows": [] if measured is None else list(measured.rows),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the paper's order."""

    findings: Sequence[Finding]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `jinliu report --json`."""
        return {"claims": [finding.as_dict() for finding in self.findings]}

    def table(self, everything: bool = True) -> "RenderableType":
        """For a terminal, see `jinliu.report.table.render`."""
        from jinliu.report.table import render  # it reads a Report, so it cannot be imported above

        return render(self, everything)

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> how many claims."""
        return {verdict: sum(f.verdict == verdict for f in self.findings) for verdict in (HOLDS, FAILS, NOT_MEASURED)}


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def report(
    broker: str,
    prefix: str,
    topology: "Topology",
    claims: Collection[str] | None = None,
    *,
    registry: str | None = None,
    log: Log | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Measure the paper's claims from the metric topics of a run, and where a claim is about a difference, from the
    run's world simulated twice.

    claims: ids, by default all of the paper's. registry: URL of the one the run uses, if any. log: another log than
    the broker's, for tests. on_progress: told of worlds that are simulated, shard by shard. Raises OracleError where
    there is no run, no such claim, or the run is of another topology.
    """
    asked = _chosen(claims)
    reader = log or KafkaLog(broker, prefix)
    try:
        known = bundled.load()  # before the ids: a metric of one's own has its schema's from then on
        ids = catalog.ids(registry)
        run = found.run(reader, ids)
        _same_world(run, topology)
        rows: dict[str, list[Row]] = {}
        computed = told(known, run["roster"])
        for name, metric in computed.items():
            if asked.keys().isdisjoint(metric.claims):
                continue  # nothing asked is measured from it
            rows[name] = list(found.rows(reader, f"metrics.{name}", avro(name, metric.row), ids[name]))
        facts = Facts(
            rows,
            run["start"],
            run["end"],
            topology,
            untold={
                name: ", ".join(topic for topic in metric.topics() if not run["roster"].get(topic))
                for name, metric in known.items()
                if name not in computed
            },
            raw=RawTopics(reader, ids, run["roster"]),
            worlds=_worlds(topology, run["seed"], on_progress),
        )
        return assess(facts, asked)
    finally:
        if log is None:
            reader.close()


def _worlds(topology: "Topology", seed: int, on_progress: OnProgress | None) -> "Worlds":
    from jinliu.worlds import Simulated  # the sources' kernels, which nothing else here needs

    if on_progress is None:
        return Simulated(topology, seed)
    tell = on_progress
    return Simulated(topology, seed, lambda done, of: tell(Progress("simulating worlds one lever apart", done, of)))


def _same_world(run: Mapping[str, Any], topology: "Topology") -> None:
    """Raise OracleError unless the run was opened with this topology: judged by another it would be misread."""
    if run["digest"] != topology.digest:
        raise OracleError(
            f"the run was opened with another topology, {run['topology']} ({run['digest'][:8]}), than "
            f"{topology.name} ({topology.digest[:8]}); give its --topology"
        )


def _chosen(ids: Collection[str] | None) -> "Mapping[str, Claim]":
    """The claims of these ids, in the paper's order."""
    known = paper.load()
    wrong = sorted(set(ids or ()) - known.keys())
    if wrong:
        raise OracleError(f"no claim {', '.join(wrong)}; the paper's claims are {', '.join(known)}")
    return known if ids is None else {name: claim for name, claim in known.items() if name in ids}


def assess(facts: Facts, claims: "Mapping[str, Claim]") -> Report:
    """The report on given facts."""
    return Report(
        [replace(_assess(facts, claim), set_by=put_in(claim.id, facts.topology)) for claim in claims.values()]
    )


def _assess(facts: Facts, claim: "Claim") -> Finding:
    measure = load().get(claim.id)
    if measure is None:
        return Finding(claim, NOT_MEASURED, reason=absent.reason(claim.id))
    try:
        measured = measure(facts)
    except UncoveredError as missing:
        return Finding(claim, NOT_MEASURED, reason=str(missing))
    if isinstance(measured, Unmeasured):
        return Finding(claim, NOT_MEASURED, reason=measured.reason)
    failing = [name for name, met in (measured.besides or {}).items() if not met]
    reason = f"not so: {', '.join(failing)}" if failing else ""
    return Finding(claim, HOLDS if holds(claim, measured) else FAILS, measured, reason)
