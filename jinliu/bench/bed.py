"""The bed of one entry: a broker with 1 GB on a directory of its own, a run's topics, and child processes."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

import topologies
from jinliu import topics
from jinliu.bench.errors import BenchError
from jinliu.broker import STOP_LIMIT_S, EmbeddedBroker
from jinliu.children import Child, Children
from jinliu.settings import Settings
from producers.runrecord import open_run

__all__ = ["SAMPLE_S", "Bed", "BenchError", "Span", "bed", "counted", "one_to_one", "say", "small"]

HEAP = "1g"
SEED = 7
LIMIT_S = 600.0
SAMPLE_S = 0.05
RECORD_LIMIT_S = 180.0
"""A JVM that ends needs so long, at most, to write its archive."""
DAY_MS = 86_400_000
PEAK_EVENTS_S = 145_000
"""The national peak, which the world `one-to-one` tells."""
EVENTS_A_DAY = 13_000
"""Payments told a day by the world `china`, about."""
SMALL_FROM_MS = 1_640_995_200_000  # 2022-01-01


def say(text: str) -> None:
    """A line of progress on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def counted(events: int, cpu: float, wall: float) -> dict[str, Any]:
    """The figures every entry has."""
    return {
        "cpu_us_per_event": round(cpu / events * 1e6, 4),
        "events_per_s": round(events / wall),
        "events": events,
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
    }


@dataclass(frozen=True, slots=True)
class Span:
    """A world and the simulated time to tell of it, UTC ms."""

    topology: str
    start_ms: int
    end_ms: int


def one_to_one(seconds: int) -> Span:
    """So many seconds of the national peak, in ticks of a second: chunks are large."""
    span = topologies.load("one-to-one").span
    return Span("one-to-one", span.start_ms, min(span.end_ms, span.start_ms + max(2, seconds) * 1000))


def small(events: int) -> Span:
    """About so many events of the world `china`, in ticks of a day: a unit of source, shard and tick is small."""
    return Span("china", SMALL_FROM_MS, SMALL_FROM_MS + max(2, round(events / EVENTS_A_DAY)) * DAY_MS)


class Bed:
    """What an entry works with. settings: of the run; broker_pid: process id of the broker."""

    def __init__(self, settings: Settings, broker: EmbeddedBroker, span: Span) -> None:
        assert broker.process is not None
        self.settings, self.span, self.address = settings, span, broker.address
        self.broker_pid = broker.process.pid
        self.children = Children(settings.data / "logs")
        self._consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id=None, client_id="jinliu-bench")
        self._partitions = {spec.name: spec.partitions for spec in topics.specs(settings.world)}

    def start(self, name: str, *arguments: str) -> Child:
        """A child process on this bed's run: `jinliu <arguments>`."""
        said = {"--broker": self.address, "--topology": self.span.topology, "--seed": str(SEED)}
        said |= {"--from": _moment(self.span.start_ms), "--to": _moment(self.span.end_ms)}
        said |= {"--data": str(self.settings.data)}
        return self.children.start(name, *arguments, *[word for pair in said.items() for word in pair])

    def records(self, *names: str) -> int:
        """End offsets of topics, summed."""
        places = [TopicPartition(name, number) for name in names for number in range(self._partitions[name])]
        ends: dict[Any, int] = self._consumer.end_offsets(places)
        return sum(ends.values())

    def names(self, start: str) -> tuple[str, ...]:
        """Topics whose names begin so."""
        return tuple(name for name in self._partitions if name.startswith(start))

    def until(self, what: str, done: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Ask `done` every 50 ms. Raises BenchError after `limit_s`, ChildDied if a child fails meanwhile."""
        end = time.monotonic() + limit_s
        while not done():
            self.children.check()
            if time.monotonic() > end:
                raise BenchError(f"waited {limit_s:g} s in vain for {what} (logs: {self.settings.data / 'logs'})")
            time.sleep(SAMPLE_S)

    def worker(self, *arguments: str) -> Child:
        """A worker that has taken its shards over but need not have folded anything yet."""
        child = self.start("worker", "process", "--json", *arguments)
        self.until("the worker to take over", lambda: b"shards taken over" in child.log.read_bytes(), 120.0)
        return child

    def fill(self) -> int:
        """Tell the whole span; returns the events told, ticks not counted."""
        self.start("clock", "clock", "--speed", "max")
        child = self.start("sources", "produce", "--json")
        self.until("the sources to end", lambda: child.process.poll() is not None)
        self.children.check()
        return told(child)

    def close(self) -> None:
        """End the children."""
        self._consumer.close()
        self.children.stop()


def told(sources: Child) -> int:
    """Events that a process of sources says it told. Raises BenchError if it did not close its span."""
    for line in reversed(sources.log.read_text().splitlines()):
        if line.startswith("{"):
            summary = json.loads(line)
            if summary["closed"]:
                return sum(summary["events"].values())
    raise BenchError(f"the sources did not tell the whole span: {sources.last_words()}")


def status(worker: Child) -> dict[str, Any]:
    """The last status line of a worker; empty before the first."""
    for line in reversed(worker.log.read_text(errors="replace").splitlines()):
        if line.startswith('{"shards"') and line.endswith("}"):
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


@contextlib.contextmanager
def bed(span: Span, record: Path | None = None) -> Iterator[Bed]:
    """A bed with topics and an open run; everything on it is ended and removed behind the entry.

    record: where the broker's JVM shall write an archive of what it has loaded and compiled, as it ends.
    """
    with tempfile.TemporaryDirectory(prefix="jinliu-bench-") as scratch:
        data = Path(scratch)
        broker = EmbeddedBroker(data, heap=HEAP)
        made: Bed | None = None
        try:
            broker.start(None if record is None else [f"-XX:AOTCacheOutput={record}"])
            settings = Settings(
                topology=span.topology, seed=SEED, from_=_moment(span.start_ms), to=_moment(span.end_ms), data=data,
                broker=broker.address, prefix="",
            )  # fmt: skip
            topics.create(broker.address, "", settings.world)
            open_run(settings.source_options(broker.address))
            made = Bed(settings, broker, span)
            yield made
        finally:
            if made is not None:
                made.close()
            broker.stop(RECORD_LIMIT_S if record else STOP_LIMIT_S)


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
