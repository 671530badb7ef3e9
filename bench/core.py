"""CPU of the pure core by chunk size: the ledger, the fold of the payments rollups, and what a commit and the merge
cost beside them.

`python bench/core.py` prints CPU microseconds per event. It asserts nothing: figures depend on the machine and on
what else runs there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streams import metrics
from streams.merge import MergeState
from streams.metric import World
from streams.plan import TICK, TopicPlan, event_columns, plan_topic
from streams.shard import ShardState

DAY = 86_400_000
EVENTS_A_TICK = 400
SHARDS, PEOPLE = 8, 110_000
BANKS = tuple(f"bank-{number}" for number in range(30))
ROSTER = ("alipay", "wechat-pay", "unionpay", "banks")
WINDOWS = {"market-share": ("day", "month", "year"), "payment-quality": ("month", "year")}


class Chunk:
    """Columns with the surface of `schemas.decode.Rows` that the core uses."""

    def __init__(self, kind: Any, columns: Any) -> None:
        self.n, self.kind, self.columns = len(kind), kind, columns
        self.offset = np.arange(self.n)
        self.timestamp = np.full(self.n, 1_700_000_000_000)


def plan(days: int) -> TopicPlan:
    everybody = ("alipay", *BANKS)
    world = World(1_000_000, 10_000, SHARDS, PEOPLE, PEOPLE, BANKS, everybody, dict.fromkeys(everybody))
    chosen = [metrics.load()[name] for name in WINDOWS]
    return plan_topic("payments", world, ROSTER, (0, days * DAY, DAY), (1, 60), chosen, WINDOWS)


def chunks(topic: TopicPlan, days: int, size: int) -> list[Chunk]:
    """A shard's log: each day EVENTS_A_TICK payments of each source and its tick, cut into chunks of about `size`
    rows.
    """
    draw = np.random.default_rng(7)
    sources = len(ROSTER)
    count = days * sources * EVENTS_A_TICK
    block = np.repeat(np.arange(days * sources), EVENTS_A_TICK)
    known = event_columns("payment", topic.decoder.vocabularies, {}, None)
    columns = {}
    for name in topic.decoder.columns["payment"]:
        symbols, dtype = known[name].symbols, known[name].dtype
        columns[name] = draw.integers(0, len(symbols) if symbols else 1000, count).astype(dtype)
    columns["source"] = (block % sources).astype(np.int16)
    columns["seq"] = (block // sources) * (EVENTS_A_TICK + 1) + np.tile(np.arange(EVENTS_A_TICK), days * sources)
    columns["event_time"] = (block // sources) * DAY + draw.integers(0, DAY, count)
    columns["payer_id"] = draw.integers(0, PEOPLE // SHARDS, count) * SHARDS
    columns["weight"] = draw.integers(1, 1_000_000, count)
    amounts = columns["amount_fen"].reshape(-1, EVENTS_A_TICK).sum(axis=1)
    number = np.arange(days * sources)
    ticks = {
        "source": (number % sources).astype(np.int16),
        "seq": (number // sources) * (EVENTS_A_TICK + 1) + EVENTS_A_TICK,
        "kind": np.ones(len(number), np.int8),
        "shard": np.zeros(len(number), np.int32),
        "tick_start": number // sources * DAY,
        "tick_end": (number // sources + 1) * DAY,
        "events": np.full(len(number), EVENTS_A_TICK),
        "amount_fen": amounts,
    }
    kind = np.zeros(count + len(number), np.int8)
    kind[EVENTS_A_TICK :: EVENTS_A_TICK + 1] = 1
    parts = []
    for low in range(0, len(kind), size):
        part = kind[low : low + size]
        t = int(kind[:low].sum())
        e = low - t
        event_slice, tick_slice = slice(e, e + int((part == 0).sum())), slice(t, t + int((part == 1).sum()))
        cut = {name: column[event_slice].copy() for name, column in columns.items()}
        parts.append(
            Chunk(part, {"payment": cut, TICK: {name: column[tick_slice].copy() for name, column in ticks.items()}})
        )
    return parts


def measure(size: int, days: int) -> None:
    topic = plan(days)
    parts = chunks(topic, days, size)
    events = sum(len(part.columns["payment"]["seq"]) for part in parts)
    state = ShardState(topic, 0)
    spent = {"ledger": 0.0, "fold": 0.0, "close": 0.0, "take": 0.0, "merge": 0.0}
    walk, close = state._ledger.walk, state._close
    for windows in state._open:
        windows.fold = timed(spent, "fold", windows.fold)  # type: ignore[method-assign]
    state._ledger.walk = timed(spent, "ledger", walk)  # type: ignore[method-assign]
    state._close = timed(spent, "close", close)  # type: ignore[method-assign]
    merges = {name: MergeState(metrics.load()[name], {"payments": topic}) for name in WINDOWS}
    began, since, folded = time.process_time(), 0, 0
    for part in parts:
        part.offset += state.next_offset
        state.fold(part, state.next_offset, state.next_offset + part.n - 1)  # type: ignore[arg-type]
        since += part.n
        if since >= 50_000:
            since = 0
            changes = timed(spent, "take", state.take)()
            for partial in changes.partials:
                folded += 1
                timed(spent, "merge", merges[partial.metric].put)(partial)
            for merge in merges.values():
                timed(spent, "merge", merge.take)(provisional=False)
    whole = time.process_time() - began
    text = "  ".join(f"{name} {seconds / events * 1e6:.3f}" for name, seconds in spent.items())
    print(f"chunks of {size:6d}: {events} events  whole {whole / events * 1e6:.3f}  {text}  ({folded} partials)")


def timed(spent: dict[str, float], name: str, call: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return call(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - began

    return run


if __name__ == "__main__":
    chunk_sizes = [int(size) for size in sys.argv[1:]] or [60, 1000, 20_000]
    measure(1000, 40)
    print("CPU-us per event:")
    for chunk_size in chunk_sizes:
        measure(chunk_size, 400)
