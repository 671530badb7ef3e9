"""The loop of a producing process: its sources in lockstep, up to the horizon.

At full speed each round tells every sequence the same span of ticks, as many as fill a batch. At a paced speed each
slice of at most 50 ms of wall time tells what has happened by now in simulated time, and the next blocks are made in
the time left.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from producers import feed as feeds
from producers.batches import BatchBuilder
from producers.errors import TopicMissingError
from producers.feed import Blocks, Encoders, Feed, Span
from producers.levers import LeverError
from producers.logs import BatchLog, Entry, TopicReader
from producers.options import POLICIES, Options
from producers.ownership import Ownership
from producers.policies import LIVE, Anchor, Decision, PolicyLog
from producers.producer import BatchProducer
from producers.progress import OnProgress, ProgressWriter
from producers.resume import LogEnds
from producers.runrecord import Run
from schemas import catalog
from schemas.encode import Encoder
from schemas.eventtopics import EVENT_TOPICS
from schemas.recordbatch import CODECS

log = logging.getLogger(__name__)

SLICE_S = 0.04
"""A paced slice: with its own work it stays under 50 ms."""
ROUND_ROWS = 8_000
"""Events of the busiest sequence in a round at full speed: about one batch."""
BLOCK_ROWS = 4_000
"""Events made at a time at a paced speed: a millisecond or two of one core."""
BLOCKS_AHEAD = 2
FLUSH_EVERY_S = 0.2
"""Quiet sequences are sent this often at full speed, so that progress does not wait for a batch to fill."""
POLL_S = 0.05
IDLE_S = 0.005
"""Wait for the horizon: shorter while acknowledgements, and so progress, are still to come."""
FLUSH_S = 120.0

Build = Callable[[Options, Sequence[Decision]], Mapping[str, Blocks]]
"""Makes one generator a source under the levers in force."""


class Teller:
    """Tells the sources of one process. `run` until the span is told or stopped, then `finish`; `close` always."""

    def __init__(
        self,
        options: Options,
        run: Run,
        owners: Sequence[Ownership],
        on_progress: OnProgress | None,
        build: Build,
    ) -> None:
        scale = options.topology.scale
        self._options = options
        self._owners = owners
        self._build = build
        self._span = Span(options.start_ms, scale.tick_ms, options.ticks)
        self._ids = catalog.ids(options.registry)
        self._policies = PolicyLog()
        self._levers: list[Decision] = []
        self._feeds: list[Feed] = []
        self._generators: Mapping[str, Blocks] = {}
        self._flushed = 0.0
        self._turn = 0
        self._reader = TopicReader(options.broker, options.topic(POLICIES), self._ids, "jinliu-policies")
        self._producer: BatchProducer | None = None
        self._ended = False
        try:
            self._take(self._reader.read_to_end())
            if not self._generators:
                self._rebuild()
            self._producer = BatchProducer(options.broker, client_id=f"jinliu-{'-'.join(options.sources)}")
            self._feeds = list(self._open_feeds(run, self._producer))
        except BaseException:
            self.close()
            raise
        by_source = {name: [feed for feed in self._feeds if feed.sequence.source == name] for name in options.sources}
        self._progress = ProgressWriter(options, run.id, self._span, by_source, self._producer, self._ids, on_progress)

    def _open_feeds(self, run: Run, producer: BatchProducer) -> Iterable[Feed]:
        """One feed a (source, topic, shard), from where the log ends."""
        options = self._options
        shards = options.topology.scale.shards
        with BatchLog(options.broker, "jinliu-resume") as batches:
            for topic, roster in run.roster.items():
                told = [source for source in roster if source in options.sources]
                if not told:
                    continue
                place = options.topic(topic)
                found = batches.partitions(place)
                if found != shards:
                    raise TopicMissingError(f"topic {place} has {found} partitions, the topology has {shards} shards")
                spec = EVENT_TOPICS[topic]
                words = {**self._generators[told[0]].vocabularies(topic), "source": roster}
                encoders = Encoders(
                    Encoder(spec.record, self._ids[spec.record], words, spec.key),
                    Encoder("tick", self._ids["tick"], {"source": roster, "run": (run.id,)}, "source"),
                )
                ends = LogEnds(batches, place, spec.record, self._ids, roster, options.start_ms)
                for shard in range(shards):
                    for source, position in ends.find(shard, told).items():
                        sequence = feeds.Sequence(source, roster.index(source), topic, place, shard)
                        builder = BatchBuilder(CODECS[options.compression])
                        yield Feed(
                            sequence, self._span, self._generators[source], encoders, producer, position, builder
                        )

    @property
    def closed(self) -> bool:
        """Whether CLOSE of every sequence is acknowledged."""
        return all(feed.acked_closed for feed in self._feeds)

    def events(self) -> dict[str, int]:
        """Events acknowledged so far, by topic."""
        totals: dict[str, int] = {}
        for feed in self._feeds:
            topic = feed.sequence.topic
            totals[topic] = totals.get(topic, 0) + feed.acked_events
        return totals

    def run(self, stop: threading.Event) -> None:
        """Tell until every sequence is closed and acknowledged, or `stop` is set."""
        self._flush()
        self._progress.write(now=True)
        while not stop.is_set() and not self.closed:
            for owner in self._owners:
                owner.check()
            self._sender().check()
            self._take(self._reader.poll())
            anchor = self._policies.anchor
            limit = self._span.ticks_until(self._policies.horizon_ms or 0)
            if anchor is not None and anchor.speed is not None:
                self._slice(limit, anchor, stop)
            elif not self._round(limit):
                # Nothing to tell: the clock waits for progress, this loop for the clock.
                self._flush()
                self._progress.write(waiting=True)
                self._take(self._reader.poll(POLL_S if self._settled() else IDLE_S))
            self._progress.write(waiting=self._pressing(limit))

    def _pressing(self, limit: int) -> bool:
        """Whether the horizon is near: the clock should hear of progress before these sources have to wait."""
        told = min(feed.told_ticks for feed in self._feeds)
        return limit - told <= self._options.topology.scale.lead_ticks // 2

    def _round(self, limit: int) -> bool:
        """Full speed: tell every sequence up to the same tick; whether there was anything to tell."""
        first = min(feed.told_ticks for feed in self._feeds)
        if first >= limit:
            for feed in self._feeds:
                feed.close()
            return False
        busiest = max(feed.rows_per_tick for feed in self._feeds)
        ticks = max(1, int(ROUND_ROWS / busiest)) if busiest else 1
        until_ms = self._span.start_ms + min(limit, first + ticks) * self._span.tick_ms
        for feed in self._feeds:
            # Blocks may reach to the horizon: a quiet sequence is made in few of them.
            feed.tell(limit, until_ms, ROUND_ROWS)
        if self._pressing(limit) or time.monotonic() - self._flushed > FLUSH_EVERY_S:
            self._flush()
        return True

    def _slice(self, limit: int, anchor: Anchor, stop: threading.Event) -> None:
        """A paced speed: tell what has happened by now, then make what comes next until the slice is over."""
        deadline = time.monotonic() + SLICE_S
        now_ms = anchor.now_ms(time.time_ns() // 1_000_000)
        for feed in self._feeds:
            feed.tell(limit, now_ms, BLOCK_ROWS)
            feed.close()
            feed.flush()
        for _ in self._feeds:
            if time.monotonic() >= deadline:
                break
            self._turn = (self._turn + 1) % len(self._feeds)
            feed = self._feeds[self._turn]
            if feed.blocks < BLOCKS_AHEAD:
                feed.prepare(limit, BLOCK_ROWS)
        stop.wait(max(0.0, deadline - time.monotonic()))

    def _flush(self) -> None:
        for feed in self._feeds:
            feed.flush()
        self._flushed = time.monotonic()

    def _settled(self) -> bool:
        """Whether all that was told is acknowledged."""
        return self._sender().pending_bytes == 0

    def _sender(self) -> BatchProducer:
        if self._producer is None:
            raise RuntimeError("the teller is closed")
        return self._producer

    def _take(self, entries: Iterable[Entry]) -> None:
        """Read on in the policy log; a lever that takes effect makes the generators anew before its day is told."""
        changed = False
        for entry in entries:
            if entry.value is not None and entry.name == "policy":
                decision = Decision.read(entry.value)
                if self._policies.add(decision) and decision.origin == LIVE:
                    self._levers.append(decision)
                    changed = True
        if changed:
            self._rebuild()

    def _rebuild(self) -> None:
        """Generators under the levers in force. A lever that the economy refuses is void, for every source alike."""
        try:
            self._generators = self._build(self._options, self._levers)
        except LeverError:
            self._levers = self._usable(self._levers)
            self._generators = self._build(self._options, self._levers)
        for feed in self._feeds:
            feed.generator = self._generators[feed.sequence.source]

    def _usable(self, levers: Sequence[Decision]) -> list[Decision]:
        usable: list[Decision] = []
        for lever in levers:
            try:
                self._build(self._options, [*usable, lever])
            except LeverError as error:
                log.warning("policy %s = %s is void: %s", lever.lever, lever.value, error)
            else:
                usable.append(lever)
        return usable

    def finish(self) -> None:
        """Send what is made, wait until it is acknowledged, and write the last progress."""
        self._flush()
        self._sender().flush_all(FLUSH_S)
        self._progress.write(now=True)
        self._sender().flush_all(FLUSH_S)
        self._ended = True

    def close(self) -> None:
        """Release connections; what was not sent after an error is dropped."""
        self._reader.close()
        if self._producer is not None:
            if self._ended:
                self._producer.close(timeout=FLUSH_S)
            else:
                self._producer.abandon()
            self._producer = None
