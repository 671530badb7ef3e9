"""`emit`: generate, encode and send, acknowledged by the broker, all sources in one process."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from jinliu.bed import PEAK_EVENTS_S, Bed, bed, one_to_one, told
from jinliu.bench.figures import counted
from jinliu.bench.gauge import Parts, rss_mb
from jinliu.children import Child

TOPICS = ("payments", "operations")


class Sample(NamedTuple):
    """At a time (monotonic seconds): records in the log, CPU seconds by part."""

    at: float
    records: int
    cpu: dict[str, float]


def emit(events: int, seconds: int) -> dict[str, Any]:
    """CPU from the first batches in the log to the last, so that start-up is not in it (`start_cpu_s`)."""
    with bed(one_to_one(round(events / PEAK_EVENTS_S))) as made:
        made.start("clock", "clock", "--speed", "max")
        sources = made.start("sources", "produce", "--json")
        samples, rss = _samples(made, sources)
        made.children.check()
        count = told(sources)
    first, last = samples[0], samples[-1]
    records = last.records - first.records
    cpu = last.cpu["sources"] - first.cpu["sources"]
    figures = counted(records, cpu, last.at - first.at)
    broker = last.cpu["broker"] - first.cpu["broker"]
    return figures | {
        "told": count,
        "start_cpu_s": round(first.cpu["sources"], 2),
        "broker_us_per_event": round(broker / records * 1e6, 4),
        "rss_mb": round(rss),
    }


def _samples(made: Bed, sources: Child) -> tuple[list[Sample], float]:
    """Samples in which the log had grown, and the most memory, until the sources end."""
    parts = Parts({"sources": sources.process.pid, "broker": made.broker_pid})
    opened = 2 * len(TOPICS) * made.settings.world.scale.shards * len(made.settings.world.sources)
    samples: list[Sample] = []
    rss = 0.0

    def sampled() -> bool:
        nonlocal rss
        ended = sources.process.poll() is not None
        sample = Sample(time.monotonic(), made.records(*TOPICS), parts.read())
        if sample.records > (samples[-1].records if samples else opened):
            samples.append(sample)
        rss = max(rss, rss_mb(sources.process.pid))
        return ended

    made.until("the sources to end", sampled)
    return samples, rss
