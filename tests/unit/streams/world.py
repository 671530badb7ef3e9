"""Random days of a small world, told well: records by shard for a topic, for tests of metrics."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas import catalog
from streams.merge import MergeState
from streams.metric import Metric
from streams.partials import Partial
from streams.plan import TopicPlan
from streams.shard import ShardState
from tests.unit.streams.chunks import BANKS, operation, payment, rows, tick

OPERATION_KINDS = tuple(
    symbol
    for field in catalog.schema("operation").parsed["fields"] if field["name"] == "kind"
    for symbol in field["type"]["symbols"]
)  # fmt: skip
OneEvent = Callable[[random.Random, int], dict[str, Any]]


def random_payment(draw: random.Random, shard: int) -> dict[str, Any]:
    return payment(
        payer_id=2 * draw.randrange(100) + shard,
        scene=draw.choice(("DINING", "TRANSPORT", "TRANSFER")),
        channel=draw.choice(("ALIPAY", "WECHAT_PAY", "UNIONPAY", "BANK")),
        instrument=draw.choice(("QR", "ONLINE", "USB_KEY")),
        payer_bank=draw.choice(BANKS),
        payee_bank=draw.choice(BANKS),
        amount_fen=draw.randrange(10**6),
        weight=draw.choice((1, 70, 10_000, 1_000_000)),
        route=draw.choice(("DIRECT", "NETWORK", "BANKCARD")),
        outcome=draw.choice(("SUCCESS", "SUCCESS", "SUCCESS", "TIMEOUT", "OVER_CAPACITY", "BLOCKED")),
        latency_ms=draw.choice((0, 1, 30, 199, 200, 250, 20_000, 50_000, draw.randrange(1000))),
        middleware=draw.random() < 0.3,
        detail_visible=draw.random() < 0.6,
        fraud=draw.choice(("NONE", "NONE", "NONE", "PHISHING", "INCIDENT")),
        flagged=draw.random() < 0.2,
    )


def random_operation(draw: random.Random, shard: int) -> dict[str, Any]:
    return operation(
        institution=draw.choice(("alipay", "lan-hai") if shard == 0 else ("icbc",)),
        kind=draw.choice(OPERATION_KINDS),
        amount_fen=draw.randrange(10**9),
        days=draw.randrange(90),
        count=draw.choice((0, draw.randrange(10**6))),
    )


def told(plan: TopicPlan, shard: int, draw: random.Random, one: OneEvent, a_tick: int) -> list[dict[str, Any]]:
    """The whole log of a shard: OPEN, up to `a_tick` events a source and tick, ticks, CLOSE."""
    log = [tick(source, 0, plan.start_ms, plan.start_ms, kind="OPEN", shard=shard) for source in plan.roster]
    seq = dict.fromkeys(plan.roster, 1)
    for start in range(plan.start_ms, plan.end_ms, plan.tick_ms):
        for source in plan.roster:
            events = []
            for _ in range(draw.randrange(a_tick + 1)):
                events.append(one(draw, shard) | {"source": source, "event_time": start + draw.randrange(plan.tick_ms)})
            for number, event in enumerate(events):
                event["seq"] = seq[source] + number
            seq[source] += len(events)
            total = sum(event["amount_fen"] for event in events)
            log += [*events, tick(source, seq[source], start, start + plan.tick_ms, len(events), total, shard=shard)]
            seq[source] += 1
    log += [tick(source, seq[source], plan.end_ms, plan.end_ms, kind="CLOSE", shard=shard) for source in plan.roster]
    return log


def partials_of(plan: TopicPlan, logs: Sequence[Sequence[Any]], chunk: int = 50) -> list[Partial]:
    """Everything the shards hand out, provisional partials after each chunk too."""
    partials: list[Partial] = []
    for shard, log in enumerate(logs):
        state = ShardState(plan, shard)
        for first in range(0, len(log), chunk):
            part = log[first : first + chunk]
            state.fold(rows(plan, part, first), first, first + len(part) - 1)
            partials += state.take().partials
    return partials


def final_rows(metric: Metric, plans: Mapping[str, TopicPlan], partials: Sequence[Partial]) -> list[Any]:
    merge = MergeState(metric, plans)
    for partial in partials:
        if partial.metric == metric.name:
            merge.put(partial)
    rows = merge.take(provisional=False)
    assert merge.open == 0
    return rows
