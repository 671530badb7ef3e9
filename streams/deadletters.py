"""Dead letters: what could not be read or was refused, whole, on `<topic>.dead`.

Key and value are the original bytes; the first headers say why and where from, as text:
`reason`, `topic`, `partition`, `offset`, `timestamp` (the record's own, UTC milliseconds). Behind them come the
record's own headers in their order, under their names; one that has the name of ours, or begins with `original.`,
gets `original.` in front, so that ours are always the only ones of their names and no name is ambiguous.
"""

from __future__ import annotations

from streams.shard import DeadLetter
from streams.transaction import Record

SUFFIX = ".dead"
ORIGINAL = "original."
OURS = frozenset(("reason", "topic", "partition", "offset", "timestamp"))


def dead_record(letter: DeadLetter, topic: str) -> Record:
    """The record of the dead-letter topic, in the partition it came from.

    Args:
        letter: the refused record; its `topic` is without the prefix.
        topic: full name of the event topic it came from.
    """
    headers: tuple[tuple[str, bytes | None], ...] = (
        ("reason", letter.reason.encode()),
        ("topic", topic.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.offset).encode()),
        ("timestamp", str(letter.timestamp).encode()),
    )
    theirs = tuple((_renamed(name), value) for name, value in letter.headers)
    return Record(topic + SUFFIX, letter.partition, letter.key, letter.value, headers + theirs)


def _renamed(name: str) -> str:
    return ORIGINAL + name if name in OURS or name.startswith(ORIGINAL) else name
