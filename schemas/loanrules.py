"""What every event of topic `loans` keeps by itself, whatever came before it; the fields are told in `avsc/loan.avsc`.

What an event keeps towards the earlier ones of its loan is told in `streams.loankernel`.
"""

from __future__ import annotations

from schemas.eventrule import ALWAYS, EventRule

MONEY = "kind in ('FUNDED', 'DUE', 'REPAID', 'CHARGED_OFF', 'RECOVERED', 'BROUGHT_FORWARD')"
"""Steps whose amount has a part that is principal, and parts of bank and platform."""
OWED = "kind in ('FUNDED', 'DUE', 'REPAID', 'PAST_DUE', 'BROUGHT_FORWARD')"
"""Steps behind which something may be outstanding."""
COSTED = "kind in ('DUE', 'CHARGED_OFF')"
"""Steps that tell the cost of funding."""
BEGINS = "kind in ('FUNDED', 'BROUGHT_FORWARD')"
MARKED = "kind in ('PAST_DUE', 'REPAID', 'CHARGED_OFF', 'BROUGHT_FORWARD')"
"""Steps that tell how many days the loan is past due."""
AGED = "kind in ('COMMISSION', 'DUE', 'REPAID', 'PAST_DUE', 'CHARGED_OFF', 'RECOVERED', 'BROUGHT_FORWARD')"
"""Steps of a loan that was funded before."""

LOAN_RULES = (
    EventRule(
        MONEY,
        "principal_fen + interest_fen == amount_fen",
        "principal_fen and interest_fen do not add up to amount_fen",
    ),
    EventRule(MONEY, "bank_fen + platform_fen == amount_fen", "bank_fen and platform_fen do not add up to amount_fen"),
    EventRule(
        f"not {MONEY}",
        "principal_fen == 0 and interest_fen == 0 "
        "and bank_fen == 0 and platform_fen == 0 and platform_interest_fen == 0",
        "a step that has no principal has principal, interest or parts",
    ),
    EventRule(ALWAYS, "platform_interest_fen <= interest_fen", "platform_interest_fen exceeds interest_fen"),
    EventRule(ALWAYS, "platform_interest_fen <= platform_fen", "platform_interest_fen exceeds platform_fen"),
    EventRule(
        ALWAYS,
        "platform_fen - platform_interest_fen <= principal_fen",
        "platform_fen less platform_interest_fen exceeds principal_fen",
    ),
    EventRule(
        "kind == 'REPAID'",
        "service_fen <= interest_fen - platform_interest_fen",
        "service_fen exceeds the bank's part of interest_fen",
    ),
    EventRule("kind != 'REPAID'", "service_fen == 0", "service_fen in a step that is no repayment"),
    EventRule(
        COSTED,
        "bank_funding_fen + platform_funding_fen <= amount_fen",
        "bank_funding_fen and platform_funding_fen exceed amount_fen",
    ),
    EventRule(
        f"not {COSTED}",
        "bank_funding_fen == 0 and platform_funding_fen == 0",
        "a cost of funding in a step that is neither DUE nor CHARGED_OFF",
    ),
    EventRule(f"not {OWED}", "outstanding_fen == 0", "outstanding_fen in a step behind which nothing is outstanding"),
    EventRule(BEGINS, "interest_fen == 0", "interest_fen where the loan begins"),
    EventRule(BEGINS, "outstanding_fen == amount_fen", "outstanding_fen is not amount_fen where the loan begins"),
    EventRule(BEGINS, "bank_outstanding_fen == bank_fen", "bank_outstanding_fen is not bank_fen where the loan begins"),
    EventRule(f"not {MARKED}", "arrears == 'CURRENT'", "arrears in a step that tells none"),
    EventRule("kind == 'PAST_DUE'", "arrears != 'CURRENT'", "PAST_DUE without arrears"),
    EventRule(f"not {AGED}", "months_on_book == 0", "months_on_book of a loan that was not funded before"),
    EventRule(ALWAYS, "bank_outstanding_fen <= outstanding_fen", "bank_outstanding_fen exceeds outstanding_fen"),
    EventRule(ALWAYS, "fee_fen <= amount_fen", "fee_fen exceeds amount_fen"),
    EventRule(
        "bank == 'none'",
        "bank_fen == 0 and bank_funding_fen == 0 and service_fen == 0 and bank_outstanding_fen == 0",
        "bank_fen, bank_funding_fen, service_fen or bank_outstanding_fen of no bank",
    ),
    EventRule(
        "platform == 'none'",
        "platform_fen == 0 and platform_funding_fen == 0",
        "platform_fen or platform_funding_fen of no platform",
    ),
)
