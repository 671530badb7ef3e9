"""`fold`, `fold-small`, `fold-loans`: a worker on topics that are full already, from its first chunk to its last
metric row.
"""

from __future__ import annotations

import time
from typing import Any

from jinliu.bed import PEAK_EVENTS_S, Bed, Span, bed, one_to_one, status
from jinliu.bench.errors import BenchError
from jinliu.bench.figures import counted, loans, small
from jinliu.bench.gauge import Parts, cpu_s, rss_mb
from jinliu.overview import Overview
from jinliu.subscription import MetricReader
from streams import metrics
from streams.plan import told as computed

QUIET_S = 2.5
"""No new metric row for so long, with everything folded: the worker is done. Provisional rows come every second."""
SMALL_PART = 4
"""`fold-small` folds this part of the events: its chunks cost more."""


def fold(events: int, seconds: int) -> dict[str, Any]:
    """One second of the national peak a tick: chunks of thousands of events."""
    return _fold(one_to_one(round(events / PEAK_EVENTS_S)))


def fold_small(events: int, seconds: int) -> dict[str, Any]:
    """The baseline world: some hundreds of events a source, shard and day; windows of a day, a month, a year."""
    return _fold(small(events // SMALL_PART))


def fold_loans(events: int, seconds: int) -> dict[str, Any]:
    """Loans: the check of every loan's order and money, and the metrics of lending, in ticks of a day."""
    return _fold(loans(events // SMALL_PART))


def _fold(span: Span) -> dict[str, Any]:
    with bed(span) as made:
        events = made.fill()
        worker = made.worker()
        pid = worker.process.pid
        started, start_cpu = time.monotonic(), cpu_s(pid)
        ended = until_folded(made, events, Parts({"worker": pid}))
        rss = rss_mb(pid, most=True)
        windows = checked(made, events)
        last = status(worker)
    cpu = ended.cpu["worker"] - start_cpu
    return counted(events, cpu, ended.folded_at - started) | {
        "with_start_us_per_event": round(ended.cpu["worker"] / events * 1e6, 4),
        "start_cpu_s": round(start_cpu, 2),
        "rss_mb": round(rss),
        "chunk_events": round(last.get("events", 0) / max(1, last.get("chunks", 0))),
        "transactions": last.get("transactions", 0),
        "metric_rows": last.get("rows", 0),
        "windows_final": windows,
    }


class Folded:
    """When everything was folded and committed, and the CPU by part when the last metric row was."""

    def __init__(self) -> None:
        self.folded_at = 0.0
        self.cpu: dict[str, float] = {}


def until_folded(made: Bed, events: int | None, parts: Parts, told: Any = None) -> Folded:
    """Wait until `events` (or what `told` says, once it says it) are in committed metrics and no more rows come."""
    ended = Folded()
    rows = made.names("metrics.")
    grown = (0.0, 0)
    received: dict[Any, int] = {}

    def done() -> bool:
        nonlocal grown
        wanted = events if events is not None else told()
        for _, row in reader.poll(10):
            received[row.topic, row.shard, row.source] = row.received
        now, count = time.monotonic(), made.records(*rows)
        if count != grown[1] or not ended.folded_at:
            grown, ended.cpu = (now, count), parts.read()
        if not ended.folded_at and sum(received.values()) == wanted:
            ended.folded_at = now
        return bool(ended.folded_at) and now - grown[0] > QUIET_S

    with MetricReader(["accounting"], made.address) as reader:
        made.until("the worker to fold everything", done)
    return ended


def checked(made: Bed, events: int) -> int:
    """Number of closed windows. Raises BenchError unless all events are folded and every window is complete."""
    overview = Overview(made.settings.world, (made.span.start_ms, made.span.end_ms))
    with MetricReader(sorted(computed(metrics.load(), made.settings.world.event_topics)), made.address) as reader:
        overview.take(reader.to_end())
    folded, broken = sum(overview.events().values()), overview.windows("INCOMPLETE")
    if folded != events or broken:
        raise BenchError(f"the worker folded {folded} of {events} events, {broken} windows are incomplete")
    return overview.windows("FINAL")
