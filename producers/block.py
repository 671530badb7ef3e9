"""A block: what one source tells of one topic in one shard over some ticks, in log order, ready to be encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from topologies import Topology

TICK_KIND = {"OPEN": 0, "TICK": 1, "CLOSE": 2}


@dataclass(frozen=True, slots=True)
class Block:
    """Events and ticks of consecutive ticks of one (source, topic, shard).

    events : columns for the Encoder of the topic's record, all ticks concatenated in log order. ticks : columns for
    `tick.avsc` (kind TICK), one row a tick. counts : int64[ticks], events of each tick.
    """

    events: dict[str, NDArray[Any]]
    ticks: dict[str, NDArray[Any]]
    counts: NDArray[np.int64]


class Emitter(Protocol):
    """What one source tells of one topic: a pure function of the economy it was made of."""

    def vocabularies(self) -> Mapping[str, tuple[str, ...]]:
        """Known values of the string fields of the topic's events but for `source`, in code order."""
        ...

    def block(self, shard: int, first: int, ticks: int, seq: int) -> Block:
        """The ticks first..first + ticks - 1, counted from the epoch; `seq` is the next one of the sequence."""
        ...


@dataclass(frozen=True, slots=True)
class Numbering:
    """Who tells what: gives events and ticks their numbers. code: the source's place in the topic's roster."""

    topology: Topology
    topic: str
    source: str

    @property
    def code(self) -> int:
        return self.topology.roster(self.topic).index(self.source)

    def ticks(
        self, shard: int, first: int, counts: NDArray[np.int64], seqs: NDArray[np.int64], amounts: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Columns of the ticks; int64[ticks] each: events counted, own seq, amount total."""
        n, tick_ms = len(counts), self.topology.scale.tick_ms
        start = (first + np.arange(n, dtype=np.int64)) * tick_ms
        return {
            "source": np.full(n, self.code, np.int16),
            "seq": seqs.astype(np.int64),
            "kind": np.full(n, TICK_KIND["TICK"], np.int8),
            "shard": np.full(n, shard, np.int32),
            "tick_start": start,
            "tick_end": start + tick_ms,
            "events": counts,
            "amount_fen": amounts,
        }

    def block(
        self, shard: int, first: int, ticks: int, seq: int, rows: Mapping[str, NDArray[Any]], amount: str
    ) -> Block:
        """A block of rows that are in time order, numbered and cut into ticks. amount: the column the ticks add up."""
        n = len(rows["event_time"])
        tick_of = rows["event_time"] // self.topology.scale.tick_ms - first
        counts = np.bincount(tick_of, minlength=ticks).astype(np.int64)
        events = dict(rows)
        events["seq"] = seq + np.arange(n) + tick_of
        events["source"] = np.full(n, self.code, np.int16)
        amounts = np.zeros(ticks, np.int64)
        np.add.at(amounts, tick_of, rows[amount])
        seqs = seq + np.cumsum(counts) + np.arange(ticks)
        return Block(events, self.ticks(shard, first, counts, seqs, amounts), counts)
