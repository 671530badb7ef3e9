"""CPU of the folds of `loans` apart from the worker around them: the ledger with the check of each loan, the rollups,
what closes, and what a commit takes out.

`python -m bench.loans [CHUNK_ROWS]` simulates half a year of the world `lending` in memory and folds all of its shards
in turn, in chunks as a worker gets them, with the windows of the world; a shard is taken out of (as by a commit) every
25 000 rows. One pass, the first: nothing is warm but the compiled code. It prints CPU microseconds per event of each
part as a line of JSON, and asserts nothing.
"""

import json
import sys
import time
from datetime import date

import numpy as np

import topologies
from bench.core import Chunk, timed
from jinliu.report.facts import ms
from jinliu.worlds import log_of
from producers.economy import Economy
from producers.lending.emitter import LoanEmitter
from schemas.decode import Rows
from streams import metrics
from streams.plan import TICK, TopicPlan, plan_topic, told, world_of
from streams.shard import ShardState

SPAN = (ms(date(2018, 1, 1)), ms(date(2018, 7, 1)))
TAKE_ROWS = 25_000


def logs(chunk_rows: int) -> tuple[TopicPlan, list[list[Chunk]]]:
    """The plan of topic `loans`, and each shard's log in chunks."""
    world = topologies.load("lending")
    economy, scale = Economy(world, 7), world.scale
    plan = plan_topic(
        "loans", world_of(world), world.roster("loans"), (*SPAN, scale.tick_ms),
        (scale.lateness_ticks, scale.patience_ticks),
        tuple(told(metrics.load(), world.event_topics).values()), world.windows,
    )  # fmt: skip
    emitters = [LoanEmitter(economy, source, SPAN[0]) for source in plan.roster]
    first, ticks = SPAN[0] // plan.tick_ms, (SPAN[1] - SPAN[0]) // plan.tick_ms
    found = []
    for shard in range(plan.shards):
        rows = log_of(plan, [emitter.block(shard, first, ticks, 1) for emitter in emitters], shard)
        found.append(cut(rows, plan.record, chunk_rows))
    return plan, found


def cut(rows: Rows, record: str, size: int) -> list[Chunk]:
    """A log in chunks of so many rows."""
    parts = []
    for low in range(0, rows.n, size):
        kind = rows.kind[low : low + size]
        ticks = int(rows.kind[:low].sum())
        starts = {record: low - ticks, TICK: ticks}
        counts = {record: int((kind == 0).sum()), TICK: int((kind == 1).sum())}
        columns = {
            name: {key: each[starts[name] : starts[name] + counts[name]].copy() for key, each in columns.items()}
            for name, columns in rows.columns.items()
        }
        parts.append(Chunk(kind.copy(), columns))
    return parts


def measured(chunk_rows: int) -> dict[str, float]:
    """CPU microseconds per event by part."""
    plan, shards = logs(chunk_rows)
    events = sum(len(part.columns[plan.record]["seq"]) for parts in shards for part in parts)
    warm(plan, shards[0][0])
    spent = dict.fromkeys(("ledger", "rollups", "close", "take"), 0.0)
    states = [ShardState(plan, shard) for shard in range(plan.shards)]
    for state in states:
        for windows in state._open:
            windows.fold = timed(spent, "rollups", windows.fold)  # type: ignore[method-assign]
        state._ledger.walk = timed(spent, "ledger", state._ledger.walk)  # type: ignore[method-assign]
        state._close = timed(spent, "close", state._close)  # type: ignore[method-assign]
    folding, since = 0.0, np.zeros(plan.shards, np.int64)
    for n in range(max(len(parts) for parts in shards)):
        for shard, state in enumerate(states):
            if n >= len(shards[shard]):
                continue
            part = shards[shard][n]
            part.offset += state.next_offset
            began = time.process_time()
            state.fold(part, state.next_offset, state.next_offset + part.n - 1)  # type: ignore[arg-type]
            folding += time.process_time() - began
            since[shard] += part.n
            if since[shard] >= TAKE_ROWS:
                since[shard] = 0
                timed(spent, "take", state.take)()
    whole = {"fold": folding, **spent}
    return {"events": events, **{f"{name}_us": round(each / events * 1e6, 4) for name, each in whole.items()}}


def warm(plan: TopicPlan, part: Chunk) -> None:
    """Load the compiled code, by a fold that is thrown away."""
    ShardState(plan, 0).fold(part, 0, part.n - 1)  # type: ignore[arg-type]


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 14_000)))
