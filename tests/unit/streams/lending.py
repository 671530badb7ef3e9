"""Random loan lives that keep the rules of `loans`: records by shard, for tests of what reads that topic."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from streams.plan import TopicPlan
from streams.windows import month_of
from tests.unit.streams import chunks
from tests.unit.streams.chunks import WORLD, tick

LENDING_WORLD = replace(
    WORLD,
    institutions=("alipay", "icbc", "lan-hai", "jd"),
    kinds={"alipay": "platform", "icbc": "state-bank", "lan-hai": "private-bank", "jd": "platform"},
)
NONE = "none"
MARKS = ("CURRENT", "DPD1", "DPD30", "DPD60", "DPD90")
BY_PLATFORM = ("PARTNERSHIP", "COFINANCED", "JOINT")
WEIGHT = 100
NULLABLE = (
    "principal_fen", "interest_fen", "bank_fen", "platform_fen", "platform_interest_fen", "service_fen",
    "bank_funding_fen", "platform_funding_fen", "outstanding_fen", "bank_outstanding_fen", "rate_ppm", "apr_ppm",
    "months", "fee_fen",
)  # fmt: skip


def loan(**fields: Any) -> dict[str, Any]:
    return chunks.loan(**({"weight": WEIGHT} | fields))


def with_nulls(event: dict[str, Any]) -> dict[str, Any]:
    """The event as it may lie on the wire: null is 0."""
    return event | {name: event[name] or None for name in NULLABLE}


@dataclass
class Life:
    """A loan so far. outstanding and bank_outstanding: principal, all and the bank's part; lost, bank_lost: of what is
    written off and not recovered.
    """

    fixed: dict[str, Any]
    stage: str = "NONE"
    amount: int = 0
    outstanding: int = 0
    bank_outstanding: int = 0
    mark: int = 0
    vintage: int = 0
    commissioned: bool = False
    lost: int = 0
    bank_lost: int = 0

    def next(self, draw: random.Random, time_ms: int) -> dict[str, Any]:
        """A lawful next step; "OVER" is the stage of a loan that has none."""
        kind = draw.choice(self._kinds())
        fields = getattr(self, f"_{kind.lower()}", lambda _: {"amount_fen": self.amount})(draw)
        month = month_of(time_ms)
        if kind == "FUNDED":
            self.vintage = month
        elif kind == "BROUGHT_FORWARD":
            self.vintage = month - draw.randrange(30)
        elif self.stage in ("NONE", "APPLIED", "SCREENED", "REFERRED", "OFFERED"):
            self.vintage = month
        aged = {"vintage": self.vintage, "months_on_book": month - self.vintage}
        said = {"event_time": time_ms, "kind": kind, "actor": self._actor(kind)} | aged | fields
        event = chunks.LOAN | self.fixed | said
        self._move(kind)
        return event

    def _kinds(self) -> Sequence[str]:
        if self.stage == "OPEN":
            commission = self.fixed["product"] == "PARTNERSHIP" and not self.commissioned
            late = ["PAST_DUE", "PAST_DUE"] if self.mark < 4 else ["CHARGED_OFF"]
            return ["DUE", "REPAID", *late, *(["COMMISSION"] * 5 if commission else [])]
        return {
            "NONE": ("APPLIED", "APPLIED", "BROUGHT_FORWARD"),
            "APPLIED": ("SCREENED",),
            "SCREENED": ("REFERRED" if self.fixed["product"] in BY_PLATFORM else "OFFERED",) * 3 + ("REJECTED",),
            "REFERRED": ("OFFERED", "OFFERED", "OFFERED", "REJECTED"),
            "OFFERED": ("APPROVED", "APPROVED", "APPROVED", "APPROVED", "REJECTED", "ABANDONED"),
            "APPROVED": ("FUNDED",),
            "WRITTEN_OFF": ("RECOVERED",),
        }[self.stage]

    def _actor(self, kind: str) -> str:
        if kind in ("APPLIED", "ABANDONED", "REPAID"):
            return "BORROWER"
        if kind == "COMMISSION":
            return "BANK"
        screener = "BANK" if self.fixed["platform"] == NONE else "PLATFORM"
        if kind in ("SCREENED", "REFERRED") or (kind == "REJECTED" and self.stage == "SCREENED"):
            return screener
        return "PLATFORM" if self.fixed["bank"] == NONE else "BANK"

    def _move(self, kind: str) -> None:
        if kind in ("FUNDED", "BROUGHT_FORWARD", "COMMISSION", "DUE", "PAST_DUE", "REPAID"):
            self.commissioned = self.commissioned or kind == "COMMISSION"
            self.stage = "OPEN" if self.outstanding else "OVER"
        elif kind in ("CHARGED_OFF", "RECOVERED"):
            self.stage = "WRITTEN_OFF" if self.lost else "OVER"
        else:
            self.stage = "OVER" if kind in ("REJECTED", "ABANDONED") else kind

    def _applied(self, draw: random.Random) -> dict[str, Any]:
        self.amount = draw.randrange(100, 10**6)
        return {"amount_fen": self.amount}

    def _approved(self, draw: random.Random) -> dict[str, Any]:
        took = draw.choice((0, 999, 1_000, 179_999, 180_000, 3 * 86_400_000, 10**10, draw.randrange(10**9)))
        return {"amount_fen": self.amount, "took_ms": took}

    _rejected = _abandoned = _approved

    def _funded(self, draw: random.Random) -> dict[str, Any]:
        self.outstanding = self.amount
        if self.fixed["bank"] == NONE:
            platform = self.amount
        elif self.fixed["product"] == "COFINANCED":
            platform = draw.randrange(-(-self.amount // 100), self.amount // 5 + 1)
        else:
            platform = draw.randrange(self.amount + 1) if self.fixed["product"] == "JOINT" else 0
        self.bank_outstanding = self.amount - platform
        first = self.fixed["platform"] != NONE and draw.random() < 0.5
        fee = draw.randrange(self.amount // 10)
        return self._money(self.amount, 0, self.bank_outstanding, 0) | {"first": first, "fee_fen": fee, "months": 12}

    def _brought_forward(self, draw: random.Random) -> dict[str, Any]:
        self.amount = draw.randrange(100, 10**6)
        self.mark = draw.randrange(5)
        fields = self._funded(draw) | {"first": False, "fee_fen": 0, "months": 0}
        return fields | {"arrears": MARKS[self.mark]}

    def _commission(self, draw: random.Random) -> dict[str, Any]:
        return {"amount_fen": draw.randrange(self.amount // 10)}

    def _due(self, draw: random.Random) -> dict[str, Any]:
        fields = self._instalment(draw, draw.randrange(self.outstanding + 1))
        costs = {
            f"{party}_funding_fen": draw.randrange(fields["amount_fen"] // 2 + 1) if fields[f"{party}_fen"] else 0
            for party in ("bank", "platform")
        }
        return fields | costs

    def _past_due(self, draw: random.Random) -> dict[str, Any]:
        self.mark += 1
        left = {"outstanding_fen": self.outstanding, "bank_outstanding_fen": self.bank_outstanding}
        return {"arrears": MARKS[self.mark], "amount_fen": draw.randrange(self.outstanding + 1), **left}

    def _repaid(self, draw: random.Random) -> dict[str, Any]:
        principal = draw.choice((self.outstanding, draw.randrange(self.outstanding + 1)))
        fields = self._instalment(draw, principal) | {"arrears": MARKS[self.mark]}
        interest = fields["interest_fen"] - fields["platform_interest_fen"]
        self.outstanding -= principal
        self.bank_outstanding -= fields["bank_fen"] - interest
        self.mark = 0
        service = draw.randrange(interest + 1) if self.fixed["product"] == "JOINT" else 0
        left = {"outstanding_fen": self.outstanding, "bank_outstanding_fen": self.bank_outstanding}
        return fields | left | {"service_fen": service}

    def _charged_off(self, draw: random.Random) -> dict[str, Any]:
        fields = self._money(self.outstanding, 0, self.bank_outstanding, 0) | {"arrears": MARKS[self.mark]}
        self.lost, self.bank_lost = self.outstanding, self.bank_outstanding
        self.outstanding = self.bank_outstanding = 0
        cost = draw.randrange(self.lost // 2 + 1) if fields["bank_fen"] else 0
        return fields | {"outstanding_fen": 0, "bank_outstanding_fen": 0, "bank_funding_fen": cost}

    def _recovered(self, draw: random.Random) -> dict[str, Any]:
        amount = draw.choice((self.lost, draw.randrange(self.lost + 1)))
        bank = draw.randint(max(0, amount - (self.lost - self.bank_lost)), min(amount, self.bank_lost))
        self.lost -= amount
        self.bank_lost -= bank
        fields = self._money(amount, 0, bank, 0)
        return fields | {"outstanding_fen": 0, "bank_outstanding_fen": 0}

    def _instalment(self, draw: random.Random, principal: int) -> dict[str, Any]:
        """Principal and some interest, split as the outstanding principal allows."""
        low = max(0, principal - (self.outstanding - self.bank_outstanding))
        bank = draw.randint(low, min(principal, self.bank_outstanding))
        interest = draw.randrange(principal // 10 + 2)
        platform_interest = draw.randrange(interest + 1)
        if self.fixed["platform"] == NONE or self.fixed["bank"] == NONE:
            platform_interest = interest if self.fixed["bank"] == NONE else 0
        return self._money(principal, interest, bank + interest - platform_interest, platform_interest)

    def _money(self, principal: int, interest: int, bank: int, platform_interest: int) -> dict[str, Any]:
        amount = principal + interest
        return {
            "amount_fen": amount,
            "principal_fen": principal,
            "interest_fen": interest,
            "bank_fen": bank,
            "platform_fen": amount - bank,
            "platform_interest_fen": platform_interest,
            "outstanding_fen": self.outstanding,
            "bank_outstanding_fen": self.bank_outstanding,
        }


def applicant(draw: random.Random, source: str, borrower: int, number: int) -> Life:
    """A loan that the borrower is to ask for, told by the source."""
    product = draw.choice(
        ("BAITIAO", "JOINT") if source == "alipay" else ("WEILIDAI", "CARD", "CONSUMER", "SME", *BY_PLATFORM[:2])
    )
    bank = NONE if product == "BAITIAO" else draw.choice(WORLD.banks)
    platform = draw.choice(("alipay", "jd")) if product in ("BAITIAO", *BY_PLATFORM) else NONE
    lender = platform if source == "alipay" else bank
    weight = (70, 2_500, 10_000)[borrower % 3] if draw.random() < 0.8 else draw.randrange(1, 10**7)
    return Life(
        {
            "source": source,
            "loan_id": borrower * 256 + number,
            "borrower_id": borrower,
            "weight": weight,
            "product": product,
            "lender": lender,
            "bank": bank,
            "platform": platform,
            "on_record": borrower % 2 == 0 and draw.random() < 0.9,
        }
    )


def told(plan: TopicPlan, shard: int, draw: random.Random, a_tick: int) -> list[dict[str, Any]]:
    """The whole log of a shard: OPEN, up to `a_tick` events a source and tick, ticks, CLOSE."""
    numbers = {shard + plan.shards * n: 0 for n in range(plan.people // plan.shards)}
    lives: dict[str, list[Life]] = {source: [] for source in plan.roster}
    events = []
    for start in range(plan.start_ms, plan.end_ms, plan.tick_ms):
        for source in plan.roster:
            for time_ms in sorted(start + draw.randrange(plan.tick_ms) for _ in range(draw.randrange(a_tick + 1))):
                if draw.random() < 0.2 or not lives[source]:
                    borrower = draw.choice([each for each, made in numbers.items() if made < 256])
                    lives[source].append(applicant(draw, source, borrower, numbers[borrower]))
                    numbers[borrower] += 1
                life = draw.choice(lives[source][-40:])
                events.append(life.next(draw, time_ms))
                if life.stage == "OVER":
                    lives[source].remove(life)
    return logged(plan, shard, events)


def logged(plan: TopicPlan, shard: int, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A shard's log of these events, in their order within each source and tick: they get their `seq`."""
    log = [tick(source, 0, plan.start_ms, plan.start_ms, kind="OPEN", shard=shard) for source in plan.roster]
    seq = dict.fromkeys(plan.roster, 1)
    for start in range(plan.start_ms, plan.end_ms, plan.tick_ms):
        end = start + plan.tick_ms
        for source in plan.roster:
            inside = [e for e in events if e["source"] == source and start <= e["event_time"] < end]
            log += [event | {"seq": seq[source] + number} for number, event in enumerate(inside)]
            seq[source] += len(inside)
            amount = sum(event["amount_fen"] for event in inside)
            log.append(tick(source, seq[source], start, end, len(inside), amount, shard=shard))
            seq[source] += 1
    log += [tick(source, seq[source], plan.end_ms, plan.end_ms, kind="CLOSE", shard=shard) for source in plan.roster]
    return log
