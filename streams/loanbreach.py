"""What a loan's step broke, in words: reasons of dead letters and texts of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams import loankernel as k
from streams.alerts import Alert

if TYPE_CHECKING:
    from streams.plan import TopicPlan

LOAN_ORDER, LOAN_CAP = "loan-order", "loan-cap"
STAGES = ("NONE", "APPLIED", "SCREENED", "REFERRED", "OFFERED", "APPROVED", "OPEN", "WRITTEN_OFF")
REASONS = {
    k.OUT_OF_ORDER: "loan breaks its order: {kind} after {stage}",
    k.ANOTHER_LOAN: "loan breaks its order: {kind} with another borrower, weight, product, lender, bank or platform",
    k.ANOTHER_ACTOR: "loan breaks its order: {kind} by {actor} after {stage}",
    k.ANOTHER_PRODUCT: "loan breaks its order: {kind} after {stage} of a {product} loan",
    k.PAID_TWICE: "loan breaks its order: a second COMMISSION",
    k.SHARE: "platform_fen of a {product} loan's FUNDED is not within the platform's part",
    k.BALANCE: "outstanding_fen of {kind} is not what is outstanding",
    k.OVERPAID: "principal_fen of REPAID exceeds what is outstanding",
    k.WRITE_OFF: "all that is outstanding is written off: principal_fen and amount_fen of CHARGED_OFF are not that",
    k.OVER_RECOVERED: "amount_fen of RECOVERED exceeds what was written off and not recovered",
    k.BANK_BALANCE: "the bank's part of {kind} is not that of what is outstanding: bank_fen, bank_outstanding_fen",
    k.PART_RECOVERED: "bank_fen or platform_fen of RECOVERED exceeds that part of what was written off",
    k.ANOTHER_MARK: "arrears of {kind} do not go on from the last mark the loan passed",
    k.ANOTHER_DATE: "vintage and months_on_book of {kind} are not those of the loan in this month",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a loan that broke a rule or crossed a limit: why (a code of `loankernel`), the words of its
    enumerations, the loan's stage before it, and the figures seen and wanted (-1 where there is none).
    """

    event: int
    event_time: int
    loan: int
    lender: str
    kind: str
    product: str
    actor: str
    why: int
    stage: str
    amount_fen: int
    seen: int
    wanted: int

    @property
    def refused(self) -> bool:
        """Whether the event is dead for it."""
        return self.why != k.OVER_CAP

    @property
    def reason(self) -> str:
        """Why the event is in the dead-letter topic; without figures, so that reasons can be counted."""
        return REASONS[self.why].format(kind=self.kind, stage=self.stage, actor=self.actor, product=self.product)

    def alert(self, plan: TopicPlan, shard: int, offset: int) -> Alert:
        """The alert of an event that lies at this offset of the shard."""
        value = None if self.seen == k.UNSAID else float(self.seen)
        limit = None if self.wanted == k.UNSAID else float(self.wanted)
        if self.refused:
            rule, text = LOAN_ORDER, f"loan {self.loan} of {self.lender} is refused a step: {self.reason}"
        else:
            value, limit = self.seen / self.amount_fen, self.wanted / k.CAP_UNIT
            rule, text = (
                LOAN_CAP,
                (f"joint loan {self.loan}: {self.lender} funds {value:.4%} of it, more than the cap of {limit:.4%}"),
            )
        return Alert(
            rule, self.event_time, plan.topic, shard, offset, f"loan {self.loan}", self.lender, value, limit, text
        )
