"""What the engine asks of a shard's work, whether it folds events or merges partials."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from streams.fetch import Chunk
    from streams.transaction import Reader, Record


class Batch(NamedTuple):
    """What one transaction shall hold.

    Attributes:
        upto: first offset not contained; what the shard goes on at once this is committed.
        records: makes the records; called once, in the shard's thread.
        dead: dead letters among them.
        rows: metric rows among them.
        delays_ms: from the wall time of the newest event folded into a row to this moment, one per row, milliseconds.
    """

    upto: int
    records: Callable[[], Iterable[Record]]
    dead: int = 0
    rows: int = 0
    delays_ms: tuple[int, ...] = ()


class Task(Protocol):
    """The work of one shard. `restore` runs in the shard's thread, all else on the event loop."""

    state_topic: str

    @property
    def next_offset(self) -> int:
        """First offset not folded yet."""
        ...

    def restore(self, rows: Mapping[bytes, bytes], reader: Reader) -> None:
        """Take up the state that the last committed transaction left in the state topic."""
        ...

    def fold(self, chunk: Chunk) -> int:
        """Fold a chunk that begins at `next_offset`; returns how many events it held."""
        ...

    def take(self, now_ms: int, final: bool) -> Batch | None:
        """What changed since the last call, None if nothing is due; `final`: everything, the worker stops."""
        ...
