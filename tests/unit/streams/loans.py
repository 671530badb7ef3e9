"""The rules on loans once more, event by event in plain Python: what the engine is held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streams.plan import TopicPlan
from tests.unit.streams.bruteforce import Truth

REFERRED = ("PARTNERSHIP", "COFINANCED", "JOINT")
MONEY = ("FUNDED", "DUE", "REPAID", "CHARGED_OFF", "RECOVERED", "BROUGHT_FORWARD")
OWED = ("FUNDED", "DUE", "REPAID", "PAST_DUE", "BROUGHT_FORWARD")
PARTIES = ("borrower_id", "weight", "product", "lender", "bank", "platform")
NEXT = {
    "NONE": {"APPLIED": "APPLIED", "BROUGHT_FORWARD": "OPEN"},
    "APPLIED": {"SCREENED": "SCREENED"},
    "SCREENED": {"REFERRED": "REFERRED", "OFFERED": "OFFERED", "REJECTED": "over"},
    "REFERRED": {"OFFERED": "OFFERED", "REJECTED": "over"},
    "OFFERED": {"APPROVED": "APPROVED", "REJECTED": "over", "ABANDONED": "over"},
    "APPROVED": {"FUNDED": "OPEN"},
    "OPEN": {"COMMISSION": "OPEN", "DUE": "OPEN", "PAST_DUE": "OPEN", "REPAID": "OPEN", "CHARGED_OFF": "WRITTEN_OFF"},
    "WRITTEN_OFF": {"RECOVERED": "WRITTEN_OFF"},
}
MAY_TAKE = {
    "APPLIED": ("BORROWER",), "ABANDONED": ("BORROWER",), "REPAID": ("BORROWER",), "COMMISSION": ("BANK",),
    "BROUGHT_FORWARD": ("BORROWER", "BANK", "PLATFORM"),
}  # fmt: skip
NOT_BORROWER = ("BANK", "PLATFORM")
MARKS = ("CURRENT", "DPD1", "DPD30", "DPD60", "DPD90")
LATER = ("COMMISSION", "DUE", "REPAID", "PAST_DUE", "CHARGED_OFF", "RECOVERED")
"""Steps of a loan that was funded or brought forward before."""


@dataclass
class Loan:
    first: dict[str, Any]
    stage: str
    funded: int = 0
    repaid: int = 0
    outstanding: int = 0
    written_off: int = 0
    recovered: int = 0
    commissions: int = 0
    bank_outstanding: int = 0
    bank_written_off: int = 0
    bank_recovered: int = 0
    mark: str = "CURRENT"
    vintage: int = 0


class Loans:
    """Loans under way by number. over: those repaid in full, as they were at last."""

    def __init__(self) -> None:
        self.held: dict[int, Loan] = {}
        self.over: list[Loan] = []

    def breaks(self, event: dict[str, Any]) -> bool:
        """Whether a step breaks its loan's order; if not, it is taken."""
        held = self.held.get(event["loan_id"]) or Loan(event, "NONE")
        stage = NEXT[held.stage].get(event["kind"])
        keeps = (self._fits, self._adds_up, self._parts_add_up, self._goes_on)
        if stage is None or not all(rule(held, event) for rule in keeps):
            return True
        held.stage = stage
        self._take(held, event)
        self.held[event["loan_id"]] = held
        if event["kind"] == "REPAID" and held.outstanding == 0:
            self.over.append(held)
            held.stage = "over"
        if held.stage == "over":
            del self.held[event["loan_id"]]
        return False

    def _fits(self, held: Loan, event: dict[str, Any]) -> bool:
        kind, product = event["kind"], event["product"]
        if any(held.first[name] != event[name] for name in PARTIES):
            return False
        by = MAY_TAKE.get(kind, NOT_BORROWER)
        if kind == "SCREENED" or (kind == "REJECTED" and held.stage == "SCREENED"):
            by = ("BANK",) if event["platform"] == "none" else ("PLATFORM",)
        if event["actor"] not in by:
            return False
        if kind == "REFERRED" and product not in REFERRED:
            return False
        if kind == "OFFERED" and held.stage == "SCREENED" and product in REFERRED:
            return False
        return kind != "COMMISSION" or (product == "PARTNERSHIP" and held.commissions == 0)

    def _adds_up(self, held: Loan, event: dict[str, Any]) -> bool:
        kind, amount, principal = event["kind"], event["amount_fen"], event["principal_fen"]
        if kind == "FUNDED" and event["product"] == "PARTNERSHIP":
            return bool(event["platform_fen"] == 0)
        if kind == "FUNDED" and event["product"] == "COFINANCED":
            return bool(amount <= 100 * event["platform_fen"] <= 20 * amount)
        if kind in ("DUE", "PAST_DUE"):
            return bool(event["outstanding_fen"] == held.outstanding)
        if kind == "REPAID":
            return bool(0 <= held.outstanding - principal == event["outstanding_fen"])
        if kind == "CHARGED_OFF":
            return bool(principal == amount == held.outstanding)
        return bool(kind != "RECOVERED" or held.recovered + amount <= held.written_off)

    def _parts_add_up(self, held: Loan, event: dict[str, Any]) -> bool:
        kind, bank, owed = event["kind"], event["bank_fen"], event["bank_outstanding_fen"]
        if kind in ("DUE", "PAST_DUE"):
            return bool(owed == held.bank_outstanding)
        if kind == "REPAID":
            principal = bank - event["interest_fen"] + event["platform_interest_fen"]
            return bool(owed == held.bank_outstanding - principal)
        if kind == "CHARGED_OFF":
            return bool(bank == held.bank_outstanding)
        if kind != "RECOVERED":
            return True
        platforms = held.recovered - held.bank_recovered + event["platform_fen"]
        return bool(
            held.bank_recovered + bank <= held.bank_written_off
            and platforms <= held.written_off - held.bank_written_off
        )

    def _goes_on(self, held: Loan, event: dict[str, Any]) -> bool:
        kind, date = event["kind"], datetime.fromtimestamp(event["event_time"] / 1000, UTC)
        if kind == "PAST_DUE" and (held.mark == "DPD90" or event["arrears"] != MARKS[MARKS.index(held.mark) + 1]):
            return False
        if kind in ("REPAID", "CHARGED_OFF") and event["arrears"] != held.mark:
            return False
        if event["vintage"] + event["months_on_book"] != 12 * (date.year - 2010) + date.month - 1:
            return False
        return kind not in LATER or event["vintage"] == held.vintage

    def _take(self, held: Loan, event: dict[str, Any]) -> None:
        kind, amount = event["kind"], event["amount_fen"]
        if kind in ("FUNDED", "BROUGHT_FORWARD"):
            held.funded = held.outstanding = amount
            held.bank_outstanding, held.vintage = event["bank_outstanding_fen"], event["vintage"]
        elif kind == "REPAID":
            held.repaid += event["principal_fen"]
            held.outstanding -= event["principal_fen"]
            held.bank_outstanding = event["bank_outstanding_fen"]
        elif kind == "CHARGED_OFF":
            held.written_off, held.outstanding = held.outstanding, 0
            held.bank_written_off, held.bank_outstanding = held.bank_outstanding, 0
        elif kind == "RECOVERED":
            held.recovered += amount
            held.bank_recovered += event["bank_fen"]
        if kind in ("BROUGHT_FORWARD", "PAST_DUE"):
            held.mark = event["arrears"]
        elif kind == "REPAID":
            held.mark = "CURRENT"
        held.commissions += kind == "COMMISSION"


class LoanTruth(Truth):
    """The semantics of a shard of topic `loans`. loans: as they stand; breaches: numbers of the records refused for
    their loan's order.
    """

    def __init__(self, plan: TopicPlan, shard: int) -> None:
        super().__init__(plan, shard)
        self.loans = Loans()
        self.breaches: list[int] = []

    def _worth(self, record: Any) -> int:
        worth: int = (record["amount_fen"] + record["outstanding_fen"]) * record["weight"]
        return worth

    def _objects(self, record: Any) -> bool:
        broken = self.loans.breaks(record)
        if broken:
            self.breaches.append(len(self.verdicts))
        return broken

    def _possible(self, record: Any) -> bool:
        world, kind = self.plan.world, record["kind"]
        amount, interest, mine = (record[name] for name in ("amount_fen", "interest_fen", "platform_interest_fen"))
        principal, bank, platform = (record[name] for name in ("principal_fen", "bank_fen", "platform_fen"))
        funding = record["bank_funding_fen"], record["platform_funding_fen"]
        known = (
            record["lender"] in world.institutions
            and record["bank"] in (*world.banks, "none")
            and record["platform"] in (*world.institutions, "none")
            and record["borrower_id"] in range(self.shard, world.borrowers, world.shards)
        )
        ranges = (
            1 <= record["weight"] <= 10**7
            and 0 <= record["vintage"] < 256
            and 0 <= record["months_on_book"] < 64
            and 0 <= record["took_ms"] <= 10**10
            and 0 <= record["rate_ppm"] <= 10**6
            and 0 <= record["months"] <= 60
            and all(0 <= value <= 10**10 for name, value in record.items() if name.endswith("_fen"))
        )
        parts = (
            (principal + interest == bank + platform == amount)
            if kind in MONEY
            else not any((principal, interest, bank, platform, mine))
        )
        parts = parts and mine <= min(interest, platform) and platform - mine <= principal
        costs = record["service_fen"] <= (interest - mine if kind == "REPAID" else 0)
        costs = costs and sum(funding) <= (amount if kind in ("DUE", "CHARGED_OFF") else 0)
        owed = record["bank_outstanding_fen"]
        behind = owed <= record["outstanding_fen"] and (kind in OWED or record["outstanding_fen"] == 0)
        if kind in ("FUNDED", "BROUGHT_FORWARD"):
            behind = behind and interest == 0 and record["outstanding_fen"] == amount and owed == bank
        dated = record["months_on_book"] == 0 or kind in (*LATER, "BROUGHT_FORWARD")
        marked = record["arrears"] != "CURRENT"
        marks = kind in ("REPAID", "CHARGED_OFF", "BROUGHT_FORWARD") or marked == (kind == "PAST_DUE")
        none = (record["bank"] != "none" or not any((bank, funding[0], record["service_fen"], owed))) and (
            record["platform"] != "none" or not any((platform, funding[1]))
        )
        fee = record["fee_fen"] <= amount
        return bool(known and ranges and parts and costs and behind and none and dated and marks and fee)
