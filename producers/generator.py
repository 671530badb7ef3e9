"""What one source tells, topic by topic, in ticks counted from the span's start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from producers.block import Block, Emitter
from producers.economy import DAY_MS, Economy
from producers.errors import GeneratorError
from producers.lending.emitter import LoanEmitter
from producers.operations import OperationEmitter
from producers.paying import PaymentEmitter

if TYPE_CHECKING:
    from topologies import Topology

EMITTERS: Mapping[str, Callable[[Economy, str, int], Emitter]] = {
    "payments": lambda economy, source, _: PaymentEmitter(economy, source),
    "operations": lambda economy, source, _: OperationEmitter(economy, source),
    "loans": LoanEmitter,
}
"""Event topic to what makes a source's emitter of it, of economy, source and the span's start in ms."""


class Generator:
    """Tells what one source tells.

    A pure function of (topology, seed, source, policy log): `block` gives the same rows for the same ticks whatever
    was asked before and however the span is cut; only `seq` and `payment_id` count from the span's start, and loans
    that stand open there are brought forward. Ticks are numbered from the span's start. Raises GeneratorError for a
    source that is not on the roster or a span off the ticks.
    """

    def __init__(
        self, topology: Topology, seed: int, source: str, start_ms: int, end_ms: int, economy: Economy | None = None
    ) -> None:
        topics = next((s.topics for s in topology.sources if s.name == source), None)
        if topics is None:
            raise GeneratorError(f"source {source!r} is not one of {', '.join(s.name for s in topology.sources)}")
        tick_ms = topology.scale.tick_ms
        if DAY_MS % tick_ms:
            raise GeneratorError(f"a tick of {tick_ms} ms does not divide a day")
        if start_ms % tick_ms or end_ms % tick_ms or start_ms >= end_ms:
            raise GeneratorError(f"span [{start_ms}, {end_ms}) is not made of ticks of {tick_ms} ms")
        self.topology, self.seed, self.source = topology, seed, source
        self.start_ms, self.end_ms, self.tick_ms = start_ms, end_ms, tick_ms
        self.economy = economy or Economy(topology, seed)
        if start_ms < self.economy.start_ms:
            raise GeneratorError(f"the span starts before this world does, {self.economy.first}")
        self.topics: tuple[str, ...] = topics
        self.ticks = (end_ms - start_ms) // tick_ms
        self._first = start_ms // tick_ms  # absolute number of the span's first tick
        self._emitters = {topic: EMITTERS[topic](self.economy, source, start_ms) for topic in topics}

    def vocabularies(self, topic: str) -> Mapping[str, tuple[str, ...]]:
        """Known values of the string fields of a topic's events and ticks, in code order."""
        return {"source": tuple(self.topology.roster(topic)), **self._emitter(topic).vocabularies()}

    def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Block:
        """Ticks [first_tick, stop_tick) of the span; `seq` is the next one of (source, topic, shard)."""
        if not 0 <= first_tick <= stop_tick <= self.ticks:
            raise GeneratorError(f"ticks [{first_tick}, {stop_tick}) lie outside the span's {self.ticks}")
        return self._emitter(topic).block(shard, self._first + first_tick, stop_tick - first_tick, seq)

    def _emitter(self, topic: str) -> Emitter:
        if topic not in self._emitters:
            raise GeneratorError(f"source {self.source} tells nothing on {topic!r}")
        return self._emitters[topic]
