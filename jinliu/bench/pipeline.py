"""`pipeline`: sources, broker and a worker at once on this machine."""

from __future__ import annotations

import time
from typing import Any

from jinliu.bed import PEAK_EVENTS_S, bed, one_to_one, status, told
from jinliu.bench.emitting import TOPICS
from jinliu.bench.figures import counted
from jinliu.bench.folding import checked, until_folded
from jinliu.bench.gauge import Parts, rss_mb
from jinliu.children import Child


def pipeline(events: int, seconds: int) -> dict[str, Any]:
    """Wall from the first event in the log to the last one folded and committed; CPU by part over the same time."""
    with bed(one_to_one(round(events / PEAK_EVENTS_S))) as made:
        worker = made.worker()
        clock = made.start("clock", "clock", "--speed", "max")
        sources = made.start("sources", "produce", "--json")
        pids = {"sources": sources.process.pid, "worker": worker.process.pid, "broker": made.broker_pid}
        parts = Parts(pids | {"clock": clock.process.pid})
        opened = made.records(*TOPICS)
        made.until("the first event", lambda: made.records(*TOPICS) > opened)
        started, before = time.monotonic(), parts.read()
        ended = until_folded(made, None, parts, lambda: _told(sources))
        made.children.check()
        count = told(sources)
        rss = rss_mb(worker.process.pid, most=True)
        windows = checked(made, count)
        last = status(worker)
    cpu = {name: ended.cpu[name] - before[name] for name in before}
    return counted(count, sum(cpu.values()), ended.folded_at - started) | {
        "us_per_event_by_part": {name: round(used / count * 1e6, 4) for name, used in cpu.items()},
        "rss_mb": round(rss),
        "chunk_events": round(last.get("events", 0) / max(1, last.get("chunks", 0))),
        "windows_final": windows,
    }


def _told(sources: Child) -> int | None:
    return told(sources) if sources.process.poll() == 0 else None
