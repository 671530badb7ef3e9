"""The books of a shard: one kernel walks a chunk in log order and gives every row its verdict.

Semantics, per partition (an oracle recomputes them from the log alone). By source: the last seq, the end of its last
tick, and since that tick the events and amounts accepted, the greatest event time among them and the sequence numbers
missed.

Event rows, first rule that applies: undecodable, unknown source, value out of range (`streams.refusal`), event_time
beyond the source's last tick end + patience -> DEAD, moves nothing; seq <= last -> DUPLICATE; seq - last > bound ->
DEAD; worth (the sum of the topic's amounts * weight), added to that of all the source's accepted events, over 2^63 /
shards / sources -> DEAD, since sums over all of them must fit int64; of a topic with a lifecycle, a step out of order
(`streams.loankernel`) -> DEAD; else accepted: seq moves, a gap is counted missing, and event_time < floor -> LATE
(folded nowhere), else FOLD.

Tick rows: unknown source, another shard's, negative totals, not one tick of the grid and the span, beginning more
than the patience after every source's last tick end -> DEAD; seq rules as for events. An accepted tick whose `events`
and `amount_fen` differ from what was accepted since the last tick, or that does not begin where the last one ended, is
a defect over the ticks it covers. CLOSE counts as a tick of nothing at the end of the span and closes its source; while
that is open it is accepted whatever its seq: one event under a source's name, told with a seq from far ahead, makes
duplicates of all it tells later, and windows that lack it must close all the same.

watermark = max(min over the roster of tick ends, where a closed source counts as infinity; max over the roster of
tick ends, where a closed source counts as the end of the span, - patience). floor = watermark - allowed lateness,
infinity once every source is closed. When the floor passes the tick end of an open source, that source is silent: a
defect of no known number over [its tick end, floor). A defect makes every window that overlaps it and was open before
INCOMPLETE. So does an event outside the tick that counts it, since the control totals of the tick it belongs to cannot
know of it: one from before its source's own last tick end is a defect at its time (of one event missing if it is late,
else of no known number), and events at or after the end of the tick that follows them are one from there to the
latest of them. (What a silent source tells late lies behind its tick end, where its silence is a defect already.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streams import ledgerkernel, loanbook, loankernel, refusal
from streams.loanbook import LoanBook
from streams.nativecode import native

if TYPE_CHECKING:
    from streams.loanbreach import Step
    from streams.plan import TopicPlan

Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]

INFINITY = ledgerkernel.INFINITY
DEAD = 16
DEAD_REASONS = {
    16: "undecodable: not the Confluent wire format",
    17: "undecodable: unknown schema id",
    18: "undecodable: malformed record",
    19: "source is not in the roster of the run",
    20: "event_time lies beyond the source's last tick and the patience",
    21: "seq jumps beyond the bound",
    22: "tick is off the grid, outside the span, of another shard or has negative totals",
    23: "tick begins beyond every source's last tick and the patience",
}
REFUSED = 32

SOURCE_FIELDS = ("seq", "tick_end", "closed", "events", "amount", "gap", "worth", "latest")
ACCOUNT_FIELDS = ("folded", "late", "duplicate", "dead", "ticks", "missing")


@cache
def _walk(lifecycle: bool) -> Any:
    """The walk of topics that have a lifecycle, or of those that have none, for which the check costs nothing."""
    long, small = "ro(t.int64)", "ro(t.int16)"
    events = f"ro(t.int8), {small}, {long}, {long}, {long}, {long}, {long}, ro(t.uint8)"
    ticks = f"{small}, {long}, ro(t.int32), ro(t.int8), {long}, {long}, {long}, {long}"
    state = f"{long}, rw(t.int64, 2), rw(t.int64, 2), rw(t.int64), rw(t.uint8), rw(t.uint8), rw(t.int64, 2)"
    signature = f"t.UniTuple(t.int64, 4)({events}, {ticks}, {state}, {loanbook.LIFE if lifecycle else 't.Tuple(())'})"
    called = ("defect", "advance", "tick", "on_grid", "in_reach", "objection")
    if not lifecycle:
        return native(ledgerkernel, "walk", signature, *called)
    return native(ledgerkernel, "walk", signature, *loanbook.HELPERS, *called, instead=loankernel)


@dataclass(frozen=True, slots=True)
class Defect:
    """Events of a source missing, or control totals that differ, over [start, end); counts for windows that end after
    `floor`.
    """

    source: str
    start: int
    end: int
    missing: int
    floor: int


@dataclass(frozen=True, slots=True)
class Walked:
    """What one chunk came to: keep uint8 by event, verdict uint8 by row, dead row numbers, defects in log order, steps
    of loans that broke a rule or crossed a limit.
    """

    folded: int
    latest_ms: int
    keep: UInt8
    verdict: UInt8
    dead: tuple[int, ...]
    defects: tuple[Defect, ...]
    steps: tuple[Step, ...] = ()


def worth_max(plan: TopicPlan) -> int:
    """What the topic's amounts * weight may come to over all accepted events of one source in one shard, fen."""
    return INFINITY // (plan.shards * len(plan.roster))


class Ledger:
    """The books of one shard of a topic. books int64[roster, 8] (SOURCE_FIELDS), accounts int64[roster + 1, 6]
    (ACCOUNT_FIELDS). loans: the book of a topic that has a lifecycle.
    """

    def __init__(self, plan: TopicPlan, shard: int) -> None:
        roster = len(plan.roster)
        self.plan, self.shard = plan, shard
        self.books = np.zeros((roster, len(SOURCE_FIELDS)), np.int64)
        self.books[:, ledgerkernel.SEQ], self.books[:, ledgerkernel.END] = -1, plan.start_ms
        self.books[:, ledgerkernel.LATEST] = ledgerkernel.NEVER
        self.accounts = np.zeros((roster + 1, len(ACCOUNT_FIELDS)), np.int64)
        lateness = plan.lateness_ticks * plan.tick_ms
        self.clock = np.array((plan.start_ms, plan.start_ms - lateness), np.int64)
        self.loans = LoanBook(plan) if plan.lifecycle else None
        self._refuse = refusal.rules_pass(plan.rules)
        self._limits = np.array((shard, plan.shards, plan.start_ms, plan.end_ms, plan.people), np.int64)
        patience = plan.patience_ticks * plan.tick_ms
        self._span = np.array(
            (plan.start_ms, plan.end_ms, plan.tick_ms, lateness, patience, plan.max_seq_jump, shard, worth_max(plan)),
            np.int64,
        )

    @property
    def floor_ms(self) -> int:
        return int(self.clock[1])

    def walk(self, kind: npt.NDArray[np.int8], events: Mapping[str, Any], ticks: Mapping[str, Any]) -> Walked:
        """Judge the rows of a chunk and move the books. kind int8[n]; columns of events and ticks in row order."""
        n, count, tick_count = len(kind), len(events["seq"]), len(ticks["seq"])
        refused = self._refuse(events, self._limits)
        amounts = events[self.plan.amount] if self.plan.amount else np.zeros(count, np.int64)
        worths = amounts
        if self.plan.worth not in ((), (self.plan.amount,)):
            worths = np.sum([events[name] for name in self.plan.worth], axis=0)
        weights = events[self.plan.weight] if self.plan.weight else np.ones(count, np.int64)
        verdict, keep = np.empty(n, np.uint8), np.empty(count, np.uint8)
        defects = np.empty(
            (tick_count * (len(self.books) + 2) + count, 5), np.int64
        )  # pages never written cost nothing
        life = self.loans.life(events) if self.loans is not None else ()
        folded, latest, found, dead = _walk(self.plan.lifecycle)(
            kind, events["source"], events["seq"], events["event_time"], amounts, worths, weights, refused,
            ticks["source"], ticks["seq"], ticks["shard"], ticks["kind"], ticks["tick_start"], ticks["tick_end"],
            ticks["events"], ticks["amount_fen"],
            self._span, self.books, self.accounts, self.clock, verdict, keep, defects, life,
        )  # fmt: skip
        named = tuple(Defect(self.plan.roster[s], *rest) for s, *rest in defects[:found].tolist())
        rows = tuple(np.flatnonzero(verdict >= DEAD).tolist()) if dead else ()
        steps = self.loans.broken(events) if self.loans is not None else ()
        return Walked(folded, latest, keep, verdict, rows, named, steps)

    def reason(self, verdict: int) -> str:
        """Why a row with this verdict is in the dead-letter topic; a step out of order says it itself."""
        if verdict == ledgerkernel.WORTH_BEYOND:
            whole = " + ".join(self.plan.worth)
            amounts = f"({whole})" if len(self.plan.worth) > 1 else whole
            return f"{amounts} * weight, summed over the source's events of this shard, leaves 2^63 / shards / sources"
        return DEAD_REASONS[verdict] if verdict < REFUSED else self.plan.rules[verdict - REFUSED].reason
