"""`latency`: the national peak at the pace of the clock on the wall; from an event's record to the first metric row
that covers it, and the memory of the worker meanwhile.

A subscriber to `metrics.market-share` notes when each row comes and which offsets its header says it covers. The
events are read afterwards: of each, record timestamp, offset and event time, which names its windows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import confluent_kafka as ck
import numpy as np
import numpy.typing as npt

from jinliu.bed import PEAK_EVENTS_S, Bed, bed, one_to_one
from jinliu.bench.errors import BenchError
from jinliu.bench.figures import counted
from jinliu.bench.gauge import Parts, rss_mb, slope
from producers.logs import BatchLog
from schemas import catalog
from schemas.decode import Decoder
from streams.windows import nested

METRIC, TOPIC = "market-share", "payments"
COMMIT_MS, PROVISIONAL_MS = 200, 200
SPEED = 1
"""Simulated seconds per second."""
WARM_UP_S = 5.0
"""Events told sooner are not counted: everything is only just starting."""
LEFT_BEHIND_S = 2.0
"""Events told in the last seconds may have no row yet when the run is cut off."""
SPARE_S = 60
"""The span is longer than what is watched: the sources shall not end meanwhile."""
PERCENTILES = (50, 95, 99)
NEVER = np.iinfo(np.int64).max
Int64 = npt.NDArray[np.int64]
Place = tuple[str, int, int]


class Seen:
    """When a subscriber first saw offsets covered: (window, window start, shard) to (first offset not covered, ms)."""

    def __init__(self) -> None:
        self._seen: dict[Place, list[tuple[int, int]]] = {}
        self._last: tuple[str, int, bytes] | None = None

    def row(self, key: bytes, header: bytes, at_ms: int) -> None:
        """A metric row with this key came at wall time `at_ms`."""
        row = json.loads(key)
        window, start = row["window"], row["window_start"]
        if (window, start, header) == self._last:
            return  # the other rows of the same window
        self._last = (window, start, header)
        for shard, upto in json.loads(header).items():
            place = (window, start, int(shard.rpartition("/")[2]))
            seen = self._seen.setdefault(place, [])
            if not seen or upto > seen[-1][0]:
                seen.append((upto, at_ms))

    def first_ms(self, place: Place, offsets: Int64) -> Int64:
        """When each offset was first covered by a row of the window; NEVER if it was not."""
        seen = np.array(self._seen.get(place, ()), np.int64).reshape(-1, 2)
        never = np.append(seen[:, 1], NEVER)
        found: Int64 = never[np.searchsorted(seen[:, 0], offsets, side="right")]
        return found


def delays_ms(seen: Seen, shard: int, starts: Mapping[str, Int64], offsets: Int64, stamps: Int64) -> Int64:
    """From each record's timestamp to the first row of any of its windows that covers it, ms; NEVER if there is none.

    starts: window name to the start of each event's window.
    """
    first = np.full(len(offsets), NEVER)
    for name, begins in starts.items():
        for begin in np.unique(begins).tolist():
            chosen = begins == begin
            first[chosen] = np.minimum(first[chosen], seen.first_ms((name, begin, shard), offsets[chosen]))
    return np.where(first == NEVER, NEVER, first - stamps)


def latency(events: int, seconds: int) -> dict[str, Any]:
    """Percentiles over the events between warm-up and the end, and the worker's memory in MB."""
    span = one_to_one(round(WARM_UP_S + seconds + LEFT_BEHIND_S) + SPARE_S)
    with bed(span) as made:
        worker = made.worker("--commit-ms", str(COMMIT_MS), "--provisional-ms", str(PROVISIONAL_MS))
        sources = made.start("sources", "produce", "--json")
        made.until("the sources to wait for the clock", lambda: made.records("runs") > 1, 120.0)
        clock = made.start("clock", "clock", "--speed", str(SPEED))
        pids = {"worker": worker.process.pid, "sources": sources.process.pid, "broker": made.broker_pid}
        watched = _Watched(made, Parts(pids | {"clock": clock.process.pid}), worker.process.pid)
        made.until("the first event", lambda: made.records(TOPIC) > 0, 120.0)
        watched.watch(seconds + LEFT_BEHIND_S)
        made.children.check()
        delays = np.concatenate([np.empty(0, np.int64), *_delays(made, watched)])
    covered = delays[delays != NEVER]
    if not len(covered):
        raise BenchError(f"none of {len(delays)} events told between warm-up and the end is covered by a metric row")
    wall = watched.until_s - watched.from_s
    cpu = {name: watched.after[name] - watched.before[name] for name in watched.before}
    figures = counted(watched.count, sum(cpu.values()), wall)
    p50, p95, p99 = np.percentile(covered, PERCENTILES)
    return (
        figures
        | {
            "events_measured": len(covered),
            "events_uncovered": len(delays) - len(covered),
            "paced_at": PEAK_EVENTS_S,
            "p50_ms": round(float(p50)),
            "p95_ms": round(float(p95)),
            "p99_ms": round(float(p99)),
            "max_ms": int(covered.max()),
            "cpu_percent_by_part": {name: round(100 * used / wall, 1) for name, used in cpu.items()},
            "commit_ms": COMMIT_MS,
            "provisional_ms": PROVISIONAL_MS,
        }
        | watched.memory()
    )


class _Watched:
    """A subscriber, and the readings between warm-up and the end."""

    def __init__(self, made: Bed, parts: Parts, worker: int) -> None:
        self._made, self._parts, self._worker = made, parts, worker
        self._at: list[float] = []
        self._rss: list[float] = []
        self._rss_start = rss_mb(worker)
        self.seen = Seen()
        self.from_s = self.until_s = 0.0
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.count = 0

    def watch(self, seconds: float) -> None:
        """Take rows as they come, for the warm-up and then `seconds`."""
        consumer = ck.Consumer(
            {
                "bootstrap.servers": self._made.address, "group.id": "jinliu-bench", "enable.auto.commit": False,
                "auto.offset.reset": "earliest", "isolation.level": "read_committed", "fetch.wait.max.ms": 20,
            }
        )  # fmt: skip
        try:
            consumer.assign([ck.TopicPartition(f"metrics.{METRIC}", 0, 0)])
            self._take(consumer, time.time() + WARM_UP_S)
            self.from_s, self.before, told = time.time(), self._parts.read(), self._made.records(TOPIC)
            self._take(consumer, self.from_s + seconds)
            self.until_s, self.after = time.time(), self._parts.read()
            self.count = self._made.records(TOPIC) - told
        finally:
            consumer.close()

    def _take(self, consumer: Any, until_s: float) -> None:
        read_s = 0.0
        while (now := time.time()) < until_s:
            for message in consumer.consume(500, 0.01):
                if message.error() is None and message.headers():
                    self.seen.row(message.key(), dict(message.headers())["upto"], time.time_ns() // 1_000_000)
            if now - read_s >= 1.0:
                read_s = now
                self._made.children.check()
                self._at.append(now)
                self._rss.append(rss_mb(self._worker))

    def memory(self) -> dict[str, Any]:
        """The worker's memory: at the start, at most, and how it grew a minute over the second half."""
        half = len(self._at) // 2
        return {
            "rss_mb": round(max(self._rss)),
            "rss_mb_start": round(self._rss_start),
            "rss_mb_end": round(self._rss[-1]),
            "rss_mb_per_minute": round(60 * slope(self._at[half:], self._rss[half:]), 2),
        }


def _delays(made: Bed, watched: _Watched) -> Iterator[Int64]:
    """Delays of the payments of each shard told between warm-up and the end."""
    world = made.settings.world
    names = world.windows.get(METRIC) or world.windows["default"]
    windows = nested(tuple(names), made.span.start_ms, made.span.end_ms, world.scale.tick_ms)
    ids = catalog.ids(None)
    decoder = Decoder({"payment": ids["payment"], "tick": ids["tick"]}, {}, {"payment": ["event_time"], "tick": []})
    first_ms, last_ms = watched.from_s * 1000, (watched.until_s - LEFT_BEHIND_S) * 1000
    with BatchLog(made.address, "jinliu-bench-delays") as log:
        for shard in range(world.scale.shards):
            for batch in log.batches(TOPIC, shard, *log.bounds(TOPIC, shard)):
                if batch.max_ts < first_ms:
                    continue
                if batch.first_ts > last_ms:
                    break
                rows = decoder.decode([batch], batch.base_offset)
                events = rows.index["payment"]
                times = rows.columns["payment"]["event_time"]
                starts = {each.name: each.starts()[each.indices(times)] for each in windows}
                yield delays_ms(watched.seen, shard, starts, rows.offset[events], rows.timestamp[events])
