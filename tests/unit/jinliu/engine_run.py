"""The engine's pure core run over lists, so that the proof has metric topics to judge without a broker."""

from types import SimpleNamespace
from typing import Any

from schemas import catalog
from schemas.decode import Decoder
from schemas.recordbatch import RawBatch, frame, split
from streams.alerts import raised
from streams.merge import MergeState
from streams.metrics import load
from streams.plan import plans
from streams.plan import told as told_metrics
from streams.rowwriter import RowWriter
from streams.shard import ShardState
from tests.unit.jinliu.oracle_world import BANKS, HOUR, ROSTER, START, MemoryLog, tick, together, told, wire
from topologies.levers import PolicySpec

HOURS = 6
DIGEST = "e7" * 32
RUN = {
    "run": "0123456789abcdef", "seed": 7, "topology": "tiny", "digest": DIGEST,
    "roster": {"payments": ROSTER, "operations": ROSTER},
    "start": START, "end": START + HOURS * HOUR,
}  # fmt: skip


POLICIES = (
    PolicySpec("joint-loan-cap", 1.0, START, "as it was"),
    PolicySpec("joint-loan-cap", 0.3, START + 3 * HOUR, "as decided"),
)


def levers_at(time_ms: int) -> dict[str, Any]:
    """The levers' values, as a topology gives them."""
    return {policy.lever: policy.value for policy in POLICIES if policy.effective_ms <= time_ms}


def topology() -> Any:
    """Two banks, two sources, two shards, a hundred people, sixty borrowers; a cap from the fourth hour on."""
    kinds = {"alipay": "platform"} | dict.fromkeys(BANKS, "state-bank")
    institutions = tuple(SimpleNamespace(id=name, certified=None, kind=kind) for name, kind in kinds.items())
    scale = SimpleNamespace(
        weight=10, person_weight=5, rare_weight=1, shards=2, tick_ms=HOUR, lateness_ticks=1, patience_ticks=3
    )
    windows = {"market-share": ("hour", "2h"), "payment-quality": ("2h",), "institutions": ("3h",)}
    return SimpleNamespace(
        name="tiny", digest=DIGEST, scale=scale, institutions=institutions, banks=BANKS, population=100, borrowers=60,
        windows=windows, policies=POLICIES, levers_at=levers_at,
    )  # fmt: skip


def payments() -> list[list[bytes | None]]:
    """Both shards of `payments`, whole."""
    return [list(together(told("alipay", shard), told("banks", shard))) for shard in (0, 1)]


def operations() -> list[list[bytes | None]]:
    """Both shards of `operations`: `alipay` tells its revenue and research, the banks nothing."""
    out: list[list[bytes | None]] = []
    for shard in (0, 1):
        events: list[bytes | None] = [
            tick("alipay", 0, 0, 0, 0, shard, "OPEN"),
            tick("banks", 0, 0, 0, 0, shard, "OPEN"),
        ]
        seq = 1
        for hour in range(HOURS):
            told_here = []
            if shard == 0:
                deeds = (("REVENUE", 1000 + hour, None), ("RESEARCH_SPEND", 90, None), ("RELEASE", None, 7))
                for i, (kind, amount, days) in enumerate(deeds):
                    operation = {
                        "source": "alipay",
                        "seq": seq + i,
                        "event_time": START + hour * HOUR + i,
                        "institution": "alipay",
                        "kind": kind,
                    }
                    told_here.append(wire("operation", operation | {"amount_fen": amount, "days": days}))
            seq += len(told_here)
            total = 1090 + hour if told_here else 0
            events += [
                *told_here,
                tick("alipay", seq, hour, len(told_here), total, shard),
                tick("banks", 1 + hour, hour, 0, 0, shard),
            ]
            seq += 1
        out.append(
            [
                *events,
                tick("alipay", seq, HOURS, 0, 0, shard, "CLOSE"),
                tick("banks", 1 + HOURS, HOURS, 0, 0, shard, "CLOSE"),
            ]
        )
    return out


def run_of(raw: dict[str, list[list[bytes | None]]], rosters: dict[str, tuple[str, ...]] | None = None) -> Any:
    """The run record of raw topics: both sources tell each, unless `rosters` says who else."""
    return RUN | {"roster": dict.fromkeys(raw, ROSTER) | (rosters or {})}


def processed(raw: dict[str, list[list[bytes | None]]], rosters: dict[str, tuple[str, ...]] | None = None) -> MemoryLog:
    """The raw topics and what the engine makes of them."""
    run = run_of(raw, rosters)
    world, ids, metrics = topology(), catalog.ids(None), told_metrics(load(), run["roster"])
    by_topic = plans(world, run)
    merges = {name: MergeState(metric, by_topic) for name, metric in metrics.items() if metric.rollups}
    rows: dict[str, list[Any]] = {name: [] for name in metrics}
    alerts: list[Any] = []
    for topic, plan in by_topic.items():
        records = {name: ids[name] for name in plan.decoder.records}
        decoder = Decoder(records, plan.decoder.vocabularies, plan.decoder.columns)
        for shard, values in enumerate(raw[topic]):
            state = ShardState(plan, shard)
            if values:
                state.fold(decoder.decode([_batch(values)], 0), 0, len(values) - 1)
            changes = state.take()
            rows["accounting"] += changes.accounting
            alerts += [alert.record("alerts", ids) for alert in changes.alerts]
            for partial in changes.partials:
                merges[partial.metric].put(partial)
    for name, merge in merges.items():
        rows[name] += merge.take()
        alerts += [alert.record("alerts", ids) for row in rows[name] for alert in raised(metrics[name], row)]
    log = MemoryLog({topic: [[(None, value) for value in shard] for shard in shards] for topic, shards in raw.items()})
    log.topics["runs"] = [[(b"run", wire("run", run))]]
    log.topics["alerts"] = [[(record.key, record.value) for record in alerts]]
    for name, metric in metrics.items():
        writer = RowWriter(metric, ids, f"metrics.{name}")
        log.topics[f"metrics.{name}"] = [[(record.key, record.value) for record in map(writer.record, rows[name])]]
    return log


def _batch(values: list[bytes | None]) -> RawBatch:
    """The values as one record batch, offsets from 0."""
    records = bytearray()
    for offset, value in enumerate(values):
        body = (
            b"\x00"
            + _varint(0)
            + _varint(offset)
            + _varint(-1)
            + _varint(-1 if value is None else len(value))
            + (value or b"")
            + _varint(0)
        )
        records += _varint(len(body)) + body
    return next(split(frame(records, len(values), 1)))


def _varint(value: int) -> bytes:
    number, out = (value << 1) ^ (value >> 63), bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
