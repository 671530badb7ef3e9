"""The event topics: their records, what places an event in a shard, and what no event of a run can be.

One table for sources (what they write), workers (what they read and refuse) and whoever adds a topic: an entry here, a
schema in `avsc/` and an emitter in `producers.generator` make one. Only the proof (`jinliu.oracle.contract`) restates
it, on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.eventrule import EventRule
from schemas.loanrules import LOAN_RULES

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

COUNT_MAX = 10**13
LOAN_MONEY = (
    "amount_fen",
    "principal_fen",
    "interest_fen",
    "bank_fen",
    "platform_fen",
    "platform_interest_fen",
    "service_fen",
    "bank_funding_fen",
    "platform_funding_fen",
    "outstanding_fen",
    "bank_outstanding_fen",
    "fee_fen",
)

BANKS, INSTITUTIONS = "banks", "institutions"
BANKS_OR_NONE, INSTITUTIONS_OR_NONE = "banks or none", "institutions or none"
"""The ids in the order of their codes, then `none`: a null would be read as the first word."""
NONE = "none"
PEOPLE, BORROWERS = "people", "borrowers"
"""Who is numbered by a topic's person field."""

VINTAGE_MAX = 255
"""Months since January 2010."""
MONTHS_ON_BOOK_MAX = 63
TOOK_MS_MAX = 10**10
"""Nobody waits 115 days for a decision."""


@dataclass(frozen=True, slots=True)
class EventTopic:
    """An event topic.

    record: name of its events' schema. key: field that is the record's key. amount: the amount its control totals add
    up. weight: field with the real events one stands for. person: field with a person id of the `population`,
    institution: string field whose code in the topology places the event. vocabularies: string field -> BANKS,
    INSTITUTIONS or one of them with NONE. bounds: integer field -> least and greatest value of an event of a run.
    rules: what an event keeps over several fields. worth: the amounts whose sum, times the weight, is bounded over all
    events of a source; by default `amount` alone. lifecycle: the events are steps of loans, whose order the engine
    keeps (`streams.loanbook`).
    """

    record: str
    key: str
    amount: str | None = None
    weight: str | None = None
    person: str | None = None
    population: str = PEOPLE
    institution: str | None = None
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rules: tuple[EventRule, ...] = ()
    worth: tuple[str, ...] = ()
    lifecycle: bool = False


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
        bounds={"amount_fen": (0, TOTAL_FEN_MAX), "count": (0, COUNT_MAX)},
    ),
    "loans": EventTopic(
        record="loan",
        key="borrower_id",
        amount="amount_fen",
        weight="weight",
        person="borrower_id",
        population=BORROWERS,
        vocabularies={"lender": INSTITUTIONS, "bank": BANKS_OR_NONE, "platform": INSTITUTIONS_OR_NONE},
        bounds={
            "weight": (1, WEIGHT_MAX),
            "vintage": (0, VINTAGE_MAX),
            "months_on_book": (0, MONTHS_ON_BOOK_MAX),
            "took_ms": (0, TOOK_MS_MAX),
            "rate_ppm": (0, 10**6),
            "months": (0, 60),
            **dict.fromkeys(LOAN_MONEY, (0, AMOUNT_FEN_MAX)),
        },
        rules=LOAN_RULES,
        worth=("amount_fen", "outstanding_fen"),
        lifecycle=True,
    ),
}
