"""Set-up: what is fetched or compiled once, so that the second start is quick."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

import topologies
from jinliu import archive, jars
from jinliu.bed import BedError
from jinliu.children import ChildDied
from jinliu.jvm import BrokerError
from producers.digest import boundary, digest
from producers.economy import Economy
from producers.generator import Generator
from producers.resume import position_decoder
from schemas import catalog
from schemas.encode import Encoder
from schemas.eventtopics import EVENT_TOPICS
from schemas.recordbatch import frame, split
from streams import metrics
from streams.folding import decoder_of
from streams.merge import MergeState
from streams.partials import Partial
from streams.plan import plans
from streams.shard import ShardState

DAY_MS = 86_400_000
SEED = 1
OTHER_WORLDS = ("small", "one-to-one")


def warm(kernels: bool, kafka: bool, say: Callable[[str], None]) -> None:
    """Compile every kernel of the packaged worlds; fetch the embedded Kafka and record its archive.

    Raises JarsMissing when the jars cannot be had. Without the archive Kafka only starts and runs slower: that is said.
    """
    steps: list[tuple[str, bool, Callable[[], object]]] = [
        ("Kafka fetched", kafka, jars.ensure),
        ("kernels compiled", kernels, _kernels),
        ("Kafka's archive recorded", kafka, archive.prepare),
    ]
    for done, wanted, step in steps:
        if wanted:
            began = time.monotonic()
            try:
                step()
            except (BedError, BrokerError, ChildDied) as error:
                done = f"Kafka will be slower than it could be, its archive was not recorded: {error}"
            say(f"{done} ({time.monotonic() - began:.1f} s)")


def _kernels() -> None:
    """Tell, fold and merge a day of one shard, without Kafka: what a stack runs is compiled on the way."""
    world = topologies.load("china")
    start = world.span.start_ms
    end = start + DAY_MS
    names = tuple(source.name for source in world.sources)
    digest(world, SEED, start, end, names)
    ids, economy = catalog.ids(None), Economy(world, SEED, ())
    generators = [Generator(world, SEED, name, start, end, economy) for name in names]
    roster = {topic: list(world.roster(topic)) for topic in EVENT_TOPICS}
    found = plans(world, {"roster": roster, "start": start, "end": end})
    partials: list[Partial] = []
    for topic, plan in found.items():
        position_decoder(EVENT_TOPICS[topic].record, ids, roster[topic])
        state = ShardState(plan, 0)
        rows = decoder_of(plan, ids).decode(split(_shard(topic, generators, ids)), 0)
        state.fold(rows, 0, rows.n - 1)
        partials += state.take().partials
    for metric in metrics.load().values():
        if metric.rollups:
            merge = MergeState(metric, found)
            for partial in partials:
                if partial.metric == metric.name:
                    merge.put(partial)
            merge.take()
    for name in OTHER_WORLDS:  # their folds are of another size
        world = topologies.load(name)
        plans(world, {"roster": roster, "start": world.span.start_ms, "end": world.span.start_ms + DAY_MS})


def _shard(topic: str, generators: Sequence[Generator], ids: Mapping[str, int]) -> bytearray:
    """Shard 0 of an event topic as all sources tell it, one record batch."""
    record, key = EVENT_TOPICS[topic].record, EVENT_TOPICS[topic].key
    written, count = [], 0
    for generator in generators:
        if topic not in generator.topics:
            continue
        vocabularies = generator.vocabularies(topic)
        block = generator.block(topic, 0, 0, generator.ticks, 1)
        events = Encoder(record, ids[record], vocabularies, key)
        ticks = Encoder("tick", ids["tick"], {**vocabularies, "run": ("warm",)}, "source")
        last = int(block.ticks["seq"][-1]) + 1
        none = {"run": np.zeros(generator.ticks, np.int16), "run?": np.zeros(generator.ticks, np.bool_)}
        for encoder, columns in (
            (ticks, boundary(generator, topic, 0, "OPEN", 0)),
            (events, block.events),
            (ticks, {**block.ticks, **none}),
            (ticks, boundary(generator, topic, 0, "CLOSE", last)),
        ):
            rows = len(columns["seq"])
            buffer = np.empty(encoder.size_bound(rows), np.uint8)
            written.append(buffer[: encoder.into(buffer, 0, columns, 0, rows, count)].tobytes())
            count += rows
    return frame(b"".join(written), count, 0)
