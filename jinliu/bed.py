"""A bed to measure or rehearse a run on: a broker with 1 GB on a directory of its own, a run's topics, children."""

from __future__ import annotations

import contextlib
import json
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
from jinliu.broker import STOP_LIMIT_S, EmbeddedBroker
from jinliu.children import Child, Children
from jinliu.settings import Settings
from producers.runrecord import open_run
from schemas.errors import JinliuError

HEAP = "1g"
SEED = 7
LIMIT_S = 600.0
SAMPLE_S = 0.05
RECORD_LIMIT_S = 180.0
"""A JVM that ends needs so long, at most, to write its archive."""
PEAK_EVENTS_S = 145_000
"""The national peak, which the world `one-to-one` tells."""


class BedError(JinliuError):
    """What was waited for on a bed did not come in time."""


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


class Bed:
    """A run and who works on it. settings: of the run; broker_pid: process id of the broker."""

    def __init__(self, settings: Settings, broker: EmbeddedBroker, span: Span) -> None:
        assert broker.process is not None
        self.settings, self.span, self.address = settings, span, broker.address
        self.broker_pid = broker.process.pid
        self.children = Children(settings.data / "logs")
        self._consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id=None, client_id="jinliu-bed")
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
        """Ask `done` every 50 ms. Raises BedError after `limit_s`, ChildDied if a child fails meanwhile."""
        end = time.monotonic() + limit_s
        while not done():
            self.children.check()
            if time.monotonic() > end:
                raise BedError(f"waited {limit_s:g} s in vain for {what} (logs: {self.settings.data / 'logs'})")
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
    """Events that a process of sources says it told. Raises BedError if it did not close its span."""
    for line in reversed(sources.log.read_text().splitlines()):
        if line.startswith("{"):
            summary = json.loads(line)
            if summary["closed"]:
                return sum(summary["events"].values())
    raise BedError(f"the sources did not tell the whole span: {sources.last_words()}")


def status(worker: Child) -> dict[str, Any]:
    """The last status line of a worker; empty before the first."""
    for line in reversed(worker.log.read_text(errors="replace").splitlines()):
        if line.startswith('{"shards"') and line.endswith("}"):
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


@contextlib.contextmanager
def bed(span: Span, record: Path | None = None) -> Iterator[Bed]:
    """A bed with topics and an open run; everything on it is ended and removed behind the block.

    record: where the broker's JVM shall write an archive of what it has loaded and compiled, as it ends.
    """
    with tempfile.TemporaryDirectory(prefix="jinliu-bed-") as scratch:
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
