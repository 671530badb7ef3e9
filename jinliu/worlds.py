"""A run's world again, with one lever moved, in memory: for claims about a difference between two runs with one seed.

The sources' loans, over one span, are folded by `streams.shard` and merged by `streams.merge`, so that the same code
makes the rows as in a run; nothing is written or read between. A lever that is moved holds its value from the world's
first day: the two worlds differ in it all the time, and people, draws and everything else are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jinliu.report.beside import Told
from jinliu.report.facts import Period, UncoveredError, day_of, ms, year
from producers.block import TICK_KIND, Block
from producers.economy import Economy
from producers.lending.emitter import LoanEmitter
from schemas.decode import Rows
from streams import metrics as bundled
from streams.merge import MergeState
from streams.partials import FINAL, Partial
from streams.plan import TICK, TopicPlan, plan_topic, world_of
from streams.rows import as_dict
from streams.shard import ShardState
from topologies.model import Span

if TYPE_CHECKING:
    from topologies import Topology

Moved = tuple[str, Any] | None
"""A lever and the value that it is moved to; None for the run's own world."""
LOANS = "loans"
MONTHLY = ("month",)
YEAR = year(2022)
OnShard = Callable[[int, int], None]
"""Told how many shards are simulated and how many there are in all."""


class Simulated:
    """The worlds of a topology and seed (`jinliu.report.beside.Worlds`); each is simulated once. on_shard: told of
    progress, in shards of all worlds asked for so far. span: what is told, by default the year of which most of the
    paper's undated figures are; it lies inside the era of every packaged world, whatever span a run tells.
    """

    def __init__(self, topology: Topology, seed: int, on_shard: OnShard | None = None, span: Period = YEAR) -> None:
        self.span, self._topology, self._seed = span, topology, seed
        self._start_ms, self._end_ms = ms(span.first), ms(span.after)
        self._economies: dict[Moved, Economy] = {}
        self._emitters: dict[tuple[Moved, str, frozenset[str]], LoanEmitter] = {}
        self._told: dict[tuple[Moved, str, frozenset[str], frozenset[str]], Told] = {}
        self._on_shard = on_shard or (lambda done, of: None)
        self._done = self._of = 0

    def told(self, lever: str, value: Any, metric: str, pools: Collection[str], products: Collection[str]) -> Told:
        """Rows of a metric, by month, where the lever holds the value, of the loans of those sources that lend some of
        the products to some of the pools of borrowers.

        Raises UncoveredError where the world tells no loans, has no such lever, or its era does not hold the span.
        """
        self._covered()
        if lever not in self._topology.levers:
            raise UncoveredError(f"topology {self._topology.name} has no lever {lever}")
        return self._rows(None if self._holds(lever, value) else (lever, value), metric, pools, products)

    def baseline(self, metric: str, pools: Collection[str], products: Collection[str]) -> Told:
        """The same of the run's own world."""
        self._covered()
        return self._rows(None, metric, pools, products)

    def _rows(self, moved: Moved, metric: str, pools: Collection[str], products: Collection[str]) -> Told:
        asked = (moved, metric, frozenset(pools), frozenset(products))
        if asked not in self._told:
            self._told[asked] = self._simulated(*asked)
        return self._told[asked]

    def _covered(self) -> None:
        """Raises UncoveredError where the world tells no loans or its era does not hold the span."""
        topology = self._topology
        if not topology.roster(LOANS):
            raise UncoveredError(f"topology {topology.name} has no source that tells {LOANS}")
        if not topology.era.start_ms <= self._start_ms < self._end_ms <= topology.era.end_ms:
            raise UncoveredError(f"needs a world whose era holds {self.span}, which {topology.name}'s does not")

    def _holds(self, lever: str, value: Any) -> bool:
        """Whether the lever has the value all through the span anyway."""
        told = [policy for policy in self._topology.policies if policy.lever == lever]
        inside = [policy.value for policy in told if self._start_ms < policy.effective_ms < self._end_ms]
        return all(held == value for held in (self._topology.levers_at(self._start_ms)[lever], *inside))

    def economy(self, moved: Moved) -> Economy:
        """The economy up to the span's end, with a lever at a value from the first day on, whatever is decided later.

        Each day depends on earlier ones only: the era that is left out changes nothing before it.
        """
        if moved not in self._economies:
            era = Span.model_validate({"from": self._topology.era.first, "to": day_of(self._end_ms - 1)})
            world = self._topology.model_copy(update={"era": era})
            told = world.policies if moved is not None else ()
            live = [(*moved, each.effective_ms) for each in told if moved is not None and each.lever == moved[0]]
            self._economies[moved] = Economy(world, self._seed, live)
        return self._economies[moved]

    def _emitter(self, moved: Moved, source: str, pools: frozenset[str], products: frozenset[str]) -> LoanEmitter:
        """What a source tells, kept: its loans are simulated once, whatever metric they are folded for."""
        table = self.economy(moved).offers
        lenders = next(each.institutions for each in self._topology.sources if each.name == source)
        lent = {
            table.pools[offer.pool].name
            for offer in table.offers
            if offer.lender in lenders and offer.terms.product in products
        }
        key = (moved, source, pools & lent)
        if key not in self._emitters:
            self._emitters[key] = LoanEmitter(self.economy(moved), source, self._start_ms, pools & lent)
        return self._emitters[key]

    def _simulated(self, moved: Moved, metric: str, pools: frozenset[str], products: frozenset[str]) -> Told:
        plan = self._plan(metric)
        emitters = [self._emitter(moved, source, pools, products) for source in plan.roster]
        first, ticks = self._start_ms // plan.tick_ms, (self._end_ms - self._start_ms) // plan.tick_ms
        self._of += plan.shards
        known = bundled.load()[metric]
        whole, shards = MergeState(known, {LOANS: plan}), []
        for shard in range(plan.shards):
            blocks = [emitter.block(shard, first, ticks, 1) for emitter in emitters]
            own = MergeState(known, {LOANS: plan})
            for partial in folded(plan, shard, log_of(plan, blocks, shard)):
                whole.put(partial)
                own.put(partial)
            shards.append([as_dict(row) for row in own.take()])
            self._done += 1
            self._on_shard(self._done, self._of)
        rows = whole.take()
        unclosed = sum(row.status != FINAL for row in rows)
        assert not unclosed, f"{unclosed} rows of metrics.{metric} are not {FINAL} in a world without gaps"
        return Told([as_dict(row) for row in rows], shards)

    def _plan(self, metric: str) -> TopicPlan:
        topology, scale = self._topology, self._topology.scale
        span = (self._start_ms, self._end_ms, scale.tick_ms)
        waiting = (scale.lateness_ticks, scale.patience_ticks)
        chosen = (bundled.load()[metric],)
        return plan_topic(LOANS, world_of(topology), topology.roster(LOANS), span, waiting, chosen, {metric: MONTHLY})


def folded(plan: TopicPlan, shard: int, rows: Rows) -> list[Partial]:
    """The partials of one partition, whole. Raises AssertionError where the engine refuses what the sources told."""
    state = ShardState(plan, shard)
    state.fold(rows, 0, rows.n - 1)
    account = state.accounts()
    refused = sum(each.dead + each.late + each.duplicate for each in account)
    assert not refused, f"shard {shard}: {refused} of the loans' steps were not folded: {account}"
    return state.take().partials


def log_of(plan: TopicPlan, blocks: Sequence[Block], shard: int) -> Rows:
    """What a worker would decode of a partition: tick by tick and source by source the events and then the tick, OPEN
    before all and CLOSE behind.

    blocks: of each source of the roster, from its second seq on (OPEN has the first).
    """
    sources, ticks = len(blocks), len(blocks[0].counts)
    opened, closed = -2 * sources, 2 * sources * ticks
    places = [2 * sources * np.repeat(np.arange(ticks), block.counts) + 2 * s for s, block in enumerate(blocks)]
    marks = [np.concatenate(([opened], 2 * sources * np.arange(ticks), [closed])) + 2 * s + 1 for s in range(sources)]
    event_place, tick_place = np.concatenate(places), np.concatenate(marks)
    events, told = np.argsort(event_place, kind="stable"), np.argsort(tick_place, kind="stable")
    order = np.argsort(np.concatenate((event_place[events], tick_place[told])), kind="stable")
    n = len(order)
    row = np.empty(n, np.int64)
    row[order] = np.arange(n)
    controls = [_with_controls(block, plan, shard) for block in blocks]
    return Rows(
        n=n,
        kind=(order >= len(events)).astype(np.int8),
        offset=np.arange(n, dtype=np.int64),
        timestamp=np.zeros(n, np.int64),
        columns={
            plan.record: {
                name: np.concatenate([block.events[name] for block in blocks])[events]
                for name in plan.decoder.columns[plan.record]
            },
            TICK: {name: np.concatenate([each[name] for each in controls])[told] for name in controls[0]},
        },
        index={plan.record: row[: len(events)], TICK: row[len(events) :]},
        _buffer=np.empty(0, np.uint8),
        _place=np.full(n, -1, np.int64),
        _batches=np.empty((0, 5), np.int64),
    )


def _with_controls(block: Block, plan: TopicPlan, shard: int) -> dict[str, Any]:
    """Columns of a source's ticks with its OPEN before and its CLOSE behind them."""
    last = int(block.counts.sum()) + len(block.counts) + 1
    source = int(block.ticks["source"][0])
    ends: list[dict[str, int]] = [
        {"seq": seq, "kind": TICK_KIND[kind], "tick_start": at, "tick_end": at, "events": 0, "amount_fen": 0}
        | {"source": source, "shard": shard}
        for seq, kind, at in ((0, "OPEN", plan.start_ms), (last, "CLOSE", plan.end_ms))
    ]
    return {
        name: np.concatenate(([ends[0][name]], column, [ends[1][name]])).astype(column.dtype)
        for name, column in block.ticks.items()
    }
