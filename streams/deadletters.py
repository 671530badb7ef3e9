"""Dead letters: what could not be read or was refused, whole, on `<topic>.dead`.

Key and value are the original bytes; the first headers say why and where from, as text:
`reason`, `topic`, `partition`, `offset`, `timestamp` (the record's own, UTC milliseconds). Behind them come the
record's own headers in their order, under their names; one that has the name of ours, or begins with `original.`,
gets `original.` in front, so that ours are always the only ones of their names and no name is ambiguous.

A record that was small when compressed may be larger than a topic takes. Its value then lies in several records, one
behind the other, with a header `part` such as `2/3`; put together they are the value. Key and headers stand in each of
them; where they alone are too large, they are left out and a header `left-out` says how many bytes: they are still in
the record at `topic`, `partition` and `offset`.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.shard import DeadLetter
from streams.transaction import Record

SUFFIX = ".dead"
ORIGINAL = "original."
OURS = frozenset(("reason", "topic", "partition", "offset", "timestamp", "part", "left-out"))
PART_BYTES = 8 << 20
"""Most bytes of value in a record: half of what the dead-letter topics take (`max.message.bytes`), since what does not
compress does not get smaller."""
BESIDE_BYTES = 4 << 20
"""Most bytes of key and headers together."""


def dead_records(letter: DeadLetter, topic: str) -> Iterator[Record]:
    """The record of the dead-letter topic, in the partition it came from; several for a very large value.

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
    key, theirs = letter.key, tuple((_renamed(name), value) for name, value in letter.headers)
    beside = len(key or b"") + sum(len(name) + len(value or b"") for name, value in theirs)
    if beside > BESIDE_BYTES:
        key, theirs = None, (("left-out", str(beside).encode()),)
    value = letter.value
    parts = -(-len(value) // PART_BYTES) if value else 1
    for part in range(parts):
        numbered = (("part", f"{part + 1}/{parts}".encode()),) if parts > 1 else ()
        piece = value[part * PART_BYTES : (part + 1) * PART_BYTES] if value else value
        yield Record(topic + SUFFIX, letter.partition, key, piece, headers + numbered + theirs)


def _renamed(name: str) -> str:
    return ORIGINAL + name if name in OURS or name.startswith(ORIGINAL) else name
