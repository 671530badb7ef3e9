"""The rules on loans in the proof, each by an example: on one event, on a loan's life, and the cap on joint loans."""

from typing import Any

import pytest

from jinliu.oracle.accept import Acceptor
from jinliu.oracle.alerts import CAP, ORDER
from tests.unit.jinliu.loan_world import ENDINGS, KINDS, PARTIES, Event, judged, life, loan, money, told
from tests.unit.jinliu.oracle_world import HOUR, ROSTER, START, tick

SIZES = (1, 1000)


def behind(steps: list[Event], step: Event, size: int = 1000) -> tuple[Acceptor, bool]:
    """The acceptor behind steps that are in order and one more, and whether that one was folded."""
    acceptor, folded = judged(told([*steps, step]), size)
    assert folded[:-1] == [True] * len(steps)
    return acceptor, folded[-1]


def upto(kind: str, steps: list[Event]) -> tuple[list[Event], Event]:
    """The steps before the first of a kind, and that one."""
    at = next(i for i, step in enumerate(steps) if step["kind"] == kind)
    return steps[:at], steps[at]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("product", PARTIES)
def test_a_life_in_order_is_accepted_whole(product: str, ending: str, size: int) -> None:
    steps = life(product, ending=ending)
    acceptor, folded = judged(told(steps), size)
    assert folded == [True] * len(steps)
    assert acceptor.alerts == []
    assert acceptor.lives.table[:, :2].tolist() == ([[512, 7]] if ending == "written off" else [])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("DUE", {"interest_fen": 8}),
        ("DUE", {"principal_fen": None}),
        ("RECOVERED", {"bank_fen": 0}),
        ("CHARGED_OFF", {"platform_fen": 151}),
        ("APPLIED", {"principal_fen": 1000}),
        ("OFFERED", {"interest_fen": 1}),
        ("PAST_DUE", {"bank_fen": 1}),
        ("APPROVED", {"platform_fen": 1}),
        ("SCREENED", {"platform_interest_fen": 1}),
        ("DUE", {"platform_interest_fen": 10}),  # of interest 9
        ("DUE", {"platform_interest_fen": 9, "platform_fen": 8, "bank_fen": 251}),
        ("DUE", {"platform_fen": 252, "bank_fen": 7}),  # its principal would be 251 of 250
        ("REPAID", {"service_fen": 9}),  # the bank's interest is 8
        ("DUE", {"service_fen": 1}),
        ("DUE", {"bank_funding_fen": 200, "platform_funding_fen": 60}),
        ("CHARGED_OFF", {"bank_funding_fen": 751}),
        ("REPAID", {"bank_funding_fen": 1}),
        ("FUNDED", {"platform_funding_fen": 1}),
        ("APPLIED", {"outstanding_fen": 1}),
        ("CHARGED_OFF", {"outstanding_fen": 750}),
        ("RECOVERED", {"outstanding_fen": 1}),
        ("FUNDED", {"interest_fen": 1, "principal_fen": 999}),
        ("FUNDED", {"outstanding_fen": 999}),
        ("BROUGHT_FORWARD", {"outstanding_fen": None}),
        ("DUE", {"bank_outstanding_fen": 1001}),
        ("FUNDED", {"bank_outstanding_fen": 799}),
        ("DUE", {"arrears": "DPD1"}),
        ("PAST_DUE", {"arrears": "CURRENT"}),
        ("FUNDED", {"months_on_book": 1, "vintage": 143}),
        ("OFFERED", {"bank_outstanding_fen": 1}),
        ("OFFERED", {"fee_fen": 1001}),
        ("OFFERED", {"months": 61}),
        ("OFFERED", {"rate_ppm": 10**6 + 1}),
        ("APPLIED", {"vintage": 256}),
        ("APPLIED", {"months_on_book": 64}),
        ("APPLIED", {"took_ms": 10**10 + 1}),
        ("APPLIED", {"amount_fen": 10**10 + 1}),
        ("APPLIED", {"weight": 0}),
        ("APPLIED", {"borrower_id": 60}),
        ("APPLIED", {"borrower_id": 3}),
        ("APPLIED", {"lender": "none"}),
        ("APPLIED", {"bank": "alipay"}),
        ("APPLIED", {"platform": "nobody"}),
        ("DUE", {"bank_fen": -1, "platform_fen": 260}),
        ("DUE", {"bank_fen": 2**62, "platform_fen": 259 - 2**62}),
    ],
)
def test_an_event_that_contradicts_itself_is_dead_and_no_alert(kind: str, change: Event) -> None:
    steps, step = upto(kind, life(ending="brought forward" if kind == "BROUGHT_FORWARD" else "written off"))
    acceptor, folded = behind(steps, step | change)
    assert not folded
    assert (acceptor.ledgers["alipay"].dead, acceptor.alerts) == (1, [])
    assert behind(steps, step)[1]


@pytest.mark.parametrize(
    ("product", "change"),
    [
        ("BAITIAO", {"bank_fen": 1, "platform_fen": 258}),
        ("BAITIAO", {"bank_funding_fen": 1}),
        ("BAITIAO", {"bank_outstanding_fen": 1}),
        ("CARD", {"bank_fen": 258, "platform_fen": 1}),
        ("CARD", {"platform_funding_fen": 1}),
    ],
)
def test_who_takes_no_part_has_none(product: str, change: Event) -> None:
    steps, step = upto("DUE", life(product))
    assert not behind(steps, step | change)[1]
    steps, step = upto("REPAID", life(product))
    assert behind(steps, step | {"service_fen": 9})[1] is (product == "CARD")


STAGES = {
    "NONE": ([], {"APPLIED", "BROUGHT_FORWARD"}),
    "APPLIED": (life()[:1], {"SCREENED"}),
    "SCREENED": (life()[:2], {"REJECTED", "REFERRED"}),
    "REFERRED": (life()[:3], {"REJECTED", "OFFERED"}),
    "OFFERED": (life()[:4], {"APPROVED", "REJECTED", "ABANDONED"}),
    "APPROVED": (life()[:5], {"FUNDED"}),
    "OPEN": (life()[:6], {"DUE", "PAST_DUE", "REPAID", "CHARGED_OFF"}),
    "WRITTEN_OFF": (life(ending="written off")[:10], {"RECOVERED"}),
    "over": (life(ending="repaid"), {"APPLIED", "BROUGHT_FORWARD"}),
}
"""Steps that lead there, and the kinds that may follow, of a JOINT loan of 1000 fen."""


def any_step(kind: str, owed: int) -> Event:
    """A step of a kind whose sums go on from what is owed."""
    actor = {"APPLIED": "BORROWER", "ABANDONED": "BORROWER", "REPAID": "BORROWER"}.get(kind, "PLATFORM")
    whose = life()[0] | {"actor": actor, "kind": kind}
    match kind:
        case "FUNDED" | "BROUGHT_FORWARD":
            return whose | money(kind, actor, 1000, 0, 20, 1000)
        case "REPAID":
            return whose | money(kind, actor, 100, 9, 20, max(0, owed - 100))
        case "DUE":
            return whose | money(kind, actor, 100, 9, 20, owed)
        case "CHARGED_OFF" | "RECOVERED":
            return whose | money(kind, actor, owed or 10, 0, 20, None)
        case "PAST_DUE":
            late = {"outstanding_fen": owed, "bank_outstanding_fen": owed - owed * 20 // 100}
            return whose | late | {"arrears": "DPD1"}
    return whose


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_allows_its_steps_and_no_other(stage: str, kind: str, size: int) -> None:
    steps, allowed = STAGES[stage]
    step = any_step(kind, 1000 if stage == "OPEN" else 0)
    acceptor, folded = behind(steps, step, size)
    assert folded is (kind in allowed)
    assert [alert.rule for alert in acceptor.alerts] == ([] if folded else [ORDER])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("product", "kind", "actors"),
    [
        ("JOINT", "APPLIED", {"BORROWER"}),
        ("JOINT", "SCREENED", {"PLATFORM"}),
        ("CARD", "SCREENED", {"BANK"}),
        ("JOINT", "REFERRED", {"PLATFORM", "BANK"}),
        ("CARD", "OFFERED", {"PLATFORM", "BANK"}),
        ("COFINANCED", "OFFERED", {"PLATFORM", "BANK"}),
        ("BAITIAO", "APPROVED", {"PLATFORM", "BANK"}),
        ("JOINT", "FUNDED", {"PLATFORM", "BANK"}),
        ("PARTNERSHIP", "COMMISSION", {"BANK"}),
        ("JOINT", "DUE", {"PLATFORM", "BANK"}),
        ("JOINT", "PAST_DUE", {"PLATFORM", "BANK"}),
        ("JOINT", "REPAID", {"BORROWER"}),
        ("JOINT", "CHARGED_OFF", {"PLATFORM", "BANK"}),
        ("JOINT", "RECOVERED", {"PLATFORM", "BANK"}),
    ],
)
def test_each_step_is_taken_by_who_may_take_it(product: str, kind: str, actors: set[str], size: int) -> None:
    steps, step = upto(kind, life(product))
    found = {who for who in ("BORROWER", "BANK", "PLATFORM") if behind(steps, step | {"actor": who}, size)[1]}
    assert found == actors


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("product", "ending", "actors"),
    [
        ("JOINT", "rejected early", {"PLATFORM"}),
        ("CARD", "rejected early", {"BANK"}),
        ("JOINT", "rejected", {"PLATFORM", "BANK"}),
        ("JOINT", "abandoned", {"BORROWER"}),
        ("JOINT", "brought forward", {"PLATFORM", "BANK", "BORROWER"}),
    ],
)
def test_each_ending_is_told_by_who_may(product: str, ending: str, actors: set[str], size: int) -> None:
    steps = life(product, ending=ending)
    last = 0 if ending == "brought forward" else -1
    before, step = steps[: last % len(steps)], steps[last]
    found = {who for who in ("BORROWER", "BANK", "PLATFORM") if behind(before, step | {"actor": who}, size)[1]}
    assert found == actors


BROKEN: dict[str, tuple[list[Event], Event]] = {
    "a loan lent alone is not referred": (life("CARD")[:2], life("CARD")[0] | {"kind": "REFERRED", "actor": "BANK"}),
    "one with a partner is not offered before it is referred": (life()[:2], life()[3]),
    "a commission only in a partnership": (life()[:6], life()[0] | {"kind": "COMMISSION", "actor": "BANK"}),
    "and not where both put in money": (
        life("COFINANCED")[:6],
        life("COFINANCED")[0] | {"kind": "COMMISSION", "actor": "BANK"},
    ),
    "and once": (life("PARTNERSHIP")[:7], life("PARTNERSHIP")[6]),
    "and once, later too": (life("PARTNERSHIP")[:9], life("PARTNERSHIP")[6]),
    "a facilitator puts in nothing": (
        life("PARTNERSHIP")[:5],
        life("PARTNERSHIP")[5] | {"platform_fen": 1, "bank_fen": 999, "bank_outstanding_fen": 999},
    ),
    "both put in money, 1% at least": (life("COFINANCED")[:5], life("COFINANCED", ours=0)[5]),
    "and 20% at most": (life("COFINANCED")[:5], life("COFINANCED", ours=21)[5]),
    "what is due changes nothing outstanding": (life()[:6], life()[6] | {"outstanding_fen": 950}),
    "nor does what is overdue": (life()[:6], any_step("PAST_DUE", 999)),
    "a repayment takes off its principal": (life()[:6], life()[7] | {"outstanding_fen": 751}),
    "and no more than is outstanding": (life()[:6], life()[0] | money("REPAID", "BORROWER", 1001, 0, 20, 0)),
    "all is written off": (life()[:6], life()[0] | money("CHARGED_OFF", "BANK", 999, 0, 20, None)),
    "and no interest": (life()[:6], life()[0] | money("CHARGED_OFF", "BANK", 1000, 1, 20, None)),
    "no more is recovered than was written off": (
        life()[:10],
        life()[0] | money("RECOVERED", "BANK", 751, 0, 20, None),
    ),
    "in all": (life()[:11], life()[0] | money("RECOVERED", "BANK", 746, 0, 20, None)),
    "interest counts": (life()[:11], life()[0] | money("RECOVERED", "BANK", 745, 1, 20, None)),
    "the bank's part is due as it stands": (life()[:6], life()[6] | {"bank_outstanding_fen": 799}),
    "and overdue": (life()[:8], life()[8] | {"bank_outstanding_fen": 601}),
    "its principal is taken off": (life()[:6], life()[7] | {"bank_outstanding_fen": 599}),
    "and all of it written off": (life()[:9], life()[9] | {"bank_fen": 601, "platform_fen": 149}),
    "no more of it is recovered": (life()[:10], life()[0] | money("RECOVERED", "BANK", 601, 0, 0, None)),
    "nor of the platform's": (life()[:10], life()[0] | money("RECOVERED", "BANK", 151, 0, 100, None)),
    "in all, of either": (life()[:11], life()[0] | money("RECOVERED", "BANK", 597, 0, 0, None)),
    "marks are passed one by one": (life()[:6], any_step("PAST_DUE", 1000) | {"arrears": "DPD30"}),
    "and none twice": (life()[:9], life()[8]),
    "what is late is paid late": (life(ending="repaid")[:9], life(ending="repaid")[9] | {"arrears": "CURRENT"}),
    "what is not is not": (life()[:6], life()[7] | {"arrears": "DPD1"}),
    "and written off as it stands": (life()[:9], life()[9] | {"arrears": "DPD90"}),
    "a vintage does not change": (life()[:6], life()[6] | {"vintage": 143, "months_on_book": 1}),
    "an age is the calendar's": (life()[:6], life()[6] | {"months_on_book": 1}),
    "of an application too": ([], life()[0] | {"vintage": 143}),
    "and of what is brought forward": ([], life(ending="brought forward")[0] | {"months_on_book": 1}),
    "a step left out": (life()[:3], life()[4]),
    "a loan that is over": (life(ending="rejected"), any_step("APPROVED", 0)),
}


TOLD: dict[str, tuple[float, float | None]] = {
    "a facilitator puts in nothing": (1, 0),
    "both put in money, 1% at least": (0, None),
    "and 20% at most": (210, None),
    "what is due changes nothing outstanding": (950, 1000),
    "nor does what is overdue": (999, 1000),
    "a repayment takes off its principal": (751, 750),
    "and no more than is outstanding": (1001, 1000),
    "all is written off": (999, 1000),
    "and no interest": (1000, 1000),
    "no more is recovered than was written off": (751, 750),
    "in all": (746, 745),
    "interest counts": (746, 745),
    "the bank's part is due as it stands": (799, 800),
    "and overdue": (601, 600),
    "its principal is taken off": (599, 600),
    "and all of it written off": (601, 600),
    "no more of it is recovered": (601, 600),
    "nor of the platform's": (151, 150),
    "in all, of either": (597, 596),
}
"""Where a sum is off: what the step tells, and what should stand there or is the most."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BROKEN)
def test_a_step_out_of_order_is_dead_and_an_alert(name: str, size: int) -> None:
    steps, step = BROKEN[name]
    acceptor, folded = behind(steps, step, size)
    assert not folded
    assert acceptor.ledgers["alipay"].dead == 1
    (alert,) = acceptor.alerts
    assert (alert.rule, alert.topic, alert.shard, alert.offset) == (ORDER, "loans", 0, 1 + len(steps))
    assert (alert.subject, alert.institution, alert.event_time) == ("loan 512", step["lender"], START + 10)
    assert (alert.value, alert.limit) == TOLD.get(name, (None, None))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "change",
    [
        {"product": "SME"}, {"bank": "abc"}, {"platform": "icbc"}, {"lender": "icbc"}, {"borrower_id": 4},
        {"weight": 11},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("at", range(1, 12))
def test_whose_a_loan_is_never_changes(change: Event, at: int, size: int) -> None:
    steps = life()
    acceptor, folded = behind(steps[:at], steps[at] | change, size)
    assert (folded, [alert.rule for alert in acceptor.alerts]) == (False, [ORDER])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_refused_step_moves_nothing_and_leaves_a_gap(size: int) -> None:
    steps = life(ending="repaid")
    values = told(steps[:6])
    again = [loan("alipay", 7, 10, **steps[6] | {"outstanding_fen": 999}), loan("alipay", 7, 10, **steps[6])]
    repeated = loan("alipay", 7, 10, **steps[6])
    wrong = loan("alipay", 8, 10, **steps[6] | {"actor": "BORROWER"})
    rest = [loan("alipay", 9 + i, 10, **step) for i, step in enumerate(steps[7:])]
    acceptor, folded = judged([*values, *again, repeated, wrong, *rest], size)
    assert folded == [True] * 6 + [False, True, False, False] + [True] * 3
    ledger = acceptor.ledgers["alipay"]
    assert (ledger.dead, ledger.duplicate, ledger.missing, ledger.folded) == (2, 1, 1, 10)
    assert [alert.offset for alert in acceptor.alerts] == [7, 10]
    assert acceptor.sources[0].gap == 1
    assert len(acceptor.lives.table) == 0


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_late_step_moves_its_loan_and_a_duplicate_does_not(size: int) -> None:
    steps = life()
    values = told(steps[:2])
    hours = [tick(name, (3 if name == "alipay" else 0) + hour, hour, 0, 0) for hour in range(4) for name in ROSTER]
    late = [loan("alipay", 7, 20, **steps[2]), loan("alipay", 7, 20, **steps[3])]
    acceptor, folded = judged([*values, *hours, *late, loan("alipay", 8, 4 * HOUR, **steps[3])], size)
    assert folded == [True, True, False, False, True]
    assert (acceptor.ledgers["alipay"].late, acceptor.ledgers["alipay"].duplicate) == (1, 1)
    assert acceptor.alerts == []


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_two_sources_of_one_loan_are_judged_in_log_order(size: int) -> None:
    steps = life()
    opened = [tick(name, 0, 0, 0, 0, kind="OPEN") for name in ROSTER]
    mixed = [loan(ROSTER[i % 2], 1 + i // 2, 10, **step) for i, step in enumerate(steps)]
    assert judged([*opened, *mixed], size)[1] == [True] * len(steps)
    mixed[2], mixed[3] = mixed[3], mixed[2]
    acceptor, folded = judged([*opened, *mixed], size)
    assert folded == [True, True, False, True] + [False] * (len(steps) - 4)
    assert [alert.offset for alert in acceptor.alerts] == [4, *range(6, 2 + len(steps))]


def test_a_number_is_free_again_and_may_go_to_somebody_else() -> None:
    first, second = life("PARTNERSHIP", ending="repaid"), life("PARTNERSHIP", ending="repaid")
    second = [step | {"borrower_id": 4, "weight": 3} for step in second]
    acceptor, folded = judged(told([*first, *second, *life("CARD")]))
    assert folded == [True] * (2 * len(first) + len(life("CARD")))
    assert acceptor.alerts == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("ours", "at", "limit"),
    [
        (60, HOUR // 2 - 1, None),
        (60, HOUR // 2, 0.5),
        (50, HOUR // 2, None),
        (50, 2 * HOUR - 1, None),
        (50, 2 * HOUR, 0.3),
        (31, 3 * HOUR, 0.3),
        (30, 3 * HOUR, None),
    ],
)
def test_a_joint_loan_above_the_cap_of_its_day_is_an_alert(ours: int, at: int, limit: float | None, size: int) -> None:
    steps, step = upto("FUNDED", life(ours=ours))
    acceptor, folded = judged([*told(steps), loan("alipay", 6, at, **step)], size)
    assert folded == [True] * 6
    assert acceptor.ledgers["alipay"].dead == 0
    found: list[Any] = [
        (a.rule, a.offset, a.event_time, a.subject, a.institution, a.value, a.limit) for a in acceptor.alerts
    ]
    assert found == ([] if limit is None else [(CAP, 6, START + at, "loan 512", "alipay", ours / 100, limit)])


def test_other_loans_have_no_cap_nor_has_a_world_without_the_lever() -> None:
    assert judged(told(life("BAITIAO"), at=2 * HOUR))[0].alerts == []
    assert judged(told(life(ours=90), at=2 * HOUR), caps=())[0].alerts == []
    refused = [*life(ours=90)[:5], life(ours=90)[5] | {"weight": 9}]
    assert [alert.rule for alert in judged(told(refused, at=2 * HOUR))[0].alerts] == [ORDER]
