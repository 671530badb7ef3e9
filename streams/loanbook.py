"""The book of a shard's loans: which are under way, at what stage, and what is outstanding.

It is the ledger's last word on a step (`streams.loankernel` tells the rules) and part of the shard's state
(`streams.loanpages` stores it). Loans that are over are not in it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas import catalog
from streams import loankernel as k
from streams.loanbreach import STAGES, Step
from streams.nativecode import native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.plan import TopicPlan

Int64 = npt.NDArray[np.int64]

FIELDS = ("loan_id", "borrower_id", "weight", "parties", "stand", "left_fen", "bank_left_fen")
"""Columns of a loan as it is kept: the book's without DIRTY."""
COLUMNS = (
    "loan_id", "borrower_id", "weight", "kind", "product", "lender", "bank", "platform",
    "actor", "amount_fen", "principal_fen", "platform_fen", "outstanding_fen", "event_time",
    "bank_fen", "platform_interest_fen", "bank_outstanding_fen", "arrears", "vintage", "months_on_book", "interest_fen",
)  # fmt: skip
"""Event columns it reads, in the order of the kernel's steps."""
SLOTS = 1 << 10
HELPERS = (
    "month_of", "home", "find", "forget", "is_taken_by", "goes_with", "in_money", "in_parts", "follows_its_marks",
    "keeps_its_dates", "out_of_order", "left_behind", "stand_behind", "bank_left_behind", "cap_at",
)  # fmt: skip
"""What `objection` calls, callees first."""
LIFE = "t.Tuple((rw(t.int64, 2), rw(t.int64, 2), rw(t.int64), rw(t.int64, 2), rw(t.int64, 2), rw(t.int64)))"
"""Type of what `LoanBook.life` returns."""


@cache
def _put() -> Any:
    return native(k, "put", "t.int64(rw(t.int64, 2), rw(t.int64, 2))", "home", "find", "forget")


@cache
def _collect() -> Any:
    return native(k, "collect", "t.void(rw(t.int64), rw(t.int64, 2), rw(t.int64, 2))", "home", "find")


@cache
def words(record: str) -> dict[str, tuple[str, ...]]:
    """The symbols of a record's enumerations. The kernel's constants are their places."""
    found = {}
    for item in catalog.schema(record).parsed["fields"]:
        if isinstance(item["type"], dict) and item["type"]["type"] == "enum":
            found[item["name"]] = tuple(item["type"]["symbols"])
    return found


class LoanBook:
    """The loans under way in one shard, a hash table int64[slots, 8]; at most half of it is taken."""

    def __init__(self, plan: TopicPlan) -> None:
        self.plan = plan
        self._words = words(plan.record)
        self._table: Int64 = np.zeros((SLOTS, len(FIELDS) + 1), np.int64)
        self._changed: Int64 = np.empty(SLOTS, np.int64)
        self._notes: Int64 = np.empty((0, 5), np.int64)
        self._counts: Int64 = np.zeros(4, np.int64)
        self._counts[k.NOBODY] = plan.decoder.vocabularies["platform"].index("none")
        caps = [(start, round(cap * k.CAP_UNIT)) for start, cap in plan.world.joint_loan_cap]
        self._caps: Int64 = np.array(caps, np.int64).reshape(-1, 2)

    @property
    def held(self) -> int:
        """Loans under way."""
        return int(self._counts[k.HELD])

    @property
    def products(self) -> int:
        """How many kinds of loans there are."""
        return len(self._words["product"])

    @property
    def marks(self) -> int:
        """How many marks of arrears there are, with CURRENT."""
        return len(self._words["arrears"])

    @property
    def tag(self) -> bytes:
        """8 bytes that name what a stored loan's numbers mean."""
        parties = [self.plan.decoder.vocabularies[name] for name in ("lender", "bank", "platform")]
        meant = [FIELDS, STAGES, self._words["product"], self._words["arrears"], *parties]
        return hashlib.sha256(repr(meant).encode()).digest()[:8]

    def life(self, events: Mapping[str, Any]) -> tuple[Int64, ...]:
        """What the walk over a chunk needs: its steps, and room for what they may change and break."""
        count = len(events["seq"])
        steps = np.empty((len(COLUMNS), count), np.int64)
        for row, name in enumerate(COLUMNS):
            steps[row] = events[name]
        kinds = events["kind"]
        self._room(int(np.count_nonzero((kinds == k.APPLIED) | (kinds == k.BROUGHT_FORWARD))))
        changed = int(self._counts[k.CHANGED])
        if changed + count > len(self._changed):
            self._changed = np.resize(self._changed, 2 * (changed + count))
        self._notes = np.empty((count, 5), np.int64)  # pages never written cost nothing
        self._counts[k.NOTED] = 0
        return steps, self._table, self._changed, self._notes, self._caps, self._counts

    def broken(self, events: Mapping[str, Any]) -> tuple[Step, ...]:
        """What the steps of the chunk walked last broke or crossed, in log order."""
        found = []
        for event, why, stage, seen, wanted in self._notes[: self._counts[k.NOTED]].tolist():
            said = {name: symbols[events[name][event]] for name, symbols in self._words.items() if name in events}
            found.append(
                Step(
                    event, int(events["event_time"][event]), int(events["loan_id"][event]),
                    self.plan.decoder.vocabularies["lender"][events["lender"][event]],
                    said["kind"], said["product"], said["actor"], why, STAGES[stage],
                    int(events["amount_fen"][event]), seen, wanted,
                )
            )  # fmt: skip
        return tuple(found)

    def changes(self) -> Int64:
        """The loans changed since the last time, int64[n, 7] by FIELDS, ascending by number; of those that are
        over all but the number is 0.
        """
        loans = np.unique(self._changed[: self._counts[k.CHANGED]])
        rows = np.empty((len(loans), self._table.shape[1]), np.int64)
        _collect()(loans, self._table, rows)
        self._counts[k.CHANGED] = 0
        return rows[:, : len(FIELDS)]

    def loans(self) -> Int64:
        """All loans under way, int64[held, 7] by FIELDS, ascending by number."""
        rows: Int64 = self._table[self._table[:, k.STAND] != 0][:, : len(FIELDS)]
        return rows[np.argsort(rows[:, k.LOAN])]

    def put(self, rows: Int64) -> None:
        """Take up loans as `changes` or `loans` gave them."""
        self._room(len(rows))
        whole = np.zeros((len(rows), self._table.shape[1]), np.int64)
        whole[:, : len(FIELDS)] = rows
        self._counts[k.HELD] += _put()(whole, self._table)

    def _room(self, more: int) -> None:
        """Make sure that so many more loans leave half of the table empty."""
        slots = len(self._table)
        while slots < 2 * (self.held + more):
            slots *= 2
        if slots > len(self._table):
            rows = self._table[self._table[:, k.STAND] != 0]
            self._table = np.zeros((slots, self._table.shape[1]), np.int64)
            _put()(rows, self._table)
