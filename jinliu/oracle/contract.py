"""What the contract says of each event topic, restated for the proof; a test holds it equal to the engine's."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_SEQ_JUMP = 1_000_000
"""A `seq` further ahead than this is a bad record, not a gap."""
BANKS, INSTITUTIONS = "banks", "institutions"


@dataclass(frozen=True, slots=True)
class EventTopic:
    """An event topic's record, the closed sets of its strings, its ranges, and what places an event in a shard."""

    record: str
    words: Mapping[str, str]
    ranges: Mapping[str, tuple[int, int]]
    person: str | None = None
    institution: str | None = None


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
        ranges={"amount_fen": (0, 10**16)},
        institution="institution",
    ),
}
