"""Rules on one event of topic `loans`: every kind as it should be, and for each rule an event that breaks it alone."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.eventtopics import EVENT_TOPICS
from schemas.loanrules import LOAN_RULES
from streams import loankernel, refusal
from streams.loanbook import words
from streams.shard import ShardState
from tests.unit.streams.chunks import loan, plan_for, rows
from tests.unit.streams.loanlives import OPENED, PLAN, START, application, parties, step, tick
from tests.unit.streams.loans import MARKS, MONEY, NEXT

JOINT = parties("JOINT")
DUE = step(JOINT, "DUE", 100, interest=10, part=30, outstanding=500, theirs=300)
REPAID = step(JOINT, "REPAID", 100, interest=10, part=30, outstanding=500)
FUNDED = step(JOINT, "FUNDED", 1000, part=300, fee_fen=1000)
SOUND = [
    *application("JOINT", 1000, part=300), FUNDED, DUE, REPAID | {"service_fen": 7},
    DUE | {"bank_funding_fen": 60, "platform_funding_fen": 40},
    step(JOINT, "REJECTED", 1000), step(JOINT, "ABANDONED", 1000), step(parties("PARTNERSHIP"), "COMMISSION", 20),
    step(JOINT, "PAST_DUE", 1000, outstanding=1000), step(JOINT, "CHARGED_OFF", 10**10),
    step(JOINT, "RECOVERED", 500, interest=500), step(JOINT, "BROUGHT_FORWARD", 0),
    step(parties("BAITIAO"), "FUNDED", 1000), step(parties("CARD"), "FUNDED", 1000),
]  # fmt: skip


def reasons(record: Any) -> list[str]:
    """What the rules on one event say, by the verdicts of the compiled pass."""
    state = ShardState(PLAN, 0)
    made = rows(PLAN, [record])
    codes = state._ledger._refuse(made.columns["loan"], state._ledger._limits)
    return [PLAN.rules[code - refusal.FIRST_CODE].reason for code in codes.tolist() if code]


@pytest.mark.parametrize("record", SOUND, ids=lambda record: str(record["kind"]))
def test_sound_events_pass(record: Any) -> None:
    assert reasons(record) == []


def test_every_kind_is_seen_sound() -> None:
    assert {record["kind"] for record in SOUND} == set(words("loan")["kind"])


BROKEN = [
    (DUE | {"interest_fen": 11}, "principal_fen and interest_fen do not add up to amount_fen"),
    (DUE | {"bank_fen": 1}, "bank_fen and platform_fen do not add up to amount_fen"),
    (step(JOINT, "PAST_DUE", 100, principal_fen=1), "a step that has no principal has principal, interest or parts"),
    (step(JOINT, "OFFERED", 100, interest_fen=1), "a step that has no principal has principal, interest or parts"),
    (step(JOINT, "APPLIED", 100, bank_fen=1), "a step that has no principal has principal, interest or parts"),
    (step(JOINT, "APPLIED", 100, platform_fen=1), "a step that has no principal has principal, interest or parts"),
    (step(JOINT, "APPLIED", 100, platform_interest_fen=1), "a step that has no principal has principal"),
    (DUE | {"platform_interest_fen": 11}, "platform_interest_fen exceeds interest_fen"),
    (DUE | {"platform_interest_fen": 9, "platform_fen": 8, "bank_fen": 92}, "exceeds platform_fen"),
    (DUE | {"platform_fen": 94, "bank_fen": 6}, "platform_fen less platform_interest_fen exceeds principal_fen"),
    (REPAID | {"service_fen": 8}, "service_fen exceeds the bank's part of interest_fen"),
    (DUE | {"service_fen": 1}, "service_fen in a step that is no repayment"),
    (DUE | {"bank_funding_fen": 60, "platform_funding_fen": 41}, "platform_funding_fen exceed amount_fen"),
    (REPAID | {"bank_funding_fen": 1}, "a cost of funding in a step that is neither"),
    (REPAID | {"platform_funding_fen": 1}, "a cost of funding in a step that is neither"),
    (step(JOINT, "CHARGED_OFF", 100, outstanding_fen=1), "outstanding_fen in a step behind which nothing"),
    (step(JOINT, "FUNDED", 100, interest=1), "interest_fen where the loan begins"),
    (FUNDED | {"outstanding_fen": 999}, "outstanding_fen is not amount_fen where the loan begins"),
    (FUNDED | {"bank_outstanding_fen": 699}, "bank_outstanding_fen is not bank_fen where the loan begins"),
    (DUE | {"arrears": "DPD1"}, "arrears in a step that tells none"),
    (step(JOINT, "PAST_DUE", 100, arrears="CURRENT"), "PAST_DUE without arrears"),
    (FUNDED | {"months_on_book": 1}, "months_on_book of a loan that was not funded before"),
    (DUE | {"bank_outstanding_fen": 501}, "bank_outstanding_fen exceeds outstanding_fen"),
    (FUNDED | {"fee_fen": 1001}, "fee_fen exceeds amount_fen"),
    (DUE | {"bank": "none"}, "bank_fen, bank_funding_fen, service_fen or bank_outstanding_fen of no bank"),
    (step(JOINT, "CHARGED_OFF", 0, bank="none", bank_funding_fen=1, amount_fen=0), "bank_funding_fen and platform"),
    (DUE | {"platform": "none"}, "platform_fen or platform_funding_fen of no platform"),
    (DUE | {"platform": "none", "platform_fen": 0, "bank_fen": 100, "platform_interest_fen": 0,
            "platform_funding_fen": 1}, "platform_fen or platform_funding_fen of no platform"),
    (DUE | {"outstanding_fen": 10**10 + 1}, "outstanding_fen is not between 0 and 10000000000"),
    (DUE | {"service_fen": -1}, "service_fen is not between 0"),
    (DUE | {"principal_fen": 2**63 - 1}, "principal_fen is not between 0"),
    (DUE | {"weight": 0}, "weight is not between 1"), (DUE | {"vintage": 256}, "vintage is not between 0 and 255"),
    (DUE | {"months_on_book": 64}, "months_on_book is not between 0 and 63"),
    (DUE | {"months": 61}, "months is not between 0 and 60"), (DUE | {"rate_ppm": 10**6 + 1}, "rate_ppm is not"),
    (DUE | {"took_ms": -1}, "took_ms is not"), (DUE | {"lender": "none"}, "lender is not known to the topology"),
    (DUE | {"bank": "alipay"}, "bank is not known"), (DUE | {"platform": "jd"}, "platform is not known"),
    (DUE | {"borrower_id": 1}, "borrower_id is no person of this shard"),
    (DUE | {"borrower_id": 200}, "borrower_id is no person of this shard"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_an_event_that_breaks_a_rule_is_refused_for_it(record: Any, reason: str) -> None:
    (found,) = reasons(record)
    assert reason in found


def test_every_rule_is_seen_broken() -> None:
    told = {found for record, _ in BROKEN for found in reasons(record)}
    assert {rule.reason for rule in LOAN_RULES} <= told
    assert len({rule.reason for rule in LOAN_RULES}) == len(LOAN_RULES)


def test_what_a_rule_refuses_is_a_dead_letter_that_moves_nothing() -> None:
    log = [*OPENED, loan(fee_fen=1001, event_time=START), loan(event_time=START)]
    state = ShardState(PLAN, 0)
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    changes = state.take()
    assert [(letter.offset, letter.reason) for letter in changes.dead] == [(2, "fee_fen exceeds amount_fen")]
    assert changes.alerts == []
    assert state.accounts()[1].folded == 1


def test_a_borrower_is_one_of_the_world_s_borrowers_not_of_its_people() -> None:
    assert PLAN.people == PLAN.world.borrowers
    assert plan_for([]).people == PLAN.world.people


def test_the_rules_of_payments_are_what_they_were() -> None:
    plan = plan_for([])
    assert not EVENT_TOPICS["payments"].rules
    assert [rule.reason for rule in plan.rules] == [
        "event_time lies outside the span of the run",
        "payer_bank is not known to the topology",
        "payee_bank is not known to the topology",
        "payer_id is no person of this shard",
        "amount_fen is not between 0 and 10000000000",
        "weight is not between 1 and 10000000",
        "latency_ms is not between 0 and 60000",
    ]


def test_what_a_source_lends_in_a_run_cannot_make_the_sums_leave_int64() -> None:
    """An event's worth is what it moves and what is outstanding behind it, times its weight."""
    shared = parties("CARD")
    huge = [step(shared | {"loan_id": n}, "BROUGHT_FORWARD", 10**10, weight=10**7, seq=1 + n) for n in range(20)]
    state = ShardState(PLAN, 0)
    log = [*OPENED, *huge, step(shared | {"loan_id": 99}, "BROUGHT_FORWARD", 1, seq=30)]
    state.fold(rows(PLAN, log), 0, len(log) - 1)
    changes, account = state.take(), state.accounts()[1]
    fit = 2**63 // 4 // (2 * 10**17)
    assert (account.folded, account.dead, account.missing) == (fit + 1, 20 - fit, 29 - fit)
    assert {letter.reason for letter in changes.dead} == {
        "(amount_fen + outstanding_fen) * weight, summed over the source's events of this shard, "
        "leaves 2^63 / shards / sources"
    }
    assert changes.alerts == [], "it was refused before its order was looked at"
    assert state._ledger.loans is not None
    assert state._ledger.loans.held == fit + 1


def test_control_totals_are_of_the_amount_alone() -> None:
    funded = step(parties("CARD"), "BROUGHT_FORWARD", 70)
    log = [*OPENED, funded, tick("banks", 2, 0, 1, 70)]
    state = ShardState(PLAN, 0)
    made = rows(PLAN, log)
    assert state._ledger.walk(made.kind, made.columns["loan"], made.columns["tick"]).defects == ()


def test_the_kernel_s_numbers_are_the_schema_s() -> None:
    enumerations = words("loan")
    for name in ("kind", "product", "actor"):
        for place, symbol in enumerate(enumerations[name]):
            assert getattr(loankernel, symbol, place) == place
    assert enumerations["arrears"] == MARKS, "each mark is one more than the one before"
    known = {name for name in vars(loankernel) if name in set().union(*enumerations.values())}
    assert known >= {kind for kinds in NEXT.values() for kind in kinds} | set(enumerations["actor"])
    assert set(MONEY) < set(enumerations["kind"])
