"""Which loan events count: the bulk path of the proof against the rules as they are written, one event at a time."""

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.jinliu.loan_world import (
    CAPS,
    MARKS,
    PLACES,
    SOURCES,
    Event,
    judged,
    tale,
)
from tests.unit.jinliu.oracle_world import BANKS, HOUR, START

WORTH_MAX = (2**63 - 1) // (2 * len(SOURCES))
PARTS = (
    "principal_fen", "interest_fen", "bank_fen", "platform_fen", "platform_interest_fen", "service_fen",
    "bank_funding_fen", "platform_funding_fen", "outstanding_fen", "bank_outstanding_fen", "fee_fen",
)  # fmt: skip
IN_PARTS = {"FUNDED", "DUE", "REPAID", "CHARGED_OFF", "RECOVERED", "BROUGHT_FORWARD"}
LATE = ("PAST_DUE", "REPAID", "CHARGED_OFF", "BROUGHT_FORWARD")
LATER = ("COMMISSION", "DUE", "REPAID", "PAST_DUE", "CHARGED_OFF", "RECOVERED")
PARTNERED = {"PARTNERSHIP", "COFINANCED", "JOINT"}
WHOSE = ("product", "bank", "platform", "lender", "borrower_id", "weight")


def fits(event: Event) -> bool:
    """The rules on one event."""
    e = {name: value or 0 if name in PARTS else value for name, value in event.items()}
    kind, amount, interest = e["kind"], e["amount_fen"], e["interest_fen"]
    if not all(0 <= e[name] <= 10**10 for name in (*PARTS, "amount_fen")) or not 1 <= e["weight"] <= 10**7:
        return False
    if not START <= e["event_time"] < START + 6 * HOUR or not 0 <= e["borrower_id"] < 60 or e["borrower_id"] % 2:
        return False
    if e["lender"] not in PLACES or e["bank"] not in (*BANKS, "none") or e["platform"] not in (*PLACES, "none"):
        return False
    if kind in IN_PARTS:
        if e["principal_fen"] + interest != amount or e["bank_fen"] + e["platform_fen"] != amount:
            return False
    elif any(e[name] for name in PARTS[:5]):
        return False
    theirs = e["platform_interest_fen"]
    if theirs > interest or theirs > e["platform_fen"] or e["platform_fen"] - theirs > e["principal_fen"]:
        return False
    if e["service_fen"] > (interest - theirs if kind == "REPAID" else 0):
        return False
    if e["bank_funding_fen"] + e["platform_funding_fen"] > (amount if kind in ("DUE", "CHARGED_OFF") else 0):
        return False
    if kind not in ("FUNDED", "DUE", "REPAID", "PAST_DUE", "BROUGHT_FORWARD") and e["outstanding_fen"]:
        return False
    if kind in ("FUNDED", "BROUGHT_FORWARD") and (interest or e["outstanding_fen"] != amount):
        return False
    if e["bank_outstanding_fen"] > e["outstanding_fen"] or e["fee_fen"] > amount:
        return False
    if kind in ("FUNDED", "BROUGHT_FORWARD") and e["bank_outstanding_fen"] != e["bank_fen"]:
        return False
    late = e["arrears"] != "CURRENT"
    if (late and kind not in LATE) or (kind == "PAST_DUE" and not late):
        return False
    if not 0 <= e["vintage"] <= 255 or not 0 <= e["months_on_book"] <= (63 if kind in (*LATER, *LATE) else 0):
        return False
    bank_parts = (e["bank_fen"], e["bank_funding_fen"], e["service_fen"], e["bank_outstanding_fen"])
    if e["bank"] == "none" and any(bank_parts):
        return False
    return e["platform"] != "none" or not (e["platform_fen"] or e["platform_funding_fen"])


class Lives:
    """The rules on a loan's life: `step` says whether one is in order, and moves the loan."""

    def __init__(self) -> None:
        self.loans: dict[int, Event] = {}

    def step(self, event: Event) -> bool:
        number, kind = event["loan_id"], event["kind"]
        actor, amount, product = event["actor"], event["amount_fen"], event["product"]
        loan = self.loans.get(number)
        if event["vintage"] + event["months_on_book"] != 144:
            return False
        after_ours, ours = event["bank_outstanding_fen"] or 0, event["bank_fen"] or 0
        if loan is None:
            if kind == "APPLIED" and actor == "BORROWER":
                self.loans[number] = {name: event[name] for name in WHOSE} | {"stage": "APPLIED", "fee": False}
                return True
            if kind == "BROUGHT_FORWARD":
                self.loans[number] = {name: event[name] for name in WHOSE} | {
                    "stage": "OPEN", "owed": event["outstanding_fen"] or 0, "fee": False, "ours": after_ours,
                    "mark": MARKS.index(event["arrears"]), "vintage": event["vintage"],
                }  # fmt: skip
                return True
            return False
        if any(loan[name] != event[name] for name in WHOSE):
            return False
        stage, lending = loan["stage"], actor != "BORROWER"
        screener = "BANK" if event["platform"] == "none" else "PLATFORM"
        after = event["outstanding_fen"] or 0
        principal, part = event["principal_fen"] or 0, event["platform_fen"] or 0
        our_principal = ours - (event["interest_fen"] or 0) + (event["platform_interest_fen"] or 0)
        mark = MARKS.index(event["arrears"])
        if kind in LATER and event["vintage"] != loan.get("vintage", event["vintage"]):
            return False
        match stage, kind:
            case "APPLIED", "SCREENED" if actor == screener:
                loan["stage"] = "SCREENED"
            case "SCREENED", "REJECTED" if actor == screener:
                del self.loans[number]
            case "SCREENED", "REFERRED" if product in PARTNERED and lending:
                loan["stage"] = "REFERRED"
            case "SCREENED", "OFFERED" if product not in PARTNERED and lending:
                loan["stage"] = "OFFERED"
            case "REFERRED", "OFFERED" if lending:
                loan["stage"] = "OFFERED"
            case (("REFERRED" | "OFFERED"), "REJECTED") if lending:
                del self.loans[number]
            case "OFFERED", "ABANDONED" if not lending:
                del self.loans[number]
            case "OFFERED", "APPROVED" if lending:
                loan["stage"] = "APPROVED"
            case "APPROVED", "FUNDED" if lending:
                if product == "PARTNERSHIP" and part > 0:
                    return False
                if product == "COFINANCED" and (part < amount / 100 or part > amount / 5):
                    return False
                loan |= {"stage": "OPEN", "owed": amount, "ours": ours, "mark": 0, "vintage": event["vintage"]}
            case "OPEN", "COMMISSION" if product == "PARTNERSHIP" and actor == "BANK" and not loan["fee"]:
                loan["fee"] = True
            case "OPEN", ("DUE" | "PAST_DUE") if lending and (after, after_ours) == (loan["owed"], loan["ours"]):
                if kind == "PAST_DUE":
                    if mark != loan["mark"] + 1:
                        return False
                    loan["mark"] = mark
            case "OPEN", "REPAID" if not lending and principal <= loan["owed"] and after == loan["owed"] - principal:
                if after_ours != loan["ours"] - our_principal or mark != loan["mark"]:
                    return False
                loan |= {"owed": after, "ours": after_ours, "mark": 0}
                if after == 0:
                    del self.loans[number]
            case "OPEN", "CHARGED_OFF" if lending and principal == amount == loan["owed"]:
                if ours != loan["ours"] or mark != loan["mark"]:
                    return False
                loan |= {"stage": "WRITTEN_OFF", "owed": 0, "lost": amount, "lost_ours": ours}
            case "WRITTEN_OFF", "RECOVERED" if lending and amount <= loan["lost"]:
                if ours > loan["lost_ours"] or part > loan["lost"] - loan["lost_ours"]:
                    return False
                loan["lost"] -= amount
                loan["lost_ours"] -= ours
            case _:
                return False
        return True


class Reference:
    """A log judged row by row, all rules in their order."""

    def __init__(self) -> None:
        self.lives = Lives()
        self.seq, self.worth = Counter(dict.fromkeys(SOURCES, -1)), Counter[str]()
        self.tick_end = dict.fromkeys(SOURCES, START)
        self.counts = {name: Counter[str]() for name in SOURCES}
        self.folded: list[bool] = []
        self.alerts: list[tuple[Any, ...]] = []

    def judge(self, log: list[Event]) -> None:
        for offset, row in enumerate(log):
            if "tick_end" in row:
                self._tick(row)
            else:
                verdict = self._verdict(row, offset)
                self.counts[row["source"]][verdict] += 1
                self.folded.append(verdict == "folded")

    def _tick(self, row: Event) -> None:
        source, ahead = row["source"], row["seq"] - self.seq[row["source"]]
        on_time = row["tick_end"] - HOUR <= max(self.tick_end.values()) + 3 * HOUR
        if ahead > 1000 or not on_time:
            self.counts[source]["dead"] += 1
            return
        self.counts[source]["ticks"] += 1
        if ahead > 0:
            self.counts[source]["missing"] += ahead - 1
            self.seq[source] = row["seq"]
            self.tick_end[source] = max(self.tick_end[source], row["tick_end"])

    def _verdict(self, row: Event, offset: int) -> str:
        source, ends = row["source"], self.tick_end
        if not fits(row) or row["event_time"] > ends[source] + 3 * HOUR:
            return "dead"
        ahead = row["seq"] - self.seq[source]
        if ahead > 1000:
            return "dead"
        if ahead <= 0:
            return "duplicate"
        worth = (row["amount_fen"] + (row["outstanding_fen"] or 0)) * row["weight"]
        if self.worth[source] + worth > WORTH_MAX:
            return "dead"
        if not self.lives.step(row):
            self.alerts.append(("loan-order", offset, row["loan_id"], row["lender"]))
            return "dead"
        self.seq[source] = row["seq"]
        self.worth[source] += worth
        self.counts[source]["missing"] += ahead - 1
        cap = next((cap for since, cap in reversed(CAPS) if since <= row["event_time"]), 2.0)
        if row["kind"] == "FUNDED" and row["product"] == "JOINT" and row["platform_fen"] > cap * row["amount_fen"]:
            self.alerts.append(("loan-cap", offset, row["loan_id"], row["lender"]))
        floor = max(min(ends.values()), max(ends.values()) - 3 * HOUR) - HOUR
        return "late" if row["event_time"] < floor else "folded"


def assert_as_written(log: list[tuple[Event, bytes]], size: int) -> Reference:
    """The acceptor, fed chunks of `size`, judges as the reference does."""
    plain = Reference()
    plain.judge([row for row, _ in log])
    acceptor, folded = judged([value for _, value in log], size, roster=SOURCES)
    assert folded == plain.folded
    for name, counts in plain.counts.items():
        ledger = acceptor.ledgers[name]
        assert {field: getattr(ledger, field) for field in counts} == counts, name
    alerts = [(a.rule, a.offset, int(a.subject.removeprefix("loan ")), a.institution) for a in acceptor.alerts]
    assert alerts == plain.alerts
    assert sorted(acceptor.lives.table[:, 0].tolist()) == sorted(plain.lives.loans)
    return plain


@given(st.integers(0, 2**32), st.integers(1, 80))
@settings(deadline=None, max_examples=150)
def test_in_bulk_as_written(seed: int, size: int) -> None:
    assert_as_written(tale(random.Random(seed)), size)


def test_the_tales_hold_what_they_are_to_test() -> None:
    """Otherwise the test above would prove little."""
    seen: Counter[str] = Counter()
    for seed in range(200):
        plain = assert_as_written(tale(random.Random(seed)), 1 + seed % 60)
        for counts in plain.counts.values():
            seen += counts
        seen.update(rule for rule, *_ in plain.alerts)
    assert seen["folded"] > seen["dead"] > seen["loan-order"] > 400
    assert min(seen[name] for name in ("loan-cap", "duplicate", "late", "missing")) > 5, seen
