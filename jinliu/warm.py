"""Set-up: what is fetched or compiled once, so that the second start is quick."""

from __future__ import annotations

import time
from collections.abc import Callable

import topologies
from jinliu import broker
from producers.digest import digest
from schemas import catalog
from streams import metrics
from streams.folding import decoder_of
from streams.plan import plans
from streams.shard import ShardState

DAY_MS = 86_400_000


def warm(kernels: bool, kafka: bool, say: Callable[[str], None]) -> None:
    """Compile every kernel for the packaged baseline; fetch the embedded Kafka and record its class archive.

    Raises JarsMissing when the jars cannot be had.
    """
    if kafka:
        began = time.monotonic()
        broker.prepare()
        say(f"embedded Kafka ready ({time.monotonic() - began:.1f} s)")
    if kernels:
        began = time.monotonic()
        _kernels()
        say(f"kernels ready ({time.monotonic() - began:.1f} s)")


def _kernels() -> None:
    world = topologies.load("china")
    start = world.span.start_ms
    digest(world, 1, start, start + DAY_MS, tuple(source.name for source in world.sources))
    metrics.load()
    roster = {topic: list(world.roster(topic)) for topic in ("payments", "operations")}
    for plan in plans(world, {"roster": roster, "start": start, "end": start + DAY_MS}).values():
        decoder_of(plan, catalog.ids(None))
        ShardState(plan, 0)
