"""A shard's book of loans as rows of its state topic: pages of a base, and what changed since in deltas.

Keys are `book|base|<page>` and `book|delta|<number>`, both from 0 without gaps; the shard's `meta` says how many of
each there are and how many loans they come to. A commit writes the loans changed since the last one behind the other
deltas; when the deltas hold more loans than the base, a new base takes the place of all of them. The book is the base,
then the deltas in their order.

A value is eight bytes that name the definition of the book, a CRC-32 of key and loans, and the loans: little-endian
int64[n, 7] by `loanbook.FIELDS`, ascending by number.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.eventtopics import AMOUNT_FEN_MAX, VINTAGE_MAX, WEIGHT_MAX
from streams import loankernel as k
from streams import stored
from streams.loanbook import FIELDS
from streams.loanbreach import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.loanbook import Int64, LoanBook

PAGE_LOANS = 4096
"""At most so many in a row of the state topic: 224 kB."""
DELTA_LOANS = 4096
"""The deltas may always hold so many, however small the base."""
KEY = re.compile(rb"book\|(base|delta)\|(0|[1-9][0-9]{0,9})")
HEAD = struct.Struct("<8sI")
NOTHING = {"pages": 0, "deltas": 0, "base": 0, "changed": 0, "held": 0}


def is_page(key: bytes) -> bool:
    """Whether a row of a state topic has the key of a page of the book."""
    return KEY.fullmatch(key) is not None


class LoanPages:
    """What is stored of a book. meta: how many pages, deltas, loans in the base and in the deltas, loans under way."""

    def __init__(self, book: LoanBook, shard: int) -> None:
        self._book, self._shard = book, shard
        self.meta = dict(NOTHING)

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Rows that bring what is stored up to date, None is a tombstone; they count as stored."""
        changed, meta = self._book.changes(), self.meta
        meta["held"] = self._book.held
        if not len(changed):
            return []
        if meta["changed"] + len(changed) > max(meta["base"], DELTA_LOANS):
            return self._base()
        rows = list(self._pages(b"delta", meta["deltas"], changed))
        meta["deltas"] += len(rows)
        meta["changed"] += len(changed)
        return rows

    def _base(self) -> list[tuple[bytes, bytes | None]]:
        loans, former = self._book.loans(), self.meta
        rows = list(self._pages(b"base", 0, loans))
        self.meta = {"pages": len(rows), "deltas": 0, "base": len(loans), "changed": 0, "held": len(loans)}
        rows += [(_key(b"base", number), None) for number in range(self.meta["pages"], former["pages"])]
        rows += [(_key(b"delta", number), None) for number in range(former["deltas"])]
        return rows

    def _pages(self, what: bytes, first: int, loans: Int64) -> Iterator[tuple[bytes, bytes | None]]:
        for low in range(0, len(loans), PAGE_LOANS):
            key = _key(what, first + low // PAGE_LOANS)
            body = loans[low : low + PAGE_LOANS].astype("<i8").tobytes()
            yield key, HEAD.pack(self._book.tag, zlib.crc32(key + body)) + body

    def restore(self, where: str, position: bytes, meta: Any, rows: Mapping[bytes, bytes]) -> None:
        """Take up the book from the rows `changes` gave. where: topic/partition, position: key of the row `meta` is of.

        Pages that `meta` does not name are passed over with a warning. Raises StateMismatch for one that is missing,
        damaged or makes no sense.
        """
        try:
            self.meta = {name: stored.integer(meta[name]) for name in NOTHING}
        except stored.WRONG as error:
            raise stored.mismatch(where, position, f"book: {type(error).__name__}: {error}") from error
        counts = {b"base": self.meta["pages"], b"delta": self.meta["deltas"]}
        for key in rows:
            _, kind, place = key.split(b"|")
            if int(place) >= counts[kind]:
                stored.ignored(where, key, "the position of this shard knows no such page of the book of loans")
        for what, count in counts.items():
            last = -(2**63)
            for number in range(count):
                key = _key(what, number)
                if key not in rows:
                    raise stored.mismatch(where, key, "this page of the book of loans is missing")
                try:
                    loans = self._loans(key, rows[key])
                    if what == b"base" and (loans[0, k.LOAN] <= last or (loans[:, k.STAND] == 0).any()):
                        raise ValueError("it repeats loans or holds some that are over")
                except ValueError as error:
                    raise stored.mismatch(where, key, error) from error
                last = int(loans[-1, k.LOAN])
                self._book.put(loans)
        if self._book.held != self.meta["held"]:
            raise stored.mismatch(
                where, position, f"book: {self.meta['held']} loans under way, its pages hold {self._book.held}"
            )

    def _loans(self, key: bytes, value: bytes) -> Int64:
        """The loans of a page. Raises ValueError."""
        if len(value) < HEAD.size or (len(value) - HEAD.size) % (8 * len(FIELDS)) or len(value) == HEAD.size:
            raise ValueError(f"damaged: {len(value)} bytes are no page of loans")
        tag, checksum = HEAD.unpack_from(value)
        body = value[HEAD.size :]
        if tag != self._book.tag:
            raise ValueError("written by another version or definition of the book of loans")
        if checksum != zlib.crc32(key + body):
            raise ValueError("damaged: its checksum is another")
        loans = np.frombuffer(body, "<i8").astype(np.int64).reshape(-1, len(FIELDS))
        wrong = _wrong(loans, self._book, self._shard)
        if wrong:
            raise ValueError(wrong)
        return loans


def _wrong(loans: Int64, book: LoanBook, shard: int) -> str:
    """What makes no sense in a page of loans, "" if nothing does."""
    if (np.diff(loans[:, k.LOAN]) <= 0).any():
        return "its loans are not in order of their numbers"
    over = loans[:, k.STAND] == 0
    if loans[over][:, k.LOAN + 1 :].any():
        return "a loan that is over has more than its number"
    plan, here = book.plan, loans[~over]
    words = plan.decoder.vocabularies
    holder, parties, stand = here[:, k.HOLDER], here[:, k.PARTIES], here[:, k.STAND]
    parts = (
        (holder, 0, plan.people - 1, "borrower"), (holder % plan.shards, shard, shard, "borrower's shard"),
        (here[:, k.TIMES], 1, WEIGHT_MAX, "weight"), (stand & k.STAGE, 1, len(STAGES) - 1, "stage"),
        (stand >> k.MARK & 7, 0, book.marks - 1, "arrears"), (stand >> k.VINTAGE, 0, VINTAGE_MAX, "vintage"),
        (here[:, k.LEFT], 0, AMOUNT_FEN_MAX, "amount"), (here[:, k.BANK_LEFT], 0, here[:, k.LEFT], "bank's part"),
        (parties & 0xFF, 0, book.products - 1, "product"),
        (parties >> 8 & 0xFFFF, 0, len(words["lender"]) - 1, "lender"),
        (parties >> 24 & 0xFFFF, 0, len(words["bank"]) - 1, "bank"),
        (parties >> 40, 0, len(words["platform"]) - 1, "platform"),
    )  # fmt: skip
    for column, least, most, name in parts:
        if ((column < least) | (column > most)).any():
            return f"a loan's {name} is not between {least} and {np.max(most)}"
    return ""


def _key(what: bytes, number: int) -> bytes:
    return b"book|%b|%d" % (what, number)
