"""Loans for the proof's tests: whole lives as dicts, what is wrong with one, and by what rules a log is judged."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from jinliu.oracle.accept import Acceptor
from jinliu.oracle.contract import LOAN_MONEY, TOPICS
from jinliu.oracle.decode import Decoder
from jinliu.oracle.rules import Rules
from schemas import catalog
from tests.unit.jinliu.oracle_world import BANKS, HOUR, START, rules, tick, wire

BORROWERS = 60
PLACES = {"alipay": 0, "icbc": 1, "abc": 2}
CAPS = ((START + HOUR // 2, 0.5), (START + 2 * HOUR, 0.3))
"""None in the first half hour."""
SCHEMAS = {name: (catalog.schema(name).id, catalog.schema(name).text) for name in ("loan", "tick")}
Event = dict[str, Any]

APPLICATION: Event = {
    "loan_id": 512, "borrower_id": 2, "weight": 10, "kind": "APPLIED", "product": "JOINT", "lender": "alipay",
    "bank": "icbc", "platform": "alipay", "actor": "BORROWER", "vintage": 144, "months_on_book": 0,
    "arrears": "CURRENT", "amount_fen": 1000, "principal_fen": None, "interest_fen": None, "bank_fen": None,
    "platform_fen": None, "platform_interest_fen": None, "service_fen": None, "bank_funding_fen": None,
    "platform_funding_fen": None, "outstanding_fen": None, "bank_outstanding_fen": None, "took_ms": 0,
    "rate_ppm": None, "apr_ppm": None, "months": None, "fee_fen": None, "on_record": True, "first": False,
}  # fmt: skip
PARTIES = {
    "BAITIAO": ("alipay", "none", "alipay"),
    "CARD": ("icbc", "icbc", "none"),
    "PARTNERSHIP": ("abc", "abc", "alipay"),
    "COFINANCED": ("icbc", "icbc", "alipay"),
    "JOINT": ("alipay", "icbc", "alipay"),
}
"""Product -> lender, bank, platform."""


def loan_rules(**other: Any) -> Rules:
    """Those of `oracle_world`, for topic `loans`."""
    given: Event = {
        "topic": "loans", "record": "loan", "persons": BORROWERS, "person": "borrower_id", "places": PLACES,
        "words": {"lender": frozenset(PLACES), "bank": frozenset({*BANKS, "none"}),
                  "platform": frozenset({*PLACES, "none"})},
        "ranges": dict(TOPICS["loans"].ranges), "worth": ("amount_fen", "outstanding_fen"), "caps": CAPS,
    }  # fmt: skip
    return rules(**(given | other))


def loan(source: str, seq: int, at: int = 0, **event: Any) -> bytes:
    """A step `at` milliseconds after the start."""
    return wire("loan", {"source": source, "seq": seq, "event_time": START + at} | APPLICATION | event)


def told(steps: Sequence[Event], source: str = "alipay", at: int = 10) -> list[bytes]:
    """An OPEN tick and the steps, one after the other."""
    opened = tick(source, 0, 0, 0, 0, kind="OPEN")
    return [opened, *(loan(source, 1 + i, at, **step) for i, step in enumerate(steps))]


def judged(values: Sequence[bytes | None], size: int = 1000, **other: Any) -> tuple[Acceptor, list[bool]]:
    """The acceptor of shard 0 behind a log, and which events it folded."""
    acceptor, decoder, folded = Acceptor(loan_rules(**other), 0), Decoder(SCHEMAS), []
    for at in range(0, len(values), size):
        part = values[at : at + size]
        folded += acceptor.feed(decoder.decode(part), range(at, at + len(part))).tolist()
    return acceptor, folded


def money(
    kind: str,
    actor: str,
    principal: int,
    interest: int,
    ours: int,
    after: int | None,
    part: int | None = None,
    behind: int | None = None,
    **other: Any,
) -> Event:
    """A step that moves money, in parts. ours: the platform's part of principal, interest and what is outstanding
    after, in hundredths; part, behind: of the principal and after, where they are others, in fen.
    """
    part = principal * ours // 100 if part is None else part
    behind = (after or 0) * ours // 100 if behind is None else behind
    part_of_interest = interest * ours // 100
    return {
        "kind": kind, "actor": actor, "amount_fen": principal + interest, "principal_fen": principal,
        "interest_fen": interest, "platform_fen": part + part_of_interest,
        "bank_fen": principal + interest - part - part_of_interest, "platform_interest_fen": part_of_interest,
        "outstanding_fen": after, "bank_outstanding_fen": None if after is None else after - behind,
    } | other  # fmt: skip


def life(
    product: str = "JOINT", number: int = 512, amount: int = 1000, ours: int = 20, ending: str = "written off"
) -> list[Event]:
    """All steps of a loan of which everything is told. ending: "rejected early", "rejected", "abandoned", "repaid",
    "written off", or "brought forward" for one that is repaid but was funded before.
    """
    lender, bank, platform = PARTIES[product]
    whose = {
        "product": product, "lender": lender, "bank": bank, "platform": platform, "loan_id": number,
        "borrower_id": number // 256,
    }  # fmt: skip
    share = {"BAITIAO": 100, "CARD": 0, "PARTNERSHIP": 0}.get(product, ours)
    who, screener = ("PLATFORM" if lender == "alipay" else "BANK"), ("PLATFORM" if platform != "none" else "BANK")

    def steps() -> Iterator[Event]:
        left = amount
        if ending != "brought forward":
            yield {"kind": "APPLIED", "actor": "BORROWER"}
            yield {"kind": "SCREENED", "actor": screener}
            if ending == "rejected early":
                yield {"kind": "REJECTED", "actor": screener}
                return
            if bank != "none" and platform != "none":
                yield {"kind": "REFERRED", "actor": screener}
            yield {"kind": "OFFERED", "actor": who, "fee_fen": 3, "months": 3}
            if ending in ("rejected", "abandoned"):
                rejected = {"kind": "REJECTED", "actor": who}
                yield rejected if ending == "rejected" else {"kind": "ABANDONED", "actor": "BORROWER"}
                return
            yield {"kind": "APPROVED", "actor": who, "took_ms": 5}
            yield money("FUNDED", who, amount, 0, share, amount)
        else:
            yield money("BROUGHT_FORWARD", who, amount, 0, share, amount)
        if product == "PARTNERSHIP":
            yield {"kind": "COMMISSION", "actor": "BANK", "amount_fen": 7}
        part, theirs = amount // 4, amount * share // 100
        yield money("DUE", who, part, 9, share, left, behind=theirs)
        left, theirs = left - part, theirs - part * share // 100
        yield money("REPAID", "BORROWER", part, 9, share, left, behind=theirs)
        late = {"outstanding_fen": left, "bank_outstanding_fen": left - theirs}
        yield {"kind": "PAST_DUE", "actor": who, "arrears": "DPD1"} | late
        if ending != "written off":
            yield money("REPAID", "BORROWER", left, 9, share, 0, part=theirs, arrears="DPD1")
            return
        yield money("CHARGED_OFF", who, left, 0, share, None, part=theirs, arrears="DPD1")
        yield money("RECOVERED", who, 5, 0, share, None)
        yield money("RECOVERED", who, left - 5, 0, share, None, part=theirs - 5 * share // 100)

    return [APPLICATION | {"amount_fen": amount} | whose | step for step in steps()]


ENDINGS = ("rejected early", "rejected", "abandoned", "repaid", "written off", "brought forward")
FIELDS = {field["name"]: field["type"] for field in catalog.schema("loan").parsed["fields"]}
MARKS: tuple[str, ...] = tuple(FIELDS["arrears"]["symbols"])
KINDS: tuple[str, ...] = tuple(FIELDS["kind"]["symbols"])


def spoiled(event: Event, draw: random.Random) -> Event:
    """The event with one thing changed."""
    field = draw.choice(
        ["kind", "kind", "actor", "actor", "product", "platform", "bank", "lender", "weight", "borrower_id", "loan_id",
         "arrears", "vintage", "months_on_book", *LOAN_MONEY]
    )  # fmt: skip
    if field == "kind":
        return event | {"kind": draw.choice(KINDS)}
    if field == "actor":
        return event | {"actor": draw.choice(("BORROWER", "BANK", "PLATFORM"))}
    if field == "product":
        return event | {"product": draw.choice(tuple(PARTIES))}
    if field in ("platform", "bank", "lender"):
        return event | {field: draw.choice(("alipay", "icbc", "abc", "none"))}
    if field == "arrears":
        return event | {"arrears": draw.choice(MARKS)}
    moved = (event[field] or 0) + draw.choice((-256, -1, 1, 2, 256))
    return event | {field: moved}


SOURCES = ("alipay", "banks", *(f"silent-{i}" for i in range(38)))
"""So many that a source has worth for little: 1.15e17 fen."""


class Telling:
    """Two sources tell on; what they tell is kept as (record as a dict, its bytes). Ticks have the field `tick_end`."""

    def __init__(self, draw: random.Random, wrong: float) -> None:
        """wrong: how often what is told has a wrong `seq` or time, about."""
        self.draw, self._wrong = draw, wrong
        self.log: list[tuple[Event, bytes]] = []
        self._seq, self._hour = dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 0)

    def tick(self, source: str) -> None:
        """The tick of the source's hour, while there are hours left."""
        seq, hour = self._seq[source], self._hour[source]
        if hour < 5:
            row = {"source": source, "seq": seq, "tick_end": START + (hour + 1) * HOUR}
            self.log.append((row, tick(source, seq, hour, 0, 0)))
            self._seq[source], self._hour[source] = seq + 1, hour + 1

    def event(self, source: str, event: Event) -> None:
        """A step in the source's hour, now and then too late, too far ahead, with a wrong `seq`, or told twice."""
        draw, seq = self.draw, self._seq[source]
        at = START + self._hour[source] * HOUR + draw.randrange(HOUR)
        deed = draw.choice(("time", "ahead", "behind", "twice", "again")) if draw.random() < self._wrong else ""
        if deed == "time":
            at = draw.choice((START, START + 5 * HOUR + 1))
        elif deed == "ahead":
            seq += draw.choice((1, 5, 999, 1000, 1001))
        elif deed == "behind":
            seq = max(0, seq - draw.randrange(1, 4))
        row = event | {"source": source, "seq": seq, "event_time": at}
        self.log += [(row, wire("loan", row))] * (1 + (deed == "twice"))
        if seq >= self._seq[source] and deed != "again":
            self._seq[source] = seq + 1


def tale(draw: random.Random) -> list[tuple[Event, bytes]]:
    """A log about some loans in shard 0, told by two sources, a part of it wrong, as `Telling` keeps it."""
    lives: list[list[Event]] = [[] for _ in range(8)]
    for _ in range(draw.randrange(1, 12)):
        place = draw.randrange(8)  # loans share numbers: one after the other, or (the last two) at once
        number = 512 * min(place, 6)
        amount, weight = draw.choice(((4, 10), (1000, 10), (1001, 10), (10**9, 10**7)))
        product, ending = draw.choice(tuple(PARTIES)), draw.choice(ENDINGS)
        sound = product == "COFINANCED" and draw.random() < 0.8
        ours = draw.choice((1, 20) if sound else (0, 21, 31, 60))
        steps = [step | {"weight": weight} for step in life(product, number, amount, ours, ending)]
        lives[place] += [step for step in steps if draw.random() > 0.01]
    telling = Telling(draw, draw.choice((0.0, 0.0, 0.02, 0.1)))
    while any(lives):
        lives = [steps for steps in lives if steps]
        event = draw.choice(lives).pop(0)
        for name in ("alipay", "banks"):
            if draw.random() < 0.12:
                telling.tick(name)
        mine = (event["loan_id"] == 512) == (draw.random() < 0.1)
        telling.event("alipay" if mine else "banks", spoiled(event, draw) if draw.random() < 0.02 else event)
    return telling.log


HOURS = 6
FORWARD = ("BAITIAO", "CARD", "PARTNERSHIP", "COFINANCED", "JOINT", "JOINT")


def loans(shard: int, ours: int = 20) -> list[bytes | None]:
    """All that two sources tell of one shard, OPEN to CLOSE, with ticks that are right. The last loan is the only one
    with a part of `ours` hundredths, is paid out in the fourth hour, and in the last more is recovered than there is.
    """
    hours: list[list[Event]] = [[] for _ in range(HOURS)]
    for i, product in enumerate(FORWARD):
        last = i == len(FORWARD) - 1
        ending = "written off" if last else ENDINGS[3 + i % 3]
        steps = life(product, 256 * (2 * i + shard), 1000 + i, ours if last else 20, ending)
        for k, step in enumerate(steps + steps[-1:] if last else steps):
            hours[min(k // 2 + last, HOURS - 1)].append(step)
    out: list[bytes | None] = [tick(name, 0, 0, 0, 0, shard, "OPEN") for name in ("alipay", "banks")]
    seq = dict.fromkeys(("alipay", "banks"), 1)
    for hour, steps in enumerate(hours):
        for name in seq:
            mine = [step for step in steps if (step["lender"] == "alipay") == (name == "alipay")]
            for i, step in enumerate(mine):
                out.append(loan(name, seq[name] + i, hour * HOUR + i, **step))
            seq[name] += len(mine) + 1
            amount = sum(step["amount_fen"] for step in mine)
            out.append(tick(name, seq[name] - 1, hour, len(mine), amount, shard))
    return out + [tick(name, seq[name], HOURS, 0, 0, shard, "CLOSE") for name in seq]
