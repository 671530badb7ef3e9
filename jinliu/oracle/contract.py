"""What the contract says of each event topic, restated for the proof; a test holds it equal to the engine's."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_SEQ_JUMP = 1_000_000
"""A `seq` further ahead than this is a bad record, not a gap."""
BANKS, INSTITUTIONS = "banks", "institutions"
BANKS_OR_NONE, INSTITUTIONS_OR_NONE = "banks or none", "institutions or none"
NONE = "none"
"""The word for no institution."""
PEOPLE, BORROWERS = "people", "borrowers"
LOANS = "loans"
JOINT_LOAN_CAP = "joint-loan-cap"
"""The lever that says which share of a joint loan a platform may fund."""


@dataclass(frozen=True, slots=True)
class EventTopic:
    """An event topic's record, the closed sets of its strings, its ranges, and what places an event in a shard.

    population: who is numbered by `person`, PEOPLE or BORROWERS. worth: the fields whose sum, times the weight, a
    source's events may not bring beyond the ledger's bound.
    """

    record: str
    words: Mapping[str, str]
    ranges: Mapping[str, tuple[int, int]]
    person: str | None = None
    population: str = PEOPLE
    institution: str | None = None
    worth: tuple[str, ...] = ("amount_fen",)


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

TOPICS: Mapping[str, EventTopic] = {
    "payments": EventTopic(
        record="payment",
        words={"payer_bank": BANKS, "payee_bank": BANKS},
        ranges={"amount_fen": (0, 10**10), "weight": (1, 10**7), "latency_ms": (0, 60_000)},
        person="payer_id",
    ),
    "operations": EventTopic(
        record="operation",
        words={"institution": INSTITUTIONS},
        ranges={"amount_fen": (0, 10**16), "count": (0, 10**13)},
        institution="institution",
    ),
    LOANS: EventTopic(
        record="loan",
        words={"lender": INSTITUTIONS, "bank": BANKS_OR_NONE, "platform": INSTITUTIONS_OR_NONE},
        ranges={
            **dict.fromkeys(LOAN_MONEY, (0, 10**10)),
            "weight": (1, 10**7),
            "vintage": (0, 255),
            "months_on_book": (0, 63),
            "took_ms": (0, 10**10),
            "rate_ppm": (0, 10**6),
            "months": (0, 60),
        },
        person="borrower_id",
        population=BORROWERS,
        worth=("amount_fen", "outstanding_fen"),
    ),
}
