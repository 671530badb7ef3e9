"""Dead letters: what could not be read or was refused, whole, on `<topic>.dead`.

Key and value are the original bytes; the headers say why and where from, as text:
`reason`, `topic`, `partition`, `offset`, `timestamp` (the record's own, UTC milliseconds).
"""

from __future__ import annotations

from typing import Protocol

from streams.transaction import Record

SUFFIX = ".dead"


class DeadLetter(Protocol):
    """What the core says about a refused record (`streams.shard`'s dead letter)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


def dead_record(letter: DeadLetter, topic: str) -> Record:
    """The record of the dead-letter topic, in the partition it came from.

    Args:
        letter: the refused record; its `topic` is without the prefix.
        topic: full name of the event topic it came from.
    """
    headers = (
        ("reason", letter.reason.encode()),
        ("topic", topic.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.offset).encode()),
        ("timestamp", str(letter.timestamp).encode()),
    )
    return Record(topic + SUFFIX, letter.partition, letter.key, letter.value, headers)
