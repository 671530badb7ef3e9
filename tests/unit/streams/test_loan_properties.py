"""Whatever the lives told, the chunks, commits and crashes: the loans, the verdicts and the alerts of a shard are those
of plain Python, and money is conserved.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from streams import loankernel as k
from streams import loanpages
from streams.alerts import Alert
from streams.loanbook import FIELDS, LoanBook
from streams.loanbreach import LOAN_ORDER, STAGES
from streams.shard import DeadLetter, ShardState
from tests.unit.streams.chunks import DAY, ROSTER, rows
from tests.unit.streams.loanlives import OPENED, PLAN, PRODUCTS, START, random_step, tick
from tests.unit.streams.loans import MARKS, PARTIES, Loans, LoanTruth

SEEDS = st.integers(0, 2**32)
WRONG: tuple[dict[str, Any], ...] = ({"weight": 0}, {"event_time": START + 40 * DAY}, {"seq": 2**62})


def book_of(state: ShardState) -> LoanBook:
    assert state._ledger.loans is not None
    return state._ledger.loans


def held(book: LoanBook) -> dict[int, tuple[Any, ...]]:
    """The book's loans by number as the reference has them: parties, stage, what is left and the bank's part of it,
    commissions, mark, and of a loan that was lent its vintage.
    """
    found = {}
    for row in book.loans().tolist():
        loan = dict(zip(FIELDS, row, strict=True))
        codes = loan["parties"]
        words = book.plan.decoder.vocabularies
        parties = (
            loan["borrower_id"], loan["weight"], book._words["product"][codes & 0xFF],
            words["lender"][codes >> 8 & 0xFFFF], words["bank"][codes >> 24 & 0xFFFF], words["platform"][codes >> 40],
        )  # fmt: skip
        stand, left = loan["stand"], (loan["left_fen"], loan["bank_left_fen"])
        commissions, mark, vintage = stand >> k.COMMISSIONED & 1, stand >> k.MARK & 7, stand >> k.VINTAGE
        found[loan["loan_id"]] = (*parties, STAGES[stand & k.STAGE], *left, commissions, MARKS[mark], vintage)
    assert list(found) == sorted(found)
    assert len(found) == book.held
    return found


def expected(loans: Loans) -> dict[int, tuple[Any, ...]]:
    return {
        number: (
            *(loan.first[name] for name in PARTIES),
            loan.stage,
            loan.outstanding + loan.written_off - loan.recovered,
            loan.bank_outstanding + loan.bank_written_off - loan.bank_recovered,
            loan.commissions,
            loan.mark,
            loan.vintage,
        )
        for number, loan in loans.held.items()
    }


def check_money(loans: Loans) -> None:
    for loan in (*loans.held.values(), *loans.over):
        assert loan.funded == loan.repaid + loan.written_off + loan.outstanding
        assert min(loan.repaid, loan.written_off, loan.outstanding) >= 0
        assert 0 <= loan.recovered <= loan.written_off


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, size=st.integers(1, 50), count=st.integers(0, 400))
def test_a_log_told_in_order_is_judged_as_in_plain_python(seed: int, size: int, count: int) -> None:
    draw, telling, log = random.Random(seed), LoanTruth(PLAN, 0), list(OPENED)
    telling.tell(OPENED)
    for seq in range(1, count + 1):
        event = random_step(draw, telling.loans) | {"seq": seq}
        log.append(event)
        telling.tell([event])
        check_money(telling.loans)
    state = ShardState(PLAN, 0)
    for first in range(0, len(log), size):
        part = log[first : first + size]
        state.fold(rows(PLAN, part, first), first, first + len(part) - 1)
    changes = state.take()
    assert held(book_of(state)) == expected(telling.loans)
    assert [letter.offset for letter in changes.dead] == [n for n, v in enumerate(telling.verdicts) if v == "dead"]
    assert [alert.offset for alert in changes.alerts] == telling.breaches


def test_the_lives_told_by_chance_reach_every_stage_and_break_every_rule() -> None:
    """So that the properties above and below are about something."""
    draw, telling, log = random.Random(7), LoanTruth(PLAN, 0), list(OPENED)
    telling.tell(OPENED)
    stages, products = set(), set()
    for seq in range(1, 6001):
        event = random_step(draw, telling.loans, 100) | {"seq": seq}
        log.append(event)
        telling.tell([event])
        stages |= {loan.stage for loan in telling.loans.held.values()}
        products |= {loan.first["product"] for loan in telling.loans.over}
    state = ShardState(PLAN, 0)
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    changes = state.take()
    assert stages == set(STAGES) - {"NONE"}
    assert products == set(PRODUCTS)
    texts = {letter.reason for letter in changes.dead}
    for part in (
        "SCREENED after NONE", "REPAID after WRITTEN_OFF", "with another borrower, weight", "by BORROWER after OPEN",
        "OFFERED after SCREENED of a JOINT loan", "a second COMMISSION", "of a COFINANCED loan's FUNDED",
        "outstanding_fen of DUE is not", "principal_fen of REPAID exceeds", "all that is outstanding is written off",
        "amount_fen of RECOVERED exceeds", "bank's part of REPAID is not", "bank's part of CHARGED_OFF is not",
        "platform_fen of RECOVERED exceeds", "arrears of PAST_DUE do not", "arrears of REPAID do not",
        "vintage and months_on_book of FUNDED", "vintage and months_on_book of DUE",
    ):  # fmt: skip
        assert any(part in text for text in texts), part
    assert telling.verdicts.count("fold") > 3000


class Shard(RuleBasedStateMachine):
    """Sources tell lives, twice, late or badly; the engine folds in chunks, stores, crashes."""

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.log: list[Any] = list(OPENED)
        self.telling = LoanTruth(PLAN, 0).tell(OPENED)
        self.seq = dict.fromkeys(ROSTER, 1)
        self.day = dict.fromkeys(ROSTER, 0)
        self.stored: dict[bytes, bytes | None] = {}
        self.dead: list[DeadLetter] = []
        self.alerts: list[Alert] = []
        self.state = ShardState(PLAN, 0)

    def _tell(self, record: Any, times: int = 1) -> None:
        self.log.extend([record] * times)
        self.telling.tell([record] * times)
        self.seq[record["source"]] += 1

    @rule(count=st.integers(1, 12), times=st.sampled_from((1, 1, 1, 2)), name=st.sampled_from(ROSTER))
    def tell(self, count: int, times: int, name: str) -> None:
        for _ in range(count):
            day = START + min(self.day[name], 7) * DAY + self.draw.randrange(DAY)
            when = {"source": name, "seq": self.seq[name], "event_time": day}
            self._tell(random_step(self.draw, self.telling.loans) | when, times)

    @rule(name=st.sampled_from(ROSTER))
    def tell_late(self, name: str) -> None:
        when = {"source": name, "seq": self.seq[name], "event_time": START}
        self._tell(random_step(self.draw, self.telling.loans) | when)

    @rule(name=st.sampled_from(ROSTER), wrong=st.sampled_from(WRONG))
    def tell_what_is_dead_before_it_is_looked_at(self, name: str, wrong: dict[str, Any]) -> None:
        record = random_step(self.draw, self.telling.loans) | {"source": name, "seq": self.seq[name]} | wrong
        self.log.append(record)
        self.telling.tell([record])

    @rule(name=st.sampled_from(ROSTER), days=st.integers(1, 2))
    def end_ticks(self, name: str, days: int) -> None:
        for _ in range(days):
            if self.day[name] < 8:
                self._tell(tick(name, self.seq[name], self.day[name]))
                self.day[name] += 1

    @rule(size=st.integers(0, 30))
    def fold(self, size: int) -> None:
        first = self.state.next_offset
        last = min(first + size, len(self.log)) - 1
        self.state.fold(rows(PLAN, self.log[first : last + 1], first), first, last)

    @rule()
    def commit(self) -> None:
        changes = self.state.take()
        for key, value in changes.state:
            assert value is not None or key in self.stored, "tombstones only for what was stored"
            self.stored[key] = value
        self.dead += changes.dead
        self.alerts += changes.alerts
        restored = ShardState.restore(PLAN, 0, self.stored)
        np.testing.assert_array_equal(book_of(restored).loans(), book_of(self.state).loans())

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
        self.commit()
        assert held(book_of(self.state)) == expected(self.telling.loans)
        check_money(self.telling.loans)
        dead = [number for number, verdict in enumerate(self.telling.verdicts) if verdict == "dead"]
        assert [letter.offset for letter in self.dead] == dead
        assert [alert.offset for alert in self.alerts if alert.rule == LOAN_ORDER] == self.telling.breaches
        for row in self.state.accounts():
            for name in ("folded", "late", "duplicate", "dead", "ticks", "missing"):
                assert getattr(row, name) == self.telling.accounts[row.source][name], (row.source, name)
            assert row.received == row.folded + row.late + row.duplicate + row.dead
        assert sum(row.received + row.ticks for row in self.state.accounts()) == len(self.log)
        whole = ShardState(PLAN, 0)
        whole.fold(rows(PLAN, self.log), 0, len(self.log) - 1)
        np.testing.assert_array_equal(book_of(whole).loans(), book_of(self.state).loans())
        assert whole.take().alerts == self.alerts


class ShardOfSmallPages(Shard):
    """The same with a new base at every other commit, and pages of two loans."""

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        super().begin(seed)
        self.sizes = loanpages.PAGE_LOANS, loanpages.DELTA_LOANS
        loanpages.PAGE_LOANS, loanpages.DELTA_LOANS = 2, 3

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "sizes"):
                loanpages.PAGE_LOANS, loanpages.DELTA_LOANS = self.sizes


TestShard = Shard.TestCase
TestShard.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestShardOfSmallPages = ShardOfSmallPages.TestCase
TestShardOfSmallPages.settings = TestShard.settings
