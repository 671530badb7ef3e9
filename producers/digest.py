"""SHA-256 of each (source, topic, shard) sequence, without Kafka.

Hashed are bare key and datum of OPEN, events, ticks and CLOSE, by `seq`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from producers.block import TICK_KIND, Block
from producers.economy import Economy
from producers.generator import Generator
from producers.options import run_id
from schemas.encode import Encoder
from schemas.eventtopics import EVENT_TOPICS

if TYPE_CHECKING:
    from topologies import Topology


def digest(
    topology: Topology,
    seed: int,
    start_ms: int,
    end_ms: int,
    sources: Sequence[str] | None = None,
    policies: Iterable[Any] = (),
    block_ticks: int | None = None,
) -> dict[str, str]:
    """`{"<source>/<topic>/<shard>": sha256 hex}` of what the sources tell in [start_ms, end_ms).

    The same for any `block_ticks`.
    """
    economy = Economy(topology, seed, policies)
    found: dict[str, str] = {}
    for source in sources if sources is not None else [s.name for s in topology.sources]:
        generator = Generator(topology, seed, source, start_ms, end_ms, economy)
        run = run_id(topology, seed, start_ms, end_ms)
        for topic in generator.topics:
            for shard in range(topology.scale.shards):
                hashed = hashlib.sha256()
                for piece in sequence(generator, topic, shard, run, block_ticks):
                    hashed.update(piece)
                found[f"{source}/{topic}/{shard}"] = hashed.hexdigest()
    return found


def sequence(generator: Generator, topic: str, shard: int, run: str, block_ticks: int | None) -> Iterator[bytes]:
    """The bare bytes of one sequence in pieces, in `seq` order."""
    spec = EVENT_TOPICS[topic]
    vocabularies = generator.vocabularies(topic)
    events = Encoder(spec.record, 0, vocabularies, spec.key)
    ticks = Encoder("tick", 0, {**vocabularies, "run": (run,)}, "source")
    step = block_ticks or max(1, min(366, generator.ticks))
    yield ticks.bare(boundary(generator, topic, shard, "OPEN", 0), 0, 1)
    seq = 1
    for first in range(0, generator.ticks, step):
        block = generator.block(topic, shard, first, min(first + step, generator.ticks), seq)
        yield from _interleaved(block, events, ticks)
        seq = int(block.ticks["seq"][-1]) + 1
    yield ticks.bare(boundary(generator, topic, shard, "CLOSE", seq), 0, 1)


def _interleaved(block: Block, events: Encoder, ticks: Encoder) -> Iterator[bytes]:
    """Each tick's events, then the tick."""
    at = 0
    for i, n in enumerate(block.counts.tolist()):
        yield events.bare(block.events, at, at + n)
        yield ticks.bare({**block.ticks, **_no_run(len(block.counts))}, i, i + 1)
        at += n


def _no_run(n: int) -> dict[str, Any]:
    """The run column of ticks that carry none."""
    return {"run": np.zeros(n, np.int16), "run?": np.zeros(n, np.bool_)}


def boundary(generator: Generator, topic: str, shard: int, kind: str, seq: int) -> dict[str, Any]:
    """Columns of the one OPEN or CLOSE tick; its run is code 0 of the vocabulary `run`."""
    at = generator.start_ms if kind == "OPEN" else generator.end_ms
    roster = generator.topology.roster(topic)
    return {
        "source": np.array([list(roster).index(generator.source)], np.int16),
        "seq": np.array([seq], np.int64),
        "kind": np.array([TICK_KIND[kind]], np.int8),
        "shard": np.array([shard], np.int32),
        "tick_start": np.array([at], np.int64),
        "tick_end": np.array([at], np.int64),
        "events": np.zeros(1, np.int64),
        "amount_fen": np.zeros(1, np.int64),
        "run": np.zeros(1, np.int16),
        "run?": np.ones(1, np.bool_),
    }
