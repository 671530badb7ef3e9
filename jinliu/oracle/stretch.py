"""The events of one chunk, judged a stretch between ticks at a time.

In a stretch the floor and every source's tick end stand still. The checks of an event, first that applies:

1. what no state could make good (a word, a range, a place, fields that contradict each other) or an unknown source:
   dead;
2. later than its source's last tick end and the patience: dead;
3. `seq` beyond the bound: dead; at or below the source's last: duplicate;
4. worth beyond what sums can hold: dead;
5. of `loans`, out of the order of its loan: dead, and an alert;
6. else accepted, late or folded.

Only what is accepted moves anything: the source's `seq`, worth and sums, and the loan. So a refused event leaves a gap
behind it, the same `seq` told again is no duplicate, and what follows on its loan is held against the steps before it.

Where the `seq` of each source simply rises within the bound, and all fits, checks 2 to 4 pass whatever check 5 says:
taking events out leaves the rest rising, in bounds and worth less. Then only check 5 is walked, and of it only the
suspect loans. Elsewhere the stretch is walked one by one in log order, all sources together since a loan may, against
the contract, be told of by several.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jinliu.oracle.alerts import CAP, ORDER, Alert, above_cap
from jinliu.oracle.columns import Bool, Int64, longs, mapped
from jinliu.oracle.contract import LOANS
from jinliu.oracle.loanlife import Chapter
from jinliu.oracle.loanrules import contradictory, loans
from jinliu.oracle.loansteps import Breach
from jinliu.oracle.rules import NOBODY, Rules

if TYPE_CHECKING:
    from jinliu.oracle.accept import Acceptor, Source

ROUNDING = 1e-6
"""A sum of doubles over a chunk is nearer to the sum than this part of it."""


class Stretch:
    """A chunk's events as columns; `judge` is given its stretches in order, then `close` is called."""

    def __init__(self, acceptor: "Acceptor", events: pa.RecordBatch, offsets: Int64) -> None:
        """offsets: int64[events] in the partition."""
        self.of, self._events, self._offsets = acceptor, events, offsets
        rules = acceptor.rules
        self.folded = np.zeros(events.num_rows, bool)
        self._accepted = np.zeros(events.num_rows, bool)
        self._broken: dict[int, Breach] = {}
        codes = {name: code for code, name in enumerate(rules.roster)}
        self.source = mapped(events.column("source"), codes, -1)
        self.seq = longs(events, "seq")
        self.time = longs(events, "event_time")
        self.amount = longs(events, "amount_fen")
        self.weight = longs(events, "weight") if "weight" in events.schema.names else np.ones_like(self.amount)
        self.worth: Int64 = np.sum([longs(events, name) for name in rules.worth], axis=0, dtype=np.int64)
        refused = _refused(self.time, events, rules, acceptor.shard)
        self._told = loans(events, rules.places) if rules.topic == LOANS else None
        self._chapter: Chapter | None = None
        if self._told is not None:
            refused |= contradictory(events, self._told)
            self._chapter = Chapter(acceptor.lives, self._told, ~refused & (self.source >= 0))
        self.refused = refused

    def judge(self, lo: int, hi: int) -> None:
        """Judge events [lo, hi): no tick lies among them."""
        of, rules = self.of, self.of.rules
        parts: dict[int, Int64] = {}
        simple = True
        for code, rows in self._by_source(lo, hi):
            dead = self.refused[rows] if code >= 0 else np.ones(len(rows), bool)
            if dead.any():
                of.ledgers[rules.roster[code] if code >= 0 else NOBODY].dead += int(dead.sum())
                rows = rows[~dead]
            if len(rows):
                parts[code] = rows
                simple = simple and self._simple(rows, of.sources[code])
        before = {code: of.sources[code].seq for code in parts}
        kept = self._in_order(parts, lo, hi) if simple else self._one_by_one(parts)
        for code, rows in kept.items():
            state, ledger = of.sources[code], of.ledgers[rules.roster[code]]
            skipped = state.seq - before[code] - len(rows)
            state.gap += skipped
            ledger.missing += skipped
            if len(rows):
                self._take(code, rows)

    def close(self) -> None:
        """Enter what the chunk leaves of its loans, and its alerts."""
        if self._told is None or self._chapter is None:
            return
        self._chapter.close()
        found: list[tuple[int, str, float | None, float | None]] = [
            (row, ORDER, why.value, why.limit) for row, why in self._broken.items()
        ]
        above = above_cap(self._told, self.time, self._accepted, self.of.rules.caps)
        found += [(row, CAP, share, cap) for row, share, cap in above]
        lenders = self._events.column("lender")
        for row, rule, value, bound in sorted(found, key=lambda each: each[0]):
            at = (self.of.rules.topic, self.of.shard, int(self._offsets[row]))
            subject, lender = f"loan {self._told.loan[row]}", lenders[row].as_py()
            self.of.alerts.append(Alert(rule, int(self.time[row]), *at, subject, lender, value, bound))

    def _by_source(self, lo: int, hi: int) -> Iterator[tuple[int, Int64]]:
        """(code, rows in log order) of each source that tells something in [lo, hi)."""
        source = self.source[lo:hi]
        if (source == source[0]).all():
            yield int(source[0]), np.arange(lo, hi)
            return
        for code in np.unique(source).tolist():
            yield code, lo + np.flatnonzero(source == code)

    def _simple(self, rows: Int64, state: "Source") -> bool:
        """Whether checks 2 to 4 refuse none of a source's rows; sometimes it says no where they do not."""
        seq, rules = self.seq[rows], self.of.rules
        rising = state.seq < int(seq[0]) and bool((seq[1:] > seq[:-1]).all())
        if not rising or int(seq[-1]) - state.seq > rules.max_seq_jump or self._far(rows, state).any():
            return False
        worth = float((self.worth[rows].astype(float) * self.weight[rows]).sum())
        return state.worth + worth * (1 + ROUNDING) < rules.worth_max

    def _far(self, rows: Int64, state: "Source") -> Bool:
        """Check 2: bool[rows]."""
        far: Bool = self.time[rows] > state.tick_end + self.of.rules.patience_ms
        return far

    def _in_order(self, parts: dict[int, Int64], lo: int, hi: int) -> dict[int, Int64]:
        """By source the rows that are accepted of a stretch which only check 5 can refuse any of."""
        broken = self._out_of_order(lo, hi)
        kept = {}
        for code, rows in parts.items():
            if broken:
                out = np.isin(rows, broken)
                self.of.ledgers[self.of.rules.roster[code]].dead += int(out.sum())
                rows = rows[~out]
            if len(rows):
                state = self.of.sources[code]
                state.seq = int(self.seq[rows[-1]])
                state.worth += int((self.worth[rows] * self.weight[rows]).sum())
            kept[code] = rows
        return kept

    def _out_of_order(self, lo: int, hi: int) -> list[int]:
        """Check 5 over a stretch whose rows all pass the others: those that break the order of their loan."""
        if self._chapter is None:
            return []
        suspect = lo + np.flatnonzero(self._chapter.suspect[lo:hi])
        return [row for row in suspect.tolist() if self._breaks_order(row)]

    def _breaks_order(self, row: int) -> bool:
        """Check 5 of one event, which passes the others."""
        why = None if self._chapter is None else self._chapter.breach(row)
        if why is not None:
            self._broken[row] = why
        return why is not None

    def _one_by_one(self, parts: dict[int, Int64]) -> dict[int, Int64]:
        """By source the rows that are accepted, in log order: as the rules are written."""
        rules, chapter = self.of.rules, self._chapter
        kept: dict[int, list[int]] = {code: [] for code in parts}
        far = {row for code, rows in parts.items() for row in rows[self._far(rows, self.of.sources[code])].tolist()}
        for row in np.sort(np.concatenate([np.empty(0, np.int64), *parts.values()])).tolist():
            code, number = int(self.source[row]), int(self.seq[row])
            state, ledger = self.of.sources[code], self.of.ledgers[rules.roster[code]]
            worth = state.worth + int(self.worth[row]) * int(self.weight[row])
            if row in far or number - state.seq > rules.max_seq_jump:
                ledger.dead += 1
            elif number <= state.seq:
                ledger.duplicate += 1
            elif worth > rules.worth_max:
                ledger.dead += 1
            elif self._breaks_order(row):
                ledger.dead += 1
                continue
            else:
                state.seq, state.worth = number, worth
                kept[code].append(row)
                continue
            if chapter is not None:
                chapter.deny(row)
        return {code: np.array(rows, np.int64) for code, rows in kept.items()}

    def _take(self, code: int, rows: Int64) -> None:
        """Enter a source's accepted rows: its sums since the last tick, late or folded, and what no tick counts."""
        of, state, time = self.of, self.of.sources[code], self.time[rows]
        ledger = of.ledgers[of.rules.roster[code]]
        self._accepted[rows] = True
        state.events += len(rows)
        state.amount += int(self.amount[rows].sum())
        late = time < of.floor
        ledger.late += int(late.sum())
        ledger.folded += int(len(rows) - late.sum())
        self.folded[rows[~late]] = True
        state.latest = max(state.latest, int(time.max()))
        for i in np.flatnonzero(time < state.tick_end).tolist():  # the tick of its time did not count it
            moment = int(time[i])
            of.lose(of.rules.roster[code], moment, moment + 1, int(late[i]), of.floor)


def _refused(time: Int64, events: pa.RecordBatch, rules: Rules, shard: int) -> Bool:
    """Events that lie outside the run, its words, ranges or the shard: bool[n]."""
    bad: Bool = (time < rules.start_ms) | (time >= rules.end_ms)
    for name, words in rules.words.items():
        bad |= mapped(events.column(name), dict.fromkeys(words, 0), -1) < 0
    for name, (least, most) in rules.ranges.items():
        value = longs(events, name)
        bad |= (value < least) | (value > most)
    if rules.person:
        person = longs(events, rules.person)
        bad |= (person < 0) | (person >= rules.persons) | (person % rules.shards != shard)
    if rules.institution:
        bad |= mapped(events.column(rules.institution), rules.places, -1) % rules.shards != shard
    return bad
