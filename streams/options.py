"""What a worker is told: where the broker is, which run it folds and how often it commits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topologies import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one worker process.

    Attributes:
        broker: bootstrap servers, "host:port[,host:port]".
        prefix: literal in front of every topic name, of the consumer group and of the transactional ids.
        topology: the validated world; its digest must be the run record's.
        registry: URL of a Confluent-compatible schema registry, or None for the fixed ids of the repository.
        commit_ms: interval between the transactions of a shard, milliseconds.
        provisional_ms: interval between provisional metric rows, milliseconds; closed rows are written at once.
        web_port: port of the Prometheus endpoint, or None for no endpoint.
        web_host: address that endpoint listens on.
        datadir: directory for Faust's own files (nothing of value is kept there).
        fetch_bytes: most bytes one fetch brings from one partition; the broker sends one batch at least.
        uncommitted_bytes: fetched bytes a shard may fold ahead of its last transaction before its topic's agent waits.
        session_timeout_s: silence after which the group takes a worker's shards away, seconds.
    """

    broker: str
    topology: Topology
    prefix: str = ""
    registry: str | None = None
    commit_ms: int = 500
    provisional_ms: int = 1000
    web_port: int | None = None
    web_host: str = "127.0.0.1"
    datadir: Path = field(default_factory=lambda: Path(".jinliu"))
    fetch_bytes: int = 1 << 20
    uncommitted_bytes: int = 64 << 20
    session_timeout_s: float = 6.0

    @property
    def group(self) -> str:
        """Consumer group, and Faust's app id."""
        return f"{self.prefix}jinliu"

    def topic(self, name: str) -> str:
        """Full name of a topic of this run."""
        return f"{self.prefix}{name}"
