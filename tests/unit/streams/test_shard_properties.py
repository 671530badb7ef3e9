"""A shard is a function of its partition's prefix: whatever the chunks, commits and crashes, the closed windows are
those of plain Python.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from streams.partials import FINAL, INCOMPLETE, PROVISIONAL, Partial
from streams.shard import META, ShardState
from tests.unit.streams import everything
from tests.unit.streams.bruteforce import Truth
from tests.unit.streams.chunks import BANKS, DAY, ROSTER, payment, plan_for, rows, tick

PLAN = plan_for([everything.METRIC], waiting=(1, 2), span=(4 * DAY, 12 * DAY, DAY))
CARRIED_ROW = b"everything|so-far|carried|0"
SOURCES = st.sampled_from(ROSTER)
EVENTS = st.fixed_dictionaries(
    {
        "payer_id": st.integers(0, 99).map(lambda n: 2 * n),
        "scene": st.sampled_from(("DINING", "SHOPPING", "TRAVEL")),
        "channel": st.sampled_from(("ALIPAY", "BANK")),
        "outcome": st.sampled_from(("SUCCESS", "TIMEOUT")),
        "instrument": st.sampled_from(("QR", "NFC")),
        "payer_bank": st.sampled_from(BANKS),
        "flagged": st.booleans(),
        "amount_fen": st.one_of(st.integers(0, 10**9), st.just(10**10)),
        "weight": st.one_of(st.integers(1, 1000), st.just(10**7)),
        "latency_ms": st.integers(0, 400),
    }
)
MISFITS = st.sampled_from(
    [
        {"amount_fen": -1},
        {"weight": 0},
        {"payer_bank": "nowhere"},
        {"payee_bank": "nowhere"},
        {"payer_id": 1},
        {"payer_id": 200},
        {"payer_id": -2},
        {"event_time": 4 * DAY - 1},
        {"event_time": 12 * DAY},
        {"source": "stranger"},
        {"seq": 3_000_000},
        {"amount_fen": 2**62},
        {"latency_ms": 60_001},
        {"latency_ms": -1},
    ]
)


class Shard(RuleBasedStateMachine):
    """Sources tell, now and then badly; the engine folds what is told in chunks, stores it, crashes."""

    @initialize()
    def begin(self) -> None:
        self.log: list[Any] = []
        self.seq = dict.fromkeys(ROSTER, 0)
        self.day = dict.fromkeys(ROSTER, 4)
        self.sent: dict[str, list[int]] = {name: [] for name in ROSTER}
        self.stored: dict[bytes, bytes | None] = {}
        self.partials: dict[tuple[str, str, int], Partial] = {}
        self.dead = 0
        self.state = ShardState(PLAN, 0)
        for name in ROSTER:
            self._tell(tick(name, 0, 4 * DAY, 4 * DAY, kind="OPEN"))

    def _tell(self, record: Any, times: int = 1) -> None:
        self.log.extend([record] * times)
        self.seq[record["source"]] += 1

    # -- sources ----------------------------------------------------------------------------------------------------
    @rule(
        name=SOURCES,
        events=st.lists(EVENTS, max_size=4),
        times=st.sampled_from((1, 1, 1, 2)),
        at=st.integers(0, DAY - 1),
    )
    def tell(self, name: str, events: list[dict[str, Any]], times: int, at: int) -> None:
        if self.day[name] < 12:
            for event in events:
                when = {"event_time": self.day[name] * DAY + at, "source": name, "seq": self.seq[name]}
                self._tell(payment(**event, **when), times)
                self.sent[name].append(event["amount_fen"])

    @rule(name=SOURCES, days=st.integers(1, 3), lost=st.sampled_from((False, False, False, True)))
    def end_ticks(self, name: str, days: int, lost: bool) -> None:
        for _ in range(days):
            if self.day[name] < 12:
                start, sent = self.day[name] * DAY, self.sent[name]
                record = tick(name, self.seq[name], start, start + DAY, len(sent), sum(sent))
                if lost:
                    self.seq[name] += 1
                else:
                    self._tell(record)
                self.day[name] += 1
                self.sent[name] = []

    @precondition(lambda self: max(self.day.values()) == 12)
    @rule(name=SOURCES)
    def close(self, name: str) -> None:
        if self.day[name] == 12:
            self._tell(tick(name, self.seq[name], 12 * DAY, 12 * DAY, kind="CLOSE"))
            self.day[name] = 13

    @rule(name=SOURCES, amount=st.integers(0, 9))
    def lose_event(self, name: str, amount: int) -> None:
        self.seq[name] += 1
        self.sent[name].append(amount)

    @rule(name=SOURCES, misfit=MISFITS)
    def tell_misfit(self, name: str, misfit: dict[str, Any]) -> None:
        when = {"event_time": min(self.day[name], 11) * DAY, "source": name, "seq": self.seq[name]}
        self.log.append(payment(**when) | misfit)

    @rule(name=SOURCES, day=st.integers(4, 11))
    def tell_out_of_time(self, name: str, day: int) -> None:
        self._tell(payment(event_time=day * DAY, source=name, seq=self.seq[name]))
        self.sent[name].append(100)

    @rule(code=st.sampled_from((-1, -2, -3)))
    def tell_noise(self, code: int) -> None:
        self.log.append(code)

    @rule(
        name=SOURCES,
        kind=st.sampled_from(("OPEN", "TICK", "CLOSE")),
        day=st.integers(3, 13),
        days=st.sampled_from((1, 1, 2)),
        shard=st.sampled_from((0, 0, 1)),
    )
    def tell_odd_tick(self, name: str, kind: str, day: int, days: int, shard: int) -> None:
        stop = day + days if kind == "TICK" else day
        self._tell(tick(name, self.seq[name], day * DAY, stop * DAY, 1, 5, kind, shard))

    # -- the engine -------------------------------------------------------------------------------------------------
    @rule(size=st.integers(0, 12))
    def fold(self, size: int) -> None:
        first = self.state.next_offset
        last = min(first + size, len(self.log)) - 1
        self.state.fold(rows(PLAN, self.log[first : last + 1], first), first, last)

    @rule(provisional=st.booleans())
    def commit(self, provisional: bool) -> None:
        changes = self.state.take(provisional)
        assert changes.upto == self.state.next_offset
        assert not self.state.dirty
        for key, value in changes.state:
            assert value is not None or key in self.stored, "tombstones only for what was stored"
            self.stored[key] = value
        for partial in changes.partials:
            place = (partial.rollup, partial.window, partial.window_start)
            former = self.partials.get(place)
            assert partial.revision == (former.revision + 1 if former else 1)
            assert former is None or former.status == PROVISIONAL, "closed is closed"
            self.partials[place] = partial
        self.dead += len(changes.dead)

    @rule(taken=st.booleans())
    def crash(self, taken: bool) -> None:
        """The transaction of the last take, if there was one, did not happen."""
        if taken:
            self.state.take()
        self.state = ShardState.restore(PLAN, 0, self.stored)

    def teardown(self) -> None:
        if not hasattr(self, "state"):
            return
        self.fold(len(self.log))
        self.commit(True)
        truth = Truth(PLAN, 0).tell(self.log)
        assert self.dead == truth.verdicts.count("dead")
        self._same_accounts(truth)
        closed = truth.closed()
        for window, start, end in truth.all_windows:
            found = [self.partials.get((rollup, window, start)) for rollup in ("keyed", "people")]
            events = [event for event in truth.folded if start <= event["event_time"] < end]
            missing = truth.incomplete.get((window, start), {})
            if (window, start, end) in closed:
                assert {p.status for p in found if p} == {INCOMPLETE if missing else FINAL}
                assert all(p is not None and p.missing == missing for p in found)
            else:
                assert {p.status for p in found if p} <= {PROVISIONAL}
                assert all(p is not None for p in found) or not events or not found[0]
            self._same_so_far(truth, window, start, end, (window, start, end) in closed)
            present = [p for p in found if p is not None]
            if len(present) == 2:
                assert everything.unpacked(PLAN, present) == everything.sums(events)
        live = {key for key, value in self.stored.items() if value is not None} - {META, CARRIED_ROW}
        assert live <= {
            f"everything|{p.rollup}|{p.window}|{p.index}".encode()
            for p in self.partials.values()
            if p.status == PROVISIONAL
        }

    def _same_so_far(self, truth: Truth, window: str, start: int, end: int, closed: bool) -> None:
        """The cumulative rollup's partial of a window; one that is open may not have been written."""
        found = self.partials.get(("so-far", window, start))
        if closed:
            missing = truth.incomplete_since.get((window, start), {})
            assert found is not None
            assert (found.status, found.missing) == (INCOMPLETE if missing else FINAL, missing)
        if found is not None:
            events = [event for event in truth.folded if event["event_time"] < end]
            assert everything.unpacked(PLAN, [found]) == everything.so_far(events)

    def _same_accounts(self, truth: Truth) -> None:
        for row in self.state.accounts():
            expected = truth.accounts[row.source]
            for name in ("folded", "late", "duplicate", "dead", "ticks", "missing"):
                assert getattr(row, name) == expected[name], (row.source, name)
            assert row.received == row.folded + row.late + row.duplicate + row.dead
        assert sum(row.received + row.ticks for row in self.state.accounts()) == len(self.log)


TestShard = Shard.TestCase
TestShard.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
