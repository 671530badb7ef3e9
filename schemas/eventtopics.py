"""The event topics: their records, what places an event in a shard, and what no event of a run can be.

One table for sources (what they write), workers (what they read and refuse) and whoever adds a topic: an entry here, a
schema in `avsc/` and an emitter in `producers.generator` make one. Only the proof (`jinliu.oracle.contract`) restates
it, on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AMOUNT_FEN_MAX = 10**10
WEIGHT_MAX = 10**7
"""A payment of 100 million yuan that stands for 10 million is absurd, and yet their product fits int64 92 times; what
they come to over a run is bounded by the ledger."""

LATENCY_MS_MAX = 60_000
"""No client waits a minute. Weighted by the most, 15 million of these fit into the sum of a window."""

TOTAL_FEN_MAX = 10**16
"""A bank's revenue of a month: 100 trillion yuan."""

KEY_RANGE_MAX = 4096
"""Values a bounded field may take and still be a key of a rollup: its cells are the product of its keys' values."""

BANKS, INSTITUTIONS = "banks", "institutions"


@dataclass(frozen=True, slots=True)
class EventTopic:
    """An event topic.

    record: name of its events' schema. key: field that is the record's key. amount: the amount its control totals add
    up. weight: field with the real events one stands for. person: field with a person id, institution: string field
    whose code in the topology places the event. vocabularies: string field -> BANKS or INSTITUTIONS. bounds: integer
    field -> least and greatest value of an event of a run.
    """

    record: str
    key: str
    amount: str | None = None
    weight: str | None = None
    person: str | None = None
    institution: str | None = None
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)


EVENT_TOPICS: Mapping[str, EventTopic] = {
    "payments": EventTopic(
        record="payment",
        key="payer_id",
        amount="amount_fen",
        weight="weight",
        person="payer_id",
        vocabularies={"payer_bank": BANKS, "payee_bank": BANKS},
        bounds={"amount_fen": (0, AMOUNT_FEN_MAX), "weight": (1, WEIGHT_MAX), "latency_ms": (0, LATENCY_MS_MAX)},
    ),
    "operations": EventTopic(
        record="operation",
        key="institution",
        amount="amount_fen",
        institution="institution",
        vocabularies={"institution": INSTITUTIONS},
        bounds={"amount_fen": (0, TOTAL_FEN_MAX)},
    ),
}
