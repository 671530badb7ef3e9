"""Progress records: how far each source is, acknowledged by the broker. The clock moves the horizon by them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from producers.feed import Feed, Span
from producers.options import RUNS, Options
from producers.producer import BatchProducer
from schemas import wire

EVERY_S = 0.5
WAITING_S = 0.02
"""When nothing more may be told the clock waits for these records, so they come at once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Ticks up to tick_end_ms are acknowledged on every topic and shard; `events` counts since this process began."""

    source: str
    tick_end_ms: int
    events: int
    closed: bool


OnProgress = Callable[[Progress], None]


class ProgressWriter:
    """Writes the progress of each source when it has moved, to topic `runs` under the key run/source."""

    def __init__(
        self,
        options: Options,
        run_id: str,
        span: Span,
        feeds: Mapping[str, Sequence[Feed]],
        producer: BatchProducer,
        ids: Mapping[str, int],
        on_progress: OnProgress | None,
    ) -> None:
        self._topic = options.topic(RUNS)
        self._run_id = run_id
        self._span = span
        self._feeds = feeds
        self._producer = producer
        self._ids = ids
        self._on_progress = on_progress
        self._written: dict[str, Progress] = {}
        self._at = 0.0

    def write(self, *, waiting: bool = False, now: bool = False) -> None:
        """Write what has changed, at most every 0.5 s; every 20 ms when `waiting` for the horizon; at once
        with `now`."""
        moment = time.monotonic()
        if not now and moment - self._at < (WAITING_S if waiting else EVERY_S):
            return
        for source, feeds in self._feeds.items():
            progress = self._progress(source, feeds)
            if progress != self._written.get(source):
                self._at = moment
                self._send(progress)

    def _progress(self, source: str, feeds: Sequence[Feed]) -> Progress:
        span = self._span
        closed = all(feed.acked_closed for feed in feeds)
        ticks = min(feed.acked_ticks for feed in feeds)
        return Progress(source, span.start_ms + ticks * span.tick_ms, sum(feed.acked_events for feed in feeds), closed)

    def _send(self, progress: Progress) -> None:
        value = {
            "run": self._run_id,
            "source": progress.source,
            "tick_end": progress.tick_end_ms,
            "events": progress.events,
            "closed": progress.closed,
        }
        key = f"{self._run_id}/{progress.source}".encode()
        self._producer.send(self._topic, key=key, value=wire.encode("progress", value, self._ids), partition=0)
        self._written[progress.source] = progress
        if self._on_progress is not None:
            self._on_progress(progress)
