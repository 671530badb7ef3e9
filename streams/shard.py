"""The state of one shard of a topic: a function of its partition's prefix, whatever the chunks, restarts and
takeovers between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from streams import stored
from streams.errors import OffsetOrder, StateMismatch, SumOverflow
from streams.ledger import ACCOUNT_FIELDS, INFINITY, Defect, Ledger
from streams.loanpages import LoanPages, is_page
from streams.metrics.accounting import AccountingRow
from streams.openwindows import CARRIED, OpenWindows, Written
from streams.partials import FINAL, INCOMPLETE, PROVISIONAL, Partial
from streams.plan import TICK, TopicPlan

if TYPE_CHECKING:
    from schemas.decode import Rows
    from streams.alerts import Alert
    from streams.loanbreach import Step
    from streams.openwindows import BoundRollup

VERSION = 5
META = b"meta"
CARRIED_NAME = "carried"
"""What the stored row of a cumulative rollup's closed windows has in the place of a window's name."""
BEFORE = -1
"""The number under which is kept what cumulative rollups miss of all windows that are closed."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read or was refused, whole, with the reason and where it came from."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(slots=True)
class Changes:
    """What one transaction holds. upto: next offset to fold. closed: every window that ends at or before it is closed
    (UTC ms).

    state: (key, value) rows for `state.<topic>`, None is a tombstone. accounting: rows that changed. alerts: of events
    folded or refused since, in log order.
    """

    upto: int
    closed: int
    state: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    accounting: list[AccountingRow] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


class ShardState:
    """Folds a partition's chunks in offset order; `take` hands out what changed since the last time and counts it as
    stored.

    A transaction that fails loses the state: drop it, restore from what was stored, and fold from its `next_offset`.
    """

    def __init__(self, plan: TopicPlan, shard: int) -> None:
        self.plan, self.shard = plan, shard
        self.next_offset = 0
        self.wall_ms = 0
        self._ledger = Ledger(plan, shard)
        self._pages = LoanPages(self._ledger.loans, shard) if self._ledger.loans is not None else None
        self._open = [
            OpenWindows(bound, run, plan.shards) for bound, run in zip(plan.rollups, plan.passes, strict=True)
        ]
        self._revisions: list[list[dict[int, int]]] = [[{} for _ in bound.windows] for bound in plan.rollups]
        self._tables = {windows.name: windows for bound in plan.rollups for windows in bound.windows}
        self._missing: dict[str, dict[int, dict[str, int]]] = {name: {} for name in self._tables}
        self._since: dict[str, dict[int, dict[str, int]]] = {name: {} for name in self._tables}
        self._partials: list[Partial] = []
        self._dead: list[DeadLetter] = []
        self._alerts: list[Alert] = []
        self._accounted = self._ledger.accounts.copy()
        self._taken = 0
        self._closed_ms = self.floor_ms

    # -- folding ----------------------------------------------------------------------------------------------------
    @property
    def dirty(self) -> bool:
        """Whether anything was folded since the last `take`."""
        return self.next_offset != self._taken

    @property
    def floor_ms(self) -> int:
        """Events before it are late; windows that end at or before it are closed. 2^63 - 1 when every source is
        closed.
        """
        return self._ledger.floor_ms

    def fold(self, rows: Rows, first: int, last: int) -> None:
        """Fold a chunk that covers the offsets first..last (it may hold fewer rows: control records, aborted
        transactions).

        Raises OffsetOrder unless `first` is `next_offset`, SumOverflow; after an error the state is not to be used.
        """
        if first != self.next_offset or last < first - 1:
            raise OffsetOrder(
                f"{self.plan.topic}/{self.shard}: chunk {first}..{last} where offset {self.next_offset} is next"
            )
        if rows.n:
            if rows.offset[0] < first or rows.offset[-1] > last:
                raise OffsetOrder(
                    f"{self.plan.topic}/{self.shard}: rows {rows.offset[0]}..{rows.offset[-1]} in chunk {first}..{last}"
                )
            self._fold(rows, last + 1)
        self.next_offset = last + 1

    def _fold(self, rows: Rows, upto: int) -> None:
        events = rows.columns[self.plan.record]
        walked = self._ledger.walk(rows.kind, events, rows.columns[TICK])
        self.wall_ms = max(self.wall_ms, int(rows.timestamp.max()))
        reasons = self._alert(rows, walked.steps)
        for row in walked.dead:
            key, value, timestamp = rows.raw(row)
            reason = reasons.get(row) or self._ledger.reason(int(walked.verdict[row]))
            offset, headers = int(rows.offset[row]), rows.headers(row)
            self._dead.append(DeadLetter(self.plan.topic, self.shard, offset, reason, key, value, timestamp, headers))
        if walked.folded:
            for windows in self._open:
                windows.fold(walked.keep, events, walked.latest_ms)
        for defect in walked.defects:
            self._note(defect)
        self._close(upto)

    def _alert(self, rows: Rows, steps: Sequence[Step]) -> dict[int, str]:
        """Note the alerts of loans' steps. Returns the reasons of those that were refused, by row."""
        reasons = {}
        for step in steps:
            row = int(rows.index[self.plan.record][step.event])
            self._alerts.append(step.alert(self.plan, self.shard, int(rows.offset[row])))
            if step.refused:
                reasons[row] = step.reason
        return reasons

    def _note(self, defect: Defect) -> None:
        """Make every window that overlaps the defect and was open when it showed INCOMPLETE; and of what is cumulative
        the first of them, or the first that was open, and every later one.
        """
        for name, windows in self._tables.items():
            low = max(windows.index(defect.start), windows.closed(defect.floor))
            _add(self._since[name].setdefault(low, {}), {defect.source: defect.missing})
            for index in range(low, windows.index(defect.end - 1) + 1):
                _add(self._missing[name].setdefault(index, {}), {defect.source: defect.missing})

    def _close(self, upto: int) -> None:
        floor = self.floor_ms
        if floor == self._closed_ms:
            return
        self._closed_ms = floor
        for number, windows in enumerate(self._open):
            for written in windows.close(floor):
                self._partials.append(self._partial(number, written, upto))
        for name, windows_table in self._tables.items():
            closed = windows_table.closed(floor)
            for index in [index for index in self._missing[name] if index < closed]:
                del self._missing[name][index]
            for index in [index for index in self._since[name] if BEFORE < index < closed]:
                _add(self._since[name].setdefault(BEFORE, {}), self._since[name].pop(index))

    def _partial(self, number: int, written: Written, upto: int) -> Partial:
        bound = self.plan.rollups[number]
        windows = bound.windows[written.level]
        revisions = self._revisions[number][written.level]
        revision = revisions.pop(written.index, 0) + 1
        missing = self._missing_of(bound, windows.name, written.index)
        status = PROVISIONAL
        if written.closed:
            status = INCOMPLETE if missing else FINAL
        else:
            revisions[written.index] = revision
        return Partial(
            metric=bound.metric, rollup=bound.name, topic=self.plan.topic, shard=self.shard,
            window=windows.name, index=written.index,
            window_start=windows.start(written.index), window_end=windows.end(written.index),
            status=status, revision=revision,
            missing=dict(sorted(missing.items())), upto=upto, wall=self.wall_ms, folded=written.packed,
        )  # fmt: skip

    def _missing_of(self, bound: BoundRollup, name: str, index: int) -> dict[str, int]:
        """Events known missing of a window by source; of a cumulative rollup, of all windows up to it."""
        if not bound.layout.rollup.cumulative:
            return self._missing[name].get(index, {})
        missing: dict[str, int] = {}
        for since, named in self._since[name].items():
            if since <= index:
                _add(missing, named)
        return missing

    # -- storing ----------------------------------------------------------------------------------------------------
    def take(self, provisional: bool = True) -> Changes:
        """Everything that changed, marked clean. Without `provisional` the partials of open windows wait for a later
        take.
        """
        changes = Changes(self.next_offset, self.floor_ms)
        if provisional:
            for number, windows in enumerate(self._open):
                self._partials.extend(
                    self._partial(number, written, self.next_offset) for written in windows.provisional()
                )
        changes.partials, self._partials = self._partials, []
        changes.dead, self._dead = self._dead, []
        changes.alerts, self._alerts = self._alerts, []
        changes.accounting = self._accounting()
        for number, windows in enumerate(self._open):
            bound = self.plan.rollups[number]
            for level, index, packed in windows.changes():
                name = CARRIED_NAME if level == CARRIED else bound.windows[level].name
                changes.state.append((_key(bound.metric, bound.name, name, index), packed))
        if self._pages is not None:
            changes.state += self._pages.changes()
        changes.state.append((META, self._meta()))
        self._taken = self.next_offset
        return changes

    def _accounting(self) -> list[AccountingRow]:
        accounts = self._ledger.accounts
        changed = np.flatnonzero((accounts != self._accounted).any(axis=1)).tolist()
        self._accounted = accounts.copy()
        return [self._account(number) for number in changed]

    def accounts(self) -> list[AccountingRow]:
        """The shard's accounting as it stands, by source in roster order, then the row that names none."""
        return [self._account(number) for number in range(len(self._ledger.accounts))]

    def _account(self, number: int) -> AccountingRow:
        counts = dict(zip(ACCOUNT_FIELDS, self._ledger.accounts[number].tolist(), strict=True))
        received = counts["folded"] + counts["late"] + counts["duplicate"] + counts["dead"]
        source = self.plan.roster[number] if number < len(self.plan.roster) else ""
        return AccountingRow(
            topic=self.plan.topic, shard=self.shard, source=source, received=received, upto=self.next_offset, **counts
        )

    def _meta(self) -> bytes:
        meta = {
            "version": VERSION,
            "span": [
                self.plan.start_ms,
                self.plan.end_ms,
                self.plan.tick_ms,
                self.plan.lateness_ticks,
                self.plan.patience_ticks,
            ],
            "shards": self.plan.shards,
            "roster": self.plan.roster,
            "rollups": self._rollup_tags(),
            "next_offset": self.next_offset,
            "wall_ms": self.wall_ms,
            "clock": self._ledger.clock.tolist(),
            "books": self._ledger.books.tolist(),
            "accounts": self._ledger.accounts.tolist(),
            "missing": {name: windows for name, windows in self._missing.items() if windows},
            "since": {name: windows for name, windows in self._since.items() if windows},
            "revisions": self._revisions,
            **({} if self._pages is None else {"book": self._pages.meta}),
        }
        return json.dumps(meta, separators=(",", ":")).encode()

    def _rollup_tags(self) -> dict[str, list[str]]:
        return {
            f"{bound.metric}|{bound.name}": [bound.layout.tag.hex(), *(windows.name for windows in bound.windows)]
            for bound in self.plan.rollups
        }

    @classmethod
    def restore(cls, plan: TopicPlan, shard: int, state: Mapping[bytes, bytes | None]) -> ShardState:
        """The state as `take` stored it (the newest value of each key); a new one from an empty mapping.

        Rows whose key the plan does not know are passed over with a warning. Raises StateMismatch if it belongs to
        another run, version or definition, or makes no sense.
        """
        self = cls(plan, shard)
        where = f"state.{plan.topic}/{shard}"
        rows = {key: value for key, value in state.items() if value is not None}
        text = rows.pop(META, None)
        pages = {key: rows.pop(key) for key in list(rows) if self._pages is not None and is_page(key)}
        if text is None:
            if found := len(self._known(where, rows)) + len(pages):
                raise StateMismatch(f"{where} holds {found} rows but no position: use a new prefix or data directory")
            return self
        meta = stored.document(where, META, text)
        self._check(meta)
        ledger, tables = self._ledger, [bound.windows for bound in plan.rollups]
        arrays = {"clock": ledger.clock, "books": ledger.books, "accounts": ledger.accounts}
        try:
            stored.check_meta(meta, arrays, self._tables, tables, plan.roster)
            self._adopt(meta)
        except stored.WRONG as error:
            raise stored.mismatch(where, META, f"{type(error).__name__}: {error}") from error
        for key, number, level, index in self._known(where, rows):
            try:
                self._open[number].restore(level, index, rows[key])
            except (StateMismatch, SumOverflow) as error:
                raise stored.mismatch(where, key, error) from error
        if self._pages is not None:
            self._pages.restore(where, META, meta.get("book"), pages)
        return self

    def _known(self, where: str, rows: Mapping[bytes, bytes]) -> list[tuple[bytes, int, int, int]]:
        """(key, rollup, level, window number) of the stored rows that are open windows of the plan; warns of others."""
        levels = {
            (bound.metric, bound.name, windows.name): (number, level)
            for number, bound in enumerate(self.plan.rollups)
            for level, windows in enumerate(bound.windows)
        } | {
            (bound.metric, bound.name, CARRIED_NAME): (number, CARRIED)
            for number, bound in enumerate(self.plan.rollups)
            if bound.layout.rollup.cumulative
        }
        known = []
        for key in rows:
            try:
                metric, rollup, window, text = key.decode().rsplit("|", 3)
                number, level = levels[metric, rollup, window]
                low, last = 0, 0
                if level != CARRIED:
                    low, last = self._open[number].opened[level], self.plan.rollups[number].windows[level].count - 1
                index = stored.integer(int(text), low, last)
                if key != _key(metric, rollup, window, index):
                    raise ValueError(text)
            except (ValueError, KeyError):
                stored.ignored(where, key, "no open window of a rollup of this run has this key")
            else:
                known.append((key, number, level, index))
        return known

    def _check(self, meta: Mapping[str, Any]) -> None:
        mine = json.loads(self._meta())
        for name in ("version", "span", "shards", "roster", "rollups"):
            if meta.get(name) != mine[name]:
                raise StateMismatch(
                    f"state.{self.plan.topic}/{self.shard} was written with another {name} "
                    f"({meta.get(name)}, now {mine[name]}): use a new prefix or data directory"
                )

    def _adopt(self, meta: Mapping[str, Any]) -> None:
        self.next_offset = self._taken = meta["next_offset"]
        self.wall_ms = meta["wall_ms"]
        ledger = self._ledger
        ledger.clock[:], ledger.books[:], ledger.accounts[:] = meta["clock"], meta["books"], meta["accounts"]
        self._accounted = ledger.accounts.copy()
        for table, found in ((self._missing, meta["missing"]), (self._since, meta["since"])):
            for name, windows in found.items():
                table[name] = {int(index): dict(named) for index, named in windows.items()}
        self._revisions = [
            [{int(index): count for index, count in level.items()} for level in rollup] for rollup in meta["revisions"]
        ]
        self._closed_ms = self.floor_ms
        for open_windows in self._open:
            open_windows.opened = [windows.closed(self.floor_ms) for windows in open_windows.bound.windows]

    @property
    def closed(self) -> bool:
        """Whether every source has told its CLOSE, so that nothing is to come."""
        return self.floor_ms == INFINITY


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for source, count in more.items():
        counts[source] = counts.get(source, 0) + count


def _key(metric: str, rollup: str, window: str, index: int) -> bytes:
    return f"{metric}|{rollup}|{window}|{index}".encode()
