"""The books of a shard: one kernel walks a chunk in log order and gives every row its verdict.

Semantics, per partition (an oracle recomputes them from the log alone). By source: the last seq, the end of its last tick, and since that
tick the events and amounts accepted and the sequence numbers missed.

Event rows, first rule that applies: undecodable, unknown source, value out of range (`streams.refusal`), event_time beyond the source's
last tick end + patience -> DEAD, moves nothing; seq <= last -> DUPLICATE; seq - last > bound -> DEAD; else accepted: seq moves, a gap is
counted missing, and event_time < floor -> LATE (folded nowhere), else FOLD.

Tick rows: unknown source, another shard's, negative totals, off the grid or the span -> DEAD; seq rules as for events. An accepted tick
whose `events` and `amount_fen` differ from what was accepted since the last tick, or that does not begin where the last one ended, is a
defect over the ticks it covers. CLOSE counts as a tick of nothing at the end of the span and closes its source.

watermark = max(min over the roster of tick ends, where a closed source counts as infinity;
                max over the roster of tick ends, where a closed source counts as the end of the span, - patience).
floor = watermark - allowed lateness, infinity once every source is closed. When the floor passes the tick end of an open source, that
source is silent: a defect of no known number over [its tick end, floor). A defect makes every window that overlaps it and was open
before INCOMPLETE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streams import refusal
from streams.nativecode import native

if TYPE_CHECKING:
    from streams.plan import TopicPlan

Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]

INFINITY = 2**63 - 1
FOLD, LATE, DUPLICATE, TICK, DEAD = 0, 1, 2, 3, 16
DEAD_REASONS = {
    16: "undecodable: not the Confluent wire format",
    17: "undecodable: unknown schema id",
    18: "undecodable: malformed record",
    19: "source is not in the roster of the run",
    20: "event_time lies beyond the source's last tick and the patience",
    21: "seq jumps beyond the bound",
    22: "tick is off the grid, outside the span, of another shard or has negative totals",
}
REFUSED = 32

CONSTANTS = """
FOLD, LATE, DUPLICATE, TICK, INFINITY = 0, 1, 2, 3, 9223372036854775807
UNKNOWN_SOURCE, FAR_FUTURE, SEQ_BEYOND, BAD_TICK, REFUSED = 19, 20, 21, 22, 32
SEQ, END, CLOSED, EVENTS, AMOUNT, GAP = 0, 1, 2, 3, 4, 5
N_FOLDED, N_LATE, N_DUPLICATE, N_DEAD, N_TICKS, N_MISSING = 0, 1, 2, 3, 4, 5
WATERMARK, FLOOR = 0, 1
"""
SOURCE_FIELDS = ("seq", "tick_end", "closed", "events", "amount", "gap")
ACCOUNT_FIELDS = ("folded", "late", "duplicate", "dead", "ticks", "missing")


def advance(books, clock, span, defects, found):  # type: ignore[no-untyped-def]
    """Move watermark and floor after a tick; note sources that fell silent. Returns the number of defects."""
    end, lateness, patience = span[1], span[3], span[4]
    least, most = INFINITY, np.int64(-INFINITY)
    for s in range(books.shape[0]):
        if books[s, CLOSED] == 0:
            least = min(least, books[s, END])
        most = max(most, books[s, END])
    watermark = max(clock[WATERMARK], least, most - patience)
    clock[WATERMARK] = watermark
    floor = INFINITY if watermark == INFINITY else watermark - lateness
    before = clock[FLOOR]
    if floor > before:
        clock[FLOOR] = floor
        for s in range(books.shape[0]):
            if books[s, CLOSED] == 0 and books[s, END] < min(floor, end):
                defects[found, 0] = s
                defects[found, 1] = books[s, END]
                defects[found, 2] = min(floor, end)
                defects[found, 3] = 0
                defects[found, 4] = before
                found += 1
    return found


def tick(i, s, ticks, books, clock, span, defects, found):  # type: ignore[no-untyped-def]
    """Take an accepted tick row: compare control totals, move the source's tick end. Returns the number of defects."""
    kind, begin, stop = ticks[0][i], ticks[1][i], ticks[2][i]
    agrees = ticks[3][i] == books[s, EVENTS] and ticks[4][i] == books[s, AMOUNT] and begin == books[s, END]
    if not agrees:
        low, high = min(begin, books[s, END]), max(stop, books[s, END])
        if low == high:
            if low > span[0]:
                low -= span[2]
            else:
                high += span[2]
        defects[found, 0] = s
        defects[found, 1] = low
        defects[found, 2] = high
        defects[found, 3] = books[s, GAP]
        defects[found, 4] = clock[FLOOR]
        found += 1
    books[s, END] = max(books[s, END], stop)
    books[s, EVENTS] = books[s, AMOUNT] = books[s, GAP] = 0
    if kind == 2:
        books[s, CLOSED] = 1
    return advance(books, clock, span, defects, found)


def on_grid(kind, begin, stop, events, amount, span):  # type: ignore[no-untyped-def]
    """Whether a tick row can be one of this run."""
    start, end, length = span[0], span[1], span[2]
    if events < 0 or amount < 0:
        return False
    if kind == 0:
        return begin == start and stop == start
    if kind == 2:
        return begin == end and stop == end
    return start <= begin < stop <= end and (begin - start) % length == 0 and ((stop - start) % length == 0 or stop == end)


def walk(  # type: ignore[no-untyped-def]
    kind, sources, seqs, times, amounts, refused, t_sources, t_seqs, t_shards, t_kinds, t_starts, t_ends, t_events, t_amounts,
    span, books, accounts, clock, verdict, keep, defects,
):  # fmt: skip
    """(folded, earliest and latest folded event time, defects, dead rows); verdict uint8 by row, keep uint8 by event."""
    roster, jump, shard = books.shape[0], span[5], span[6]
    folded, dead, found = np.int64(0), np.int64(0), np.int64(0)
    earliest, latest = INFINITY, np.int64(-INFINITY)
    ticks = (t_kinds, t_starts, t_ends, t_events, t_amounts)
    e, c = -1, -1
    for row in range(kind.shape[0]):
        reason = 0
        s = np.int64(-1)
        is_tick = kind[row] == 1
        seq = np.int64(0)
        if kind[row] < 0:
            reason = 15 - kind[row]
        elif is_tick:
            c += 1
            s, seq = np.int64(t_sources[c]), t_seqs[c]
            if s < 0:
                reason = UNKNOWN_SOURCE
            elif t_shards[c] != shard or not on_grid(t_kinds[c], t_starts[c], t_ends[c], t_events[c], t_amounts[c], span):
                reason = BAD_TICK
        else:
            e += 1
            keep[e] = 0
            s, seq = np.int64(sources[e]), seqs[e]
            if s < 0:
                reason = UNKNOWN_SOURCE
            elif refused[e] != 0:
                reason = np.int64(refused[e])
            elif times[e] > books[s, END] + span[4]:
                reason = FAR_FUTURE
        if reason == 0 and seq > books[s, SEQ] and seq - books[s, SEQ] > jump:
            reason = SEQ_BEYOND
        if reason != 0:
            verdict[row] = reason
            accounts[s if s >= 0 else roster, N_DEAD] += 1
            dead += 1
            continue
        if seq <= books[s, SEQ]:
            verdict[row] = DUPLICATE
            accounts[s, N_TICKS if is_tick else N_DUPLICATE] += 1
            continue
        gap = seq - books[s, SEQ] - 1
        if gap > 0:
            books[s, GAP] += gap
            accounts[s, N_MISSING] += gap
        books[s, SEQ] = seq
        if is_tick:
            verdict[row] = TICK
            accounts[s, N_TICKS] += 1
            found = tick(c, s, ticks, books, clock, span, defects, found)
            continue
        books[s, EVENTS] += 1
        books[s, AMOUNT] += amounts[e]
        if times[e] < clock[FLOOR]:
            verdict[row] = LATE
            accounts[s, N_LATE] += 1
        else:
            verdict[row] = FOLD
            keep[e] = 1
            accounts[s, N_FOLDED] += 1
            folded += 1
            earliest = min(earliest, times[e])
            latest = max(latest, times[e])
    return folded, earliest, latest, found, dead


@cache
def _walk() -> Any:
    long, small = "ro(t.int64)", "ro(t.int16)"
    events = f"ro(t.int8), {small}, {long}, {long}, {long}, ro(t.uint8)"
    ticks = f"{small}, {long}, ro(t.int32), ro(t.int8), {long}, {long}, {long}, {long}"
    state = f"{long}, rw2(t.int64), rw2(t.int64), rw(t.int64), rw(t.uint8), rw(t.uint8), rw2(t.int64)"
    return native(walk, f"t.UniTuple(t.int64, 5)({events}, {ticks}, {state})", advance, tick, on_grid, constants=CONSTANTS)


@dataclass(frozen=True, slots=True)
class Defect:
    """Events of a source missing, or control totals that differ, over [start, end); counts for windows that end after `floor`."""

    source: str
    start: int
    end: int
    missing: int
    floor: int


@dataclass(frozen=True, slots=True)
class Walked:
    """What one chunk came to: keep uint8 by event, verdict uint8 by row, dead row numbers, defects in log order."""

    folded: int
    latest_ms: int
    keep: UInt8
    verdict: UInt8
    dead: tuple[int, ...]
    defects: tuple[Defect, ...]


class Ledger:
    """The books of one shard of a topic. books int64[roster, 6] (SOURCE_FIELDS), accounts int64[roster + 1, 6] (ACCOUNT_FIELDS)."""

    def __init__(self, plan: TopicPlan, shard: int) -> None:
        roster = len(plan.roster)
        self.plan, self.shard = plan, shard
        self.books = np.zeros((roster, len(SOURCE_FIELDS)), np.int64)
        self.books[:, 0], self.books[:, 1] = -1, plan.start_ms
        self.accounts = np.zeros((roster + 1, len(ACCOUNT_FIELDS)), np.int64)
        lateness = plan.lateness_ticks * plan.tick_ms
        self.clock = np.array((plan.start_ms, plan.start_ms - lateness), np.int64)
        self._refuse = refusal.rules_pass(plan.rules)
        self._limits = np.array((shard, plan.shards, plan.start_ms, plan.end_ms, plan.world.people), np.int64)
        patience = plan.patience_ticks * plan.tick_ms
        self._span = np.array(
            (plan.start_ms, plan.end_ms, plan.tick_ms, lateness, patience, plan.max_seq_jump, shard), np.int64
        )

    @property
    def floor_ms(self) -> int:
        return int(self.clock[1])

    def walk(self, kind: npt.NDArray[np.int8], events: Mapping[str, Any], ticks: Mapping[str, Any]) -> Walked:
        """Judge the rows of a chunk and move the books. kind int8[n]; columns of events and ticks in row order."""
        n, count, tick_count = len(kind), len(events["seq"]), len(ticks["seq"])
        refused = self._refuse(events, self._limits)
        amounts = events[self.plan.amount] if self.plan.amount else np.zeros(count, np.int64)
        verdict, keep = np.empty(n, np.uint8), np.empty(count, np.uint8)
        defects = np.empty((tick_count * (len(self.books) + 1), 5), np.int64)
        folded, _, latest, found, dead = _walk()(
            kind, events["source"], events["seq"], events["event_time"], amounts, refused,
            ticks["source"], ticks["seq"], ticks["shard"], ticks["kind"], ticks["tick_start"], ticks["tick_end"],
            ticks["events"], ticks["amount_fen"],
            self._span, self.books, self.accounts, self.clock, verdict, keep, defects,
        )  # fmt: skip
        named = tuple(Defect(self.plan.roster[s], *rest) for s, *rest in defects[:found].tolist())
        rows = tuple(np.flatnonzero(verdict >= DEAD).tolist()) if dead else ()
        return Walked(folded, latest, keep, verdict, rows, named)

    def reason(self, verdict: int) -> str:
        """Why a row with this verdict is in the dead-letter topic."""
        return DEAD_REASONS[verdict] if verdict < REFUSED else self.plan.rules[verdict - REFUSED].reason
