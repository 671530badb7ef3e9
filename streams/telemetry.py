"""What a worker tells about itself: Prometheus metrics, and a plain summary for the front door."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from streams.fetch import Chunk
    from streams.task import Batch

DELAY_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)

PARTIALS_REFUSED = Counter(
    "jinliu_partials_refused", "Records among partials that are none, skipped.", ["topic"], registry=None
)
"""Of this process: the merge counts what it refuses as it reads, on a takeover again."""


class Telemetry:
    """Counters of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("jinliu_events_folded", "Records folded.", ["topic"], registry=self.registry)
        self.chunks = Counter("jinliu_chunks_folded", "Fetched chunks folded.", ["topic"], registry=self.registry)
        self.transactions = Counter("jinliu_transactions", "Transactions committed.", ["topic"], registry=self.registry)
        self.records = Counter(
            "jinliu_records_written", "Records written in transactions.", ["topic"], registry=self.registry
        )
        self.dead = Counter("jinliu_dead_letters", "Records refused.", ["topic"], registry=self.registry)
        self.rows = Counter("jinliu_metric_rows", "Metric rows written.", ["topic"], registry=self.registry)
        self.stale = Counter("jinliu_stale_chunks", "Chunks of a former assignment, dropped.", registry=self.registry)
        self.gaps = Counter(
            "jinliu_gaps", "Chunks that did not begin at the shard's next offset.", registry=self.registry
        )
        self.fenced = Counter("jinliu_fenced", "Shards that found themselves fenced.", registry=self.registry)
        self.lag = Gauge(
            "jinliu_lag_records", "Records behind the end of the log.", ["topic", "partition"], registry=self.registry
        )
        self.commit_s = Histogram("jinliu_transaction_seconds", "Wall time of a transaction.", registry=self.registry)
        self.delay = Histogram(
            "jinliu_window_delay_seconds",
            "From the newest event in a metric row to the transaction that holds the row.",
            ["topic"],
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(PARTIALS_REFUSED)
        self._events = 0
        self._chunks = 0
        self._transactions = 0
        self._dead = 0
        self._rows = 0
        self._started = time.monotonic()

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus on http://host:port/metrics, in a thread of its own."""
        start_http_server(port, host, self.registry)

    def folded(self, chunk: Chunk, events: int) -> None:
        """A chunk was folded; events: rows it held."""
        self.events.labels(chunk.topic).inc(events)
        self.chunks.labels(chunk.topic).inc()
        if chunk.rows is not None:
            self._events += events
            self._chunks += 1

    def committed(self, topic: str, batch: Batch, records: int, seconds: float) -> None:
        """A transaction was committed."""
        self.transactions.labels(topic).inc()
        self.records.labels(topic).inc(records)
        self.commit_s.observe(seconds)
        self._transactions += 1
        if batch.dead:
            self.dead.labels(topic).inc(batch.dead)
            self._dead += batch.dead
        if batch.rows:
            self.rows.labels(topic).inc(batch.rows)
            self._rows += batch.rows
        delay = self.delay.labels(topic)
        for delay_ms in batch.delays_ms:
            delay.observe(delay_ms / 1000)

    def summary(self, lag: int, shards: int) -> dict[str, Any]:
        """A JSON-able status: counts since the process started, lag in records, CPU in seconds, memory in MB."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "shards": shards,
            "lag": lag,
            "events": self._events,
            "chunks": self._chunks,
            "transactions": self._transactions,
            "rows": self._rows,
            "dead": self._dead,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "rss_mb": usage.ru_maxrss // 1024,
            "wall_s": round(time.monotonic() - self._started, 3),
        }
