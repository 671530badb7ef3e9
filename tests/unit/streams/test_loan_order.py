"""Rules on a loan's life: lives that keep them, for each rule one that breaks it, and the alerts that are raised."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from schemas import catalog, wire
from streams.fetch import Chunk
from streams.folding import FoldTask
from streams.loankernel import month_of
from streams.options import Options
from streams.plan import TopicPlan, world_of
from streams.shard import Changes, ShardState
from tests.unit.streams.chunks import DAY, ROSTER, WORLD, plan_for, rows
from tests.unit.streams.loanlives import OPENED, PLAN, PRODUCTS, SPAN, START, application, parties, step, tick
from tests.unit.streams.loans import NEXT

CARD, JOINT, COFINANCED, PARTNERSHIP = map(parties, ("CARD", "JOINT", "COFINANCED", "PARTNERSHIP"))
LENT = application("CARD", 1000)
REFERRING = application("PARTNERSHIP", 1000)
CHARGED = [*LENT, step(CARD, "CHARGED_OFF", 1000)]
SHARED = application("JOINT", 1000, part=300)
LOST = step(JOINT, "CHARGED_OFF", 1000, part=300)
LATE = step(CARD, "PAST_DUE", 1, outstanding=1000)


def numbered(steps: Sequence[Any]) -> list[Any]:
    return [event | {"seq": 1 + n, "event_time": START + 1000 + n} for n, event in enumerate(steps)]


def told(steps: Sequence[Any], plan: TopicPlan = PLAN) -> Changes:
    """What comes of a life's steps, told one after the other by one source."""
    log = [*OPENED, *numbered(steps)]
    state = ShardState(plan, 0)
    state.fold(rows(plan, log), 0, len(log) - 1)
    changes = state.take()
    assert all(row.received == row.folded + row.late + row.duplicate + row.dead for row in changes.accounting)
    return changes


def held(steps: Sequence[Any]) -> list[list[int]]:
    log = [*OPENED, *numbered(steps)]
    state = ShardState(PLAN, 0)
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    assert state.take().dead == []
    assert state._ledger.loans is not None
    return state._ledger.loans.loans().tolist()


def repaid(shared: dict[str, Any], principal: int, left: int, ours: int = 0, **more: Any) -> Any:
    """ours: the platform's part of the loan, in thousandths."""
    parts = {"part": principal * ours // 1000, "theirs": left * ours // 1000}
    return step(shared, "REPAID", principal, outstanding=left, **parts, **more)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_life_from_application_to_the_last_instalment_is_accepted_and_forgotten(product: str) -> None:
    shared = parties(product)
    ours = {"COFINANCED": 10, "JOINT": 1000}.get(product, 0)
    life = application(product, 1000, part=ours)
    paid = [step(shared, "COMMISSION", 20)] if product == "PARTNERSHIP" else []
    rest = [
        step(shared, "DUE", 500, outstanding=1000, theirs=ours),
        step(shared, "PAST_DUE", 500, outstanding=1000, theirs=ours),
        repaid(shared, 400, 600, ours, arrears="DPD1"), repaid(shared, 600, 0, ours),
    ]  # fmt: skip
    assert len(held([*life, *paid, *rest[:-1]])) == 1
    assert held([*life, *paid, *rest]) == []
    assert held([*life, *paid, *rest, *life, *paid, *rest]) == [], "its number is free again"


@pytest.mark.parametrize("end", ["SCREENED", "REFERRED", "OFFERED"])
def test_an_application_may_end_without_a_loan(end: str) -> None:
    life = application("JOINT", 1000)[: 1 + ("APPLIED", "SCREENED", "REFERRED", "OFFERED").index(end)]
    assert held([*life, step(JOINT, "REJECTED", 1000)]) == []
    if end == "OFFERED":
        assert held([*life, step(JOINT, "ABANDONED", 1000)]) == []


def test_what_is_written_off_is_recovered_up_to_its_amount() -> None:
    recovered = step(CARD, "RECOVERED", 600)
    assert len(held([*CHARGED, recovered, step(CARD, "RECOVERED", 400), step(CARD, "RECOVERED", 0)])) == 1
    assert told([*CHARGED, recovered, step(CARD, "RECOVERED", 401)]).dead[0].reason == (
        "amount_fen of RECOVERED exceeds what was written off and not recovered"
    )


def test_a_loan_from_before_the_run_is_open() -> None:
    assert held([step(JOINT, "BROUGHT_FORWARD", 500), repaid(JOINT, 500, 0)]) == []
    late = step(CARD, "BROUGHT_FORWARD", 500, actor="BORROWER", arrears="DPD60")
    assert held([late, repaid(CARD, 499, 1, arrears="DPD60")])[0][5] == 1


def test_what_is_paid_makes_a_loan_current_and_the_marks_begin_again() -> None:
    marks = ("DPD1", "DPD30", "DPD60", "DPD90")
    late = [step(CARD, "PAST_DUE", 1, outstanding=1000, arrears=mark) for mark in marks]
    again = [each | {"outstanding_fen": 900, "bank_outstanding_fen": 900} for each in late]
    life = [*LENT, *late, repaid(CARD, 100, 900, arrears="DPD90"), *again]
    held([*life, step(CARD, "CHARGED_OFF", 900, arrears="DPD90")])
    more = told([*life, again[-1]]).dead[0]
    assert more.reason == "arrears of PAST_DUE do not go on from the last mark the loan passed"


def test_a_loan_keeps_the_month_it_was_funded_in() -> None:
    """Brought forward on the last day of February 2012, from December 2011."""
    begin = 1_330_473_600_000  # 2012-02-29
    plan = plan_for([], "loans", (begin - DAY, begin + 7 * DAY, DAY), waiting=(1, 3))
    opened = [tick | {"tick_start": begin - DAY, "tick_end": begin - DAY} for tick in OPENED]
    aged = [(0, 23, 2), (1, 23, 3), (1, 24, 2), (2, 23, 2), (2, 25, 1)]
    kinds = ["BROUGHT_FORWARD", *["DUE"] * 4]
    steps = [
        step(CARD, kind, 9, seq=1 + n, outstanding=9, event_time=begin + day * DAY, vintage=month, months_on_book=age)
        for n, (kind, (day, month, age)) in enumerate(zip(kinds, aged, strict=True))
    ]
    state = ShardState(plan, 0)
    state.fold(rows(plan, [*opened, *steps]), 0, len(opened) + len(steps) - 1)
    wrong = [letter.offset - len(opened) for letter in state.take().dead]
    assert wrong == [2, 3, 4], "the first is in order, and so is that of the next month"


@pytest.mark.parametrize(
    "day",
    [
        date(1970, 1, 1), date(2000, 2, 29), date(2009, 12, 31), date(2010, 1, 1), date(2023, 12, 31),
        date(2024, 2, 29), date(2024, 3, 1), date(2100, 2, 28),
    ],
)  # fmt: skip
def test_a_month_is_the_calendar_s(day: date) -> None:
    at = int(datetime.combine(day, time.max, UTC).timestamp() * 1000)
    month = 12 * (day.year - 2010) + day.month - 1
    assert (month_of(at), month_of(at // DAY * DAY)) == (month, month)


def reaching(stage: str) -> list[Any]:
    """The steps of a partnership loan up to a stage."""
    at = ("NONE", "APPLIED", "SCREENED", "REFERRED", "OFFERED", "APPROVED", "OPEN", "WRITTEN_OFF").index(stage)
    return REFERRING[:at] if at < 7 else [*REFERRING, step(PARTNERSHIP, "CHARGED_OFF", 1000)]


KINDS = sorted({kind for kinds in NEXT.values() for kind in kinds})


@pytest.mark.parametrize("stage", NEXT)
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_that_may_not_come_next_is_named_with_the_stage(stage: str, kind: str) -> None:
    changes = told([*reaching(stage), step(PARTNERSHIP, kind, 0)])
    reasons = [letter.reason for letter in changes.dead]
    if kind not in NEXT[stage]:
        assert reasons == [f"loan breaks its order: {kind} after {stage}"]
    else:
        assert f"loan breaks its order: {kind} after {stage}" not in reasons


BREACHES = [
    ([step(CARD, "APPLIED", 1, actor="BANK")], "APPLIED by BANK after NONE"),
    ([*LENT[:1], step(CARD, "SCREENED", 1, actor="PLATFORM")], "SCREENED by PLATFORM after APPLIED"),
    ([*REFERRING[:1], step(PARTNERSHIP, "SCREENED", 1, actor="BANK")], "SCREENED by BANK after APPLIED"),
    ([*REFERRING[:2], step(PARTNERSHIP, "REJECTED", 1)], "REJECTED by BANK after SCREENED"),
    ([*REFERRING[:2], step(PARTNERSHIP, "REFERRED", 1, actor="BORROWER")], "REFERRED by BORROWER after SCREENED"),
    ([*LENT[:3], step(CARD, "ABANDONED", 1, actor="BANK")], "ABANDONED by BANK after OFFERED"),
    ([*LENT[:3], step(CARD, "APPROVED", 1, actor="BORROWER")], "APPROVED by BORROWER after OFFERED"),
    ([*REFERRING, step(PARTNERSHIP, "COMMISSION", 1, actor="PLATFORM")], "COMMISSION by PLATFORM after OPEN"),
    ([*LENT, step(CARD, "DUE", 1, outstanding=1000, actor="BORROWER")], "DUE by BORROWER after OPEN"),
    ([*LENT, repaid(CARD, 1, 999) | {"actor": "BANK"}], "REPAID by BANK after OPEN"),
    ([*CHARGED, step(CARD, "RECOVERED", 1, actor="BORROWER")], "RECOVERED by BORROWER after WRITTEN_OFF"),
    ([*LENT[:2], step(CARD, "REFERRED", 1)], "REFERRED after SCREENED of a CARD loan"),
    ([*REFERRING[:2], step(PARTNERSHIP, "OFFERED", 1)], "OFFERED after SCREENED of a PARTNERSHIP loan"),
    ([*LENT, step(CARD, "COMMISSION", 1)], "COMMISSION after OPEN of a CARD loan"),
    ([*application("COFINANCED", 1000, part=10), step(COFINANCED, "COMMISSION", 1)], "of a COFINANCED loan"),
    ([*REFERRING, *[step(PARTNERSHIP, "COMMISSION", 1)] * 2], "a second COMMISSION"),
    *(
        ([*LENT, step(CARD | other, "DUE", 1, outstanding=1000)], "DUE with another borrower, weight, product")
        for other in (
            {"borrower_id": 2}, {"product": "SME"}, {"lender": "lan-hai"}, {"bank": "lan-hai"}, {"platform": "alipay"},
        )
    ),
    ([*LENT, step(CARD, "DUE", 1, outstanding=1000, weight=11)], "DUE with another borrower, weight"),
    ([*REFERRING[:-1], step(PARTNERSHIP, "FUNDED", 1000, part=1)], "platform_fen of a PARTNERSHIP loan's FUNDED"),
    (application("COFINANCED", 1000, part=9), "platform_fen of a COFINANCED loan's FUNDED"),
    (application("COFINANCED", 1000, part=201), "platform_fen of a COFINANCED loan's FUNDED"),
    ([*LENT, step(CARD, "DUE", 1, outstanding=999)], "outstanding_fen of DUE is not what is outstanding"),
    ([*LENT, step(CARD, "PAST_DUE", 1, outstanding=1001)], "outstanding_fen of PAST_DUE is not what"),
    ([*LENT, repaid(CARD, 400, 601)], "outstanding_fen of REPAID is not what is outstanding"),
    ([*LENT, repaid(CARD, 1001, 0)], "principal_fen of REPAID exceeds what is outstanding"),
    ([*LENT, step(CARD, "CHARGED_OFF", 999)], "all that is outstanding is written off"),
    ([*LENT, step(CARD, "CHARGED_OFF", 1000, interest=1)], "all that is outstanding is written off"),
    ([*SHARED, step(JOINT, "DUE", 1, outstanding=1000, theirs=299)], "bank's part of DUE is not that"),
    ([*SHARED, step(JOINT, "PAST_DUE", 1, outstanding=1000, theirs=301)], "bank's part of PAST_DUE is not that"),
    ([*SHARED, step(JOINT, "REPAID", 100, part=30, outstanding=900, theirs=271)], "bank's part of REPAID is not that"),
    ([*SHARED, step(JOINT, "CHARGED_OFF", 1000, part=301)], "bank's part of CHARGED_OFF is not that"),
    ([*SHARED, LOST, step(JOINT, "RECOVERED", 701)], "bank_fen or platform_fen of RECOVERED exceeds"),
    ([*SHARED, LOST, step(JOINT, "RECOVERED", 301, part=301)], "bank_fen or platform_fen of RECOVERED exceeds"),
    ([*LENT, LATE, LATE], "arrears of PAST_DUE do not go on"),
    ([*LENT, LATE | {"arrears": "DPD30"}], "arrears of PAST_DUE do not go on"),
    ([*LENT, LATE, repaid(CARD, 1, 999)], "arrears of REPAID do not go on"),
    ([*LENT, repaid(CARD, 1, 999, arrears="DPD1")], "arrears of REPAID do not go on"),
    ([*LENT, LATE, step(CARD, "CHARGED_OFF", 1000)], "arrears of CHARGED_OFF do not go on"),
    ([step(CARD, "APPLIED", 1, vintage=1)], "vintage and months_on_book of APPLIED are not those"),
    ([*LENT[:-1], step(CARD, "FUNDED", 1000, vintage=1)], "vintage and months_on_book of FUNDED are not those"),
    ([*LENT, step(CARD, "DUE", 1, outstanding=1000, vintage=1)], "vintage and months_on_book of DUE are not those"),
    ([*LENT, step(CARD, "DUE", 1, outstanding=1000, months_on_book=1)], "months_on_book of DUE are not those"),
    ([step(CARD, "BROUGHT_FORWARD", 9, months_on_book=1)], "months_on_book of BROUGHT_FORWARD are not those"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "reason"), BREACHES, ids=[reason for _, reason in BREACHES])
def test_a_step_that_breaks_the_loan_s_order_is_dead_and_raises_an_alert(steps: list[Any], reason: str) -> None:
    changes = told(steps)
    (letter,), (alert,) = changes.dead, changes.alerts
    assert reason in letter.reason
    assert letter.offset == alert.offset == 1 + len(steps)
    assert (alert.rule, alert.topic, alert.shard) == ("loan-order", "loans", 0)
    assert (alert.subject, alert.institution) == ("loan 0", steps[-1]["lender"])
    assert alert.event_time == START + 999 + len(steps)
    assert letter.reason in alert.text
    assert sum(row.dead for row in changes.accounting) == 1


def test_an_alert_of_money_says_what_was_seen_and_what_is_so() -> None:
    (alert,) = told([*LENT, step(CARD, "DUE", 1, outstanding=999)]).alerts
    assert (alert.value, alert.limit) == (999.0, 1000.0)
    (alert,) = told([*LENT, step(CARD, "FUNDED", 1)]).alerts
    assert (alert.value, alert.limit) == (None, None)
    assert alert.text == "loan 0 of icbc is refused a step: loan breaks its order: FUNDED after OPEN"


def test_a_refused_step_moves_nothing_and_its_number_may_be_told_again() -> None:
    wrong = numbered([*LENT, repaid(CARD, 1001, 0)])
    right = wrong[-1] | repaid(CARD, 1000, 0) | {"seq": wrong[-1]["seq"]}
    state = ShardState(PLAN, 0)
    log = [*OPENED, *wrong, right]
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    account = state.accounts()[1]
    assert (account.folded, account.dead, account.duplicate, account.missing) == (len(wrong), 1, 0, 0)
    assert state._ledger.loans is not None
    assert state._ledger.loans.held == 0


def test_a_duplicate_is_not_looked_at_and_a_late_step_counts() -> None:
    steps = numbered(LENT)
    days = [tick(name, 10 + n, n) for n in range(3) for name in ROSTER]
    late = step(CARD, "CHARGED_OFF", 1000, seq=20, event_time=START + 5)
    state = ShardState(PLAN, 0)
    log = [*OPENED, *steps, *steps, *days, late, step(CARD, "RECOVERED", 1, seq=21, event_time=START + 3 * DAY)]
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    changes, account = state.take(), state.accounts()[1]
    assert (changes.dead, changes.alerts) == ([], [])
    assert (account.folded, account.duplicate, account.late) == (6, 5, 1)


def capped(*caps: tuple[int, float]) -> TopicPlan:
    """Caps from times of the run on."""
    since = tuple((START + time, cap) for time, cap in caps)
    return plan_for([], "loans", SPAN, waiting=(1, 3), world=dataclasses.replace(WORLD, joint_loan_cap=since))


def funded(part: int, time: int, amount: int = 1000, product: str = "JOINT") -> list[Any]:
    life = application(product, amount, part=part)
    return [*life[:-1], life[-1] | {"event_time": START + time}]


@pytest.mark.parametrize(
    ("part", "time", "over"), [(300, 0, False), (1000, DAY - 1, False), (301, DAY, True), (300, DAY, False)]
)
def test_the_cap_of_the_day_is_held_against_the_platform_s_part(part: int, time: int, over: bool) -> None:
    plan = capped((-DAY, 1.0), (DAY, 0.3))
    log = [*OPENED, *(event | {"seq": 1 + n} for n, event in enumerate(funded(part, time)))]
    state = ShardState(plan, 0)
    state.fold(rows(plan, log), 0, len(log) - 1)
    changes = state.take()
    assert changes.dead == [], "the loan is lent all the same"
    assert state._ledger.loans is not None
    assert state._ledger.loans.held == 1
    assert [(alert.rule, alert.value, alert.limit, alert.event_time, alert.offset) for alert in changes.alerts] == (
        [("loan-cap", part / 1000, 0.3, START + time, 7)] if over else []
    )
    if over:
        assert changes.alerts[0].text == "joint loan 0: alipay funds 30.1000% of it, more than the cap of 30.0000%"


@pytest.mark.parametrize("cap", [0.29, 0.57, 0.58, 0.01100001])
def test_a_part_that_is_just_the_cap_is_not_over_it(cap: float) -> None:
    """0.29 * 100 is less than 29 in double precision."""
    amount = 10**10
    part = round(cap * amount)
    assert told(application("JOINT", amount, part=part), capped((0, cap))).alerts == []
    assert len(told(application("JOINT", amount, part=part + 1), capped((0, cap))).alerts) == 1


def test_no_other_product_and_no_world_without_the_lever_has_a_cap() -> None:
    assert told(application("COFINANCED", 1000, part=200), capped((0, 0.1))).alerts == []
    assert told(application("JOINT", 1000, part=1000), capped()).alerts == []
    assert told(application("JOINT", 1000, part=1000), capped((DAY, 0.1))).alerts == []
    assert told(application("JOINT", 0), capped((0, 0.0))).alerts == []


def test_the_caps_are_the_lever_s() -> None:
    world = topologies.load("china")
    caps = world_of(world).joint_loan_cap
    assert [cap for _, cap in caps] == [1.0, 0.3]
    for start, cap in caps:
        assert world.levers_at(start)["joint-loan-cap"] == cap


def test_alerts_are_in_the_transaction_that_holds_what_they_are_of() -> None:
    options = Options(broker="nowhere", topology=SimpleNamespace(), prefix="p.")  # type: ignore[arg-type]
    folding = FoldTask(options, PLAN, catalog.ids(), 0)
    log = [*OPENED, *numbered([*LENT, step(CARD, "FUNDED", 1)])]
    folding.fold(Chunk("p.loans", 0, 0, len(log) - 1, 10, rows=rows(PLAN, log)))
    batch = folding.take(5000, final=False)
    assert batch is not None
    records = list(batch.records())
    assert {record.topic for record in records} == {"p.state.loans", "p.loans.dead", "p.alerts", "p.metrics.accounting"}
    (alert,) = [record for record in records if record.topic == "p.alerts"]
    assert (alert.key, alert.partition) == (b"loan-order", 0)
    assert wire.decode(alert.value) == (
        "alert",
        {
            "rule": "loan-order", "event_time": START + 1005, "topic": "loans", "shard": 0, "offset": 7,
            "subject": "loan 0", "institution": "icbc", "value": None, "limit": None,
            "text": "loan 0 of icbc is refused a step: loan breaks its order: FUNDED after OPEN",
        },
    )  # fmt: skip
