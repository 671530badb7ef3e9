"""What the records of a topic are judged by."""

from dataclasses import dataclass

NOBODY = ""
"""Accounting's source for what names none of the roster."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a topic's records are judged by; times in ms.

    words: string field -> its known words. ranges: field -> (least, most). person, institution: the field that places
    an event; persons: how many are numbered by it. places: institution -> its index in the topology. worth: fields
    whose sum counts as an event's worth. caps: from when (UTC ms) a platform may fund which share of a joint loan.
    """

    topic: str
    record: str
    shards: int
    roster: tuple[str, ...]
    start_ms: int
    end_ms: int
    tick_ms: int
    lateness_ms: int
    patience_ms: int
    max_seq_jump: int
    persons: int
    words: dict[str, frozenset[str]]
    ranges: dict[str, tuple[int, int]]
    person: str | None
    institution: str | None
    places: dict[str, int]
    windows: tuple[str, ...]
    worth: tuple[str, ...] = ("amount_fen",)
    caps: tuple[tuple[int, float], ...] = ()

    @property
    def worth_max(self) -> int:
        """What worth * weight may come to over all accepted events of one source in one shard, fen."""
        return (2**63 - 1) // (self.shards * len(self.roster))
