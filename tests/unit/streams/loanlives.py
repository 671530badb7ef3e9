"""Lives of loans by hand and by chance: steps as they keep the rules, or nearly."""

from __future__ import annotations

import random
from typing import Any

from tests.unit.streams import chunks
from tests.unit.streams.chunks import DAY, ROSTER, loan, plan_for
from tests.unit.streams.loans import MARKS, MAY_TAKE, MONEY, NEXT, OWED, REFERRED, Loan, Loans

START = 1_262_304_000_000  # 2010-01-01, vintage 0
SPAN = (START, START + 8 * DAY, DAY)
PLAN = plan_for([], "loans", SPAN, waiting=(1, 3))
PRODUCTS = ("CARD", "BAITIAO", *REFERRED)


def tick(source: str, seq: int, day: int, events: int = 0, amount_fen: int = 0) -> Any:
    """The tick of a day of the run, from 0."""
    start = START + day * DAY
    return chunks.tick(source, seq, start, start + DAY, events, amount_fen)


OPENED = [chunks.tick(name, 0, START, START, kind="OPEN") for name in ROSTER]


def parties(product: str, borrower: int = 0, place: int = 0, platform: str = "alipay") -> dict[str, Any]:
    """What all steps of a loan have in common: number, borrower, product, lender, bank, platform."""
    shared = {"loan_id": 256 * borrower + place, "borrower_id": borrower, "product": product}
    if product in REFERRED:
        lender = platform if product == "JOINT" else "icbc"
        return shared | {"lender": lender, "bank": "icbc", "platform": platform}
    if product == "BAITIAO":
        return shared | {"lender": platform, "bank": "none", "platform": platform}
    return shared | {"lender": "icbc", "bank": "icbc", "platform": "none"}


def step(
    shared: dict[str, Any],
    kind: str,
    amount: int = 0,
    interest: int = 0,
    part: int = 0,
    outstanding: int = 0,
    theirs: int = 0,
    **more: Any,
) -> Any:
    """A step as it keeps the rules on one event, on the run's first day. interest: of the amount; part: the platform's
    of its principal; theirs: the platform's of what is outstanding behind it.
    """
    fields: dict[str, Any] = shared | {"kind": kind, "amount_fen": amount, "event_time": START}
    referrer = "BANK" if shared["platform"] == "none" else "PLATFORM"
    lender = "BANK" if shared["lender"] == shared["bank"] else "PLATFORM"
    actor = {"SCREENED": referrer, "REFERRED": referrer}.get(kind, MAY_TAKE.get(kind, (lender,))[0])
    if kind in MONEY:
        principal = amount - interest
        part = part if shared["bank"] != "none" else principal
        mine = interest if shared["bank"] == "none" else interest * part // principal if principal else 0
        fields |= {
            "principal_fen": principal, "interest_fen": interest, "platform_interest_fen": mine,
            "platform_fen": part + mine, "bank_fen": amount - part - mine,
        }  # fmt: skip
    if kind in ("FUNDED", "BROUGHT_FORWARD"):
        outstanding, theirs = amount, part
    if kind in OWED:
        fields["outstanding_fen"] = outstanding
        fields["bank_outstanding_fen"] = outstanding - theirs if shared["bank"] != "none" else 0
    if kind == "PAST_DUE":
        fields["arrears"] = "DPD1"
    return loan(**fields | {"actor": actor} | more)


def application(product: str, amount: int = 1000, part: int = 0, **more: Any) -> list[Any]:
    """The steps of a loan up to its funding. part: the platform's of the money."""
    shared = parties(product, **more)
    kinds = ("APPLIED", "SCREENED", *(("REFERRED",) if product in REFERRED else ()), "OFFERED", "APPROVED")
    return [step(shared, kind, amount) for kind in kinds] + [step(shared, "FUNDED", amount, part=part)]


def following(draw: random.Random, held: Loan | None, shared: dict[str, Any]) -> Any:
    """A step that a loan as it stands may take."""
    if held is None:
        kind = draw.choice(("APPLIED", "APPLIED", "APPLIED", "BROUGHT_FORWARD"))
        mark = draw.choice(MARKS) if kind == "BROUGHT_FORWARD" else "CURRENT"
        return step(shared, kind, draw.randrange(1, 1000), arrears=mark)
    left, product = held.outstanding, held.first["product"]
    theirs = left - held.bank_outstanding
    kinds = [kind for kind in NEXT[held.stage] if kind not in ("REJECTED", "ABANDONED") or draw.random() < 0.3]
    if held.stage == "SCREENED":
        kinds = [kind for kind in kinds if kind != ("OFFERED" if product in REFERRED else "REFERRED")]
    if product != "PARTNERSHIP" or held.commissions:
        kinds = [kind for kind in kinds if kind != "COMMISSION"]
    if held.mark == "DPD90":
        kinds = [kind for kind in kinds if kind != "PAST_DUE"]
    kind = draw.choice(kinds)
    if kind == "FUNDED":
        amount = 100 * draw.randrange(100)
        return step(shared, kind, amount, part={"COFINANCED": amount // 10, "JOINT": amount // 2}.get(product, 0))
    if kind in ("DUE", "PAST_DUE"):
        mark = MARKS[MARKS.index(held.mark) + 1] if kind == "PAST_DUE" else "CURRENT"
        return step(shared, kind, draw.randrange(100), outstanding=left, theirs=theirs, arrears=mark)
    if kind == "REPAID":
        principal = draw.choice((left, draw.randrange(left + 1)))
        part = draw.randint(max(0, principal - held.bank_outstanding), min(principal, theirs))
        behind: dict[str, Any] = {"outstanding": left - principal, "theirs": theirs - part, "arrears": held.mark}
        return step(shared, kind, principal + 9, interest=9, part=part, **behind)
    if kind == "RECOVERED":
        amount = draw.randrange(held.written_off - held.recovered + 1)
        lost = held.bank_written_off - held.bank_recovered
        most = held.written_off - held.recovered - lost
        return step(shared, kind, amount, part=draw.randint(max(0, amount - lost), min(amount, most)))
    if kind == "CHARGED_OFF":
        return step(shared, kind, left, part=theirs, arrears=held.mark)
    return step(shared, kind, draw.randrange(1000))


def tampered(draw: random.Random, event: dict[str, Any]) -> Any:
    """The step with one thing another: most break a rule."""
    return event | draw.choice(
        (
            {"actor": draw.choice(("BORROWER", "BANK", "PLATFORM"))},
            {"product": draw.choice(PRODUCTS)},
            {"weight": draw.choice((1, 10, 11))},
            {"lender": "lan-hai"},
            {"bank": draw.choice(("lan-hai", "none"))},
            {"platform": draw.choice(("alipay", "lan-hai", "none"))},
            {"borrower_id": draw.choice((0, 1, 2, 4))},
            {"amount_fen": event["amount_fen"] + 1},
            {"outstanding_fen": abs(event["outstanding_fen"] + draw.choice((-1, 1)))},
            {"principal_fen": event["principal_fen"] + 1, "interest_fen": event["interest_fen"] - 1},
            {"platform_fen": event["bank_fen"], "bank_fen": event["platform_fen"]},
            {"platform_interest_fen": 0, "service_fen": 1},
            {"bank_outstanding_fen": abs(event["bank_outstanding_fen"] + draw.choice((-1, 1)))},
            {"arrears": draw.choice(MARKS)},
            {"vintage": 1},
            {"months_on_book": 1},
            {"event_time": START + 40 * DAY},
        )
    )


def random_step(draw: random.Random, loans: Loans, places: int = 2) -> Any:
    """A step of a loan of one of three borrowers that goes on from `loans`, now and then one that should not."""
    borrower, place = draw.choice((0, 2, 4)), draw.randrange(places)
    held = loans.held.get(256 * borrower + place)
    platform = draw.choice(("alipay", "lan-hai"))
    shared = parties(draw.choice(PRODUCTS), borrower, place, platform)
    if held is not None:
        shared = {name: held.first[name] for name in shared}
    chance = draw.random()
    if chance < 0.1:
        stage = held.stage if held is not None else "NONE"
        kinds = NEXT[stage] if chance < 0.05 else {kind for kinds in NEXT.values() for kind in kinds}
        return step(shared, draw.choice(sorted(kinds)), draw.randrange(9))
    event = following(draw, held, shared)
    return tampered(draw, event) if chance < 0.3 else event
