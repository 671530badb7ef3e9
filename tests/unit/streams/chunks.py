"""Rows by hand, as the decoder makes them, and small plans of a world with two banks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from streams.metric import Metric, World
from streams.plan import TICK, TopicPlan, event_columns, plan_topic

ROSTER = ("alipay", "banks")
BANKS = ("icbc", "lan-hai")
WORLD = World(
    weight=10,
    person_weight=100,
    shards=2,
    people=200,
    borrowers=200,
    banks=BANKS,
    institutions=("alipay", *BANKS),
    certified={"alipay": None, "icbc": date(1970, 1, 1), "lan-hai": None},
)
DAY = 86_400_000


def plan_for(
    metrics: Sequence[Metric],
    topic: str = "payments",
    span: tuple[int, int, int] = (0, 8 * DAY, DAY),
    waiting: tuple[int, int] = (1, 3),
    windows: Mapping[str, Sequence[str]] | None = None,
    world: World = WORLD,
    roster: tuple[str, ...] = ROSTER,
) -> TopicPlan:
    return plan_topic(topic, world, roster, span, waiting, metrics, windows or {})


PAYMENT: dict[str, Any] = {
    "source": "alipay",
    "seq": 1,
    "event_time": 0,
    "payer_id": 0,
    "payee_id": 4,
    "segment": "MASS",
    "scene": "DINING",
    "channel": "ALIPAY",
    "instrument": "QR",
    "payer_bank": "icbc",
    "payee_bank": "icbc",
    "amount_fen": 100,
    "weight": 10,
    "route": "NETWORK",
    "outcome": "SUCCESS",
    "latency_ms": 50,
    "middleware": False,
    "detail_visible": True,
    "fraud": "NONE",
    "flagged": False,
}
OPERATION: dict[str, Any] = {
    "source": "alipay",
    "seq": 1,
    "event_time": 0,
    "institution": "alipay",
    "kind": "RELEASE",
    "amount_fen": 0,
    "days": 0,
    "count": 0,
}

LOAN: dict[str, Any] = {
    "source": "banks",
    "seq": 1,
    "event_time": 0,
    "loan_id": 0,
    "borrower_id": 0,
    "weight": 10,
    "kind": "APPLIED",
    "product": "CARD",
    "lender": "icbc",
    "bank": "icbc",
    "platform": "none",
    "actor": "BORROWER",
    "vintage": 0,
    "months_on_book": 0,
    "arrears": "CURRENT",
    "amount_fen": 1000,
    "principal_fen": 0,
    "interest_fen": 0,
    "bank_fen": 0,
    "platform_fen": 0,
    "platform_interest_fen": 0,
    "service_fen": 0,
    "bank_funding_fen": 0,
    "platform_funding_fen": 0,
    "outstanding_fen": 0,
    "bank_outstanding_fen": 0,
    "took_ms": 0,
    "rate_ppm": 0,
    "apr_ppm": 0,
    "months": 0,
    "fee_fen": 0,
    "on_record": False,
    "first": False,
}


def payment(**fields: Any) -> dict[str, Any]:
    return PAYMENT | fields


def operation(**fields: Any) -> dict[str, Any]:
    return OPERATION | fields


def loan(**fields: Any) -> dict[str, Any]:
    return LOAN | fields


def tick(
    source: str,
    seq: int,
    start: int,
    end: int,
    events: int = 0,
    amount_fen: int = 0,
    kind: str = "TICK",
    shard: int = 0,
) -> dict[str, Any]:
    return {
        TICK: kind,
        "source": source,
        "seq": seq,
        "shard": shard,
        "tick_start": start,
        "tick_end": end,
        "events": events,
        "amount_fen": amount_fen,
    }


@dataclass
class HandRows:
    """The shape of `schemas.decode.Rows`; `bad` rows are negative ints among the records."""

    n: int
    kind: Any
    offset: Any
    timestamp: Any
    columns: dict[str, dict[str, Any]]
    index: dict[str, Any]
    records: list[Any] = field(default_factory=list)

    def raw(self, row: int) -> tuple[bytes | None, bytes | None, int]:
        return b"key", repr(self.records[row]).encode(), int(self.timestamp[row])

    def headers(self, row: int) -> tuple[tuple[str, bytes | None], ...]:
        return (("trace", str(row).encode()),)


TICK_DTYPES = {
    "source": "int16",
    "seq": "int64",
    "shard": "int32",
    "kind": "int8",
    "tick_start": "int64",
    "tick_end": "int64",
    "events": "int64",
    "amount_fen": "int64",
}
TICK_KINDS = ("OPEN", "TICK", "CLOSE")


def rows(plan: TopicPlan, records: Sequence[Any], first: int = 0, offsets: Sequence[int] | None = None) -> Any:
    """Rows of the records (dicts of `payment`, `operation`, `loan` or `tick`, or a negative int for an undecodable
    one), read-only as decoded.
    """
    kinds = [record if isinstance(record, int) else int(TICK in record) for record in records]
    known = event_columns(plan.record, plan.decoder.vocabularies, {}, None)
    events = [record for record, kind in zip(records, kinds, strict=True) if kind == 0]
    ticks = [record for record, kind in zip(records, kinds, strict=True) if kind == 1]
    columns: dict[str, dict[str, Any]] = {plan.record: {}, TICK: {}}
    for name in plan.decoder.columns[plan.record]:
        symbols, dtype = known[name].symbols, known[name].dtype
        values = [
            event[name] if symbols is None or dtype == "bool" else _code(symbols, event[name]) for event in events
        ]
        columns[plan.record][name] = _frozen(np.array(values, dtype))
    for name, dtype in TICK_DTYPES.items():
        if name == "source":
            values = [_code(plan.roster, record[name]) for record in ticks]
        elif name == "kind":
            values = [TICK_KINDS.index(record[TICK]) for record in ticks]
        else:
            values = [record[name] for record in ticks]
        columns[TICK][name] = _frozen(np.array(values, dtype))
    numbers = list(offsets) if offsets is not None else list(range(first, first + len(records)))
    index = {name: np.flatnonzero(np.array(kinds, np.int8) == code) for code, name in enumerate((plan.record, TICK))}
    return HandRows(
        len(records),
        np.array(kinds, np.int8),
        np.array(numbers, np.int64),
        np.array(numbers, np.int64) + 1_000_000,
        columns,
        index,
        list(records),
    )


def _code(symbols: Sequence[Any], value: Any) -> int:
    return symbols.index(value) if value in symbols else -1


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array
