"""A stack that goes on while it is looked at: the engine's own tasks over a log whose transactions end bit by bit.

A transaction writes its records one by one, between those of others; when all are written it is decided, and its
markers reach one partition after another. A reader of committed records sees a partition up to the first record of a
transaction that has no marker there, as Kafka's last stable offset has it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinliu.oracle.log import Chunk as Read
from schemas import catalog
from streams.fetch import Chunk
from streams.folding import FoldTask, decoder_of
from streams.merging import MergeTask
from streams.metrics import load
from streams.options import Options
from streams.plan import plans, told
from streams.transaction import Record
from tests.unit.jinliu.engine_run import _batch, run_of, topology
from tests.unit.jinliu.oracle_world import wire

Place = tuple[str, int]
PARTITIONS = 2
SLOW = 0.7
"""How often a marker is not on its way yet: a model in which transactions end at once would prove little."""


@dataclass(eq=False)
class Transaction:
    """Records to write, places written, places that have the marker."""

    records: list[Record]
    written: set[Place] = field(default_factory=set)
    marked: set[Place] = field(default_factory=set)


@dataclass(eq=False)
class Owner:
    """A shard or a partition of partials, its task, and its transaction under way."""

    topic: str
    number: int
    task: Any
    transaction: Transaction | None = None


class MovingStack:
    """All workers of a run (a `jinliu.oracle.log.Log`): each look at it lets it go on by up to `pace` steps."""

    def __init__(self, raw: dict[str, list[list[bytes | None]]], seed: int, pace: int = 0) -> None:
        self.draw, self.pace = random.Random(seed), pace
        run = run_of(raw)
        world, self.ids, metrics = topology(), catalog.ids(None), told(load(), run["roster"])
        self.plans = plans(world, run)
        options = Options(broker="nowhere", topology=world, provisional_ms=30)
        self.decoders = {name: decoder_of(plan, self.ids) for name, plan in self.plans.items()}
        self.log: dict[Place, list[tuple[bytes | None, bytes | None, Transaction | None]]] = {}
        self.log["runs", 0] = [(b"run", wire("run", run), None)]
        self.log["alerts", 0] = []
        self.owners: list[Owner] = []
        self.now_ms = 0
        for name, plan in self.plans.items():
            for shard, values in enumerate(raw[name]):
                self.log[name, shard] = [(None, value, None) for value in values]
                self.owners.append(Owner(name, shard, FoldTask(options, plan, self.ids, shard)))
        for name, metric in metrics.items():
            self.log[f"metrics.{name}", 0] = []
            for partition in range(PARTITIONS if metric.rollups else 0):
                self.log[f"partials.{name}", partition] = []
                self.log[f"state.partials.{name}", partition] = []
                task = MergeTask(options, metric, self.plans, self.ids, partition)
                self.owners.append(Owner(f"partials.{name}", partition, task))

    # -- the workers -----------------------------------------------------------------------------------------------
    def step(self, who: Owner | None = None) -> None:
        """One worker does one thing."""
        owner = who or self.draw.choice(self.owners)
        self.now_ms += 10
        if owner.transaction is None:
            self._fold(owner)
        else:
            self._advance(owner, owner.transaction)

    def _fold(self, owner: Owner) -> None:
        task = owner.task
        first, end = task.next_offset, self._stable((owner.topic, owner.number))
        last = min(end, first + self.draw.randrange(1, 16)) - 1
        if last >= first:
            records = [(n, *self.log[owner.topic, owner.number][n][:2]) for n in range(first, last + 1)]
            chunk = Chunk(owner.topic, owner.number, first, last, 1, records=records)
            if owner.topic in self.plans:
                batch = _batch([value for _, _, value in records])
                batch.base_offset, batch.last_offset = first, last
                chunk.rows = self.decoders[owner.topic].decode([batch], first)
            task.fold(chunk)
        batch = task.take(self.now_ms, final=False)
        if batch is not None:
            owner.transaction = Transaction([record for record in batch.records() if self._kept(record)])

    def _kept(self, record: Record) -> bool:
        return (record.topic, max(record.partition, 0)) in self.log

    def _advance(self, owner: Owner, transaction: Transaction) -> None:
        for _ in range(self.draw.randrange(1, 5)):
            if transaction.records:
                record = transaction.records.pop(0)
                place = (record.topic, max(record.partition, 0))
                transaction.written.add(place)
                self.log[place].append((record.key, record.value, transaction))
        if not transaction.records and transaction.marked < transaction.written:
            if self.draw.random() < SLOW:
                return
            transaction.marked.add(self.draw.choice(sorted(transaction.written - transaction.marked)))
        elif transaction.marked == transaction.written and not transaction.records:
            owner.transaction = None

    def settle(self) -> None:
        """Every transaction under way comes to its end: the workers were stopped."""
        for owner in self.owners:
            while owner.transaction is not None:
                self.step(owner)

    def finish(self) -> None:
        """Everything is folded and merged."""
        for _ in range(30):
            for owner in self.owners:
                for _ in range(30):
                    self.step(owner)
        self.settle()

    # -- the log ---------------------------------------------------------------------------------------------------
    def _stable(self, place: Place) -> int:
        for offset, (_, _, transaction) in enumerate(self.log[place]):
            if transaction is not None and place not in transaction.marked:
                return offset
        return len(self.log[place])

    def _go_on(self) -> None:
        for _ in range(self.draw.randrange(self.pace + 1)):
            self.step()

    def extents(self, topic: str) -> dict[int, tuple[int, int]]:
        self._go_on()
        return {number: (0, self._stable((name, number))) for name, number in self.log if name == topic}

    def settled(self, topics: Sequence[str]) -> dict[str, dict[int, int]]:
        self._go_on()
        places = [place for place in self.log if place[0] in topics]
        ends = {place: len(self.log[place]) for place in places}
        while any(self._stable(place) < end for place, end in ends.items()):
            self.step()
        return {topic: {n: end for (name, n), end in ends.items() if name == topic} for topic in topics}

    def read(self, topic: str, partition: int, end: int, keys: bool = False, first: int = 0) -> Iterator[Read]:
        self._go_on()
        assert end <= self._stable((topic, partition))
        part = self.log[topic, partition][first:end]
        offsets = list(range(first, first + len(part)))
        yield Read([value for _, value, _ in part], [key for key, _, _ in part] if keys else [], offsets)

    def close(self) -> None:
        """Nothing is held."""
