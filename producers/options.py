"""What a source or the clock is told to do."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producers.errors import ProducerError

if TYPE_CHECKING:
    from topologies import Topology

COMPRESSIONS = ("lz4", "none")
RUNS, POLICIES = "runs", "policies"


def run_id(topology: "Topology", seed: int, start_ms: int, end_ms: int) -> str:
    """First 16 hex digits of SHA-256 over seed, topology digest and span: the same run has the same id anywhere."""
    return hashlib.sha256(f"{seed}|{topology.digest}|{start_ms}|{end_ms}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Options:
    """Where to tell a run, and which.

    `broker` is a bootstrap list ("host:port,..."), `prefix` goes before every topic name literally, `topology` is the
    loaded model, the span [start_ms, end_ms) is simulated UTC milliseconds in whole ticks, `sources` are those this
    process tells (none: all of the topology), `registry` the URL of a schema registry or None for the ids the
    repository fixes.
    """

    broker: str
    prefix: str
    topology: "Topology"
    seed: int
    start_ms: int
    end_ms: int
    sources: tuple[str, ...] = ()
    registry: str | None = None
    compression: str = "lz4"

    def __post_init__(self) -> None:
        tick_ms = self.topology.scale.tick_ms
        if self.end_ms <= self.start_ms:
            raise ProducerError(f"the span is empty: it ends at {self.end_ms} and starts at {self.start_ms} (UTC ms)")
        if (self.end_ms - self.start_ms) % tick_ms:
            raise ProducerError(
                f"the span of {self.end_ms - self.start_ms} ms is no whole number of ticks of {tick_ms} ms"
            )
        if self.compression not in COMPRESSIONS:
            raise ProducerError(f"compression {self.compression!r} is none of {', '.join(COMPRESSIONS)}")
        known = tuple(source.name for source in self.topology.sources)
        for source in self.sources:
            if source not in known:
                raise ProducerError(f"no source {source!r} in topology {self.topology.name}; it has {', '.join(known)}")
        # In the topology's order and once each, whatever the caller wrote.
        wanted = tuple(name for name in known if name in self.sources) if self.sources else known
        object.__setattr__(self, "sources", wanted)

    @property
    def run_id(self) -> str:
        """The run's, by `run_id`."""
        return run_id(self.topology, self.seed, self.start_ms, self.end_ms)

    @property
    def ticks(self) -> int:
        """Ticks in the span."""
        return (self.end_ms - self.start_ms) // self.topology.scale.tick_ms

    def topic(self, name: str) -> str:
        return self.prefix + name

    def group(self, source: str) -> str:
        """Consumer group whose one member may tell the source."""
        return f"{self.prefix}source.{source}"

    def roster(self) -> dict[str, tuple[str, ...]]:
        """Event topic to the sources that tell it, in order."""
        return {topic: tuple(self.topology.roster(topic)) for topic in sorted(self.topology.event_topics)}
