"""A chunk of `loans` as columns, and the rules on one event: what no state of its loan could make good."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from jinliu.oracle.columns import Bool, Int64, longs, mapped
from jinliu.oracle.contract import NONE


class Kind(IntEnum):
    """The steps of a loan."""

    APPLIED = 0
    SCREENED = 1
    REFERRED = 2
    OFFERED = 3
    APPROVED = 4
    REJECTED = 5
    ABANDONED = 6
    FUNDED = 7
    COMMISSION = 8
    DUE = 9
    REPAID = 10
    PAST_DUE = 11
    CHARGED_OFF = 12
    RECOVERED = 13
    BROUGHT_FORWARD = 14


class Product(IntEnum):
    """The products: the last three are lent with a partner."""

    BAITIAO = 0
    WEILIDAI = 1
    CARD = 2
    CONSUMER = 3
    SME = 4
    PARTNERSHIP = 5
    COFINANCED = 6
    JOINT = 7


class Actor(IntEnum):
    """Who took a step."""

    BORROWER = 0
    BANK = 1
    PLATFORM = 2


class Arrears(IntEnum):
    """Marks of days past due, each a step behind the one before."""

    CURRENT = 0
    DPD1 = 1
    DPD30 = 2
    DPD60 = 3
    DPD90 = 4


MONEY = (Kind.FUNDED, Kind.DUE, Kind.REPAID, Kind.CHARGED_OFF, Kind.RECOVERED, Kind.BROUGHT_FORWARD)
"""Kinds whose amount is told in parts."""
OWED = (Kind.FUNDED, Kind.DUE, Kind.REPAID, Kind.PAST_DUE, Kind.BROUGHT_FORWARD)
"""Kinds that tell what is outstanding behind them."""
MARKED = (Kind.PAST_DUE, Kind.REPAID, Kind.CHARGED_OFF, Kind.BROUGHT_FORWARD)
"""Kinds that tell a mark of arrears."""
AGED = (
    Kind.COMMISSION,
    Kind.DUE,
    Kind.REPAID,
    Kind.PAST_DUE,
    Kind.CHARGED_OFF,
    Kind.RECOVERED,
    Kind.BROUGHT_FORWARD,
)
"""Kinds of a loan that was funded before."""
EPOCH_MONTHS = 12 * (2010 - 1970)
"""From January 1970 to the month that vintages are counted from."""


@dataclass(frozen=True, slots=True)
class Loans:
    """The columns of a chunk's events that a loan's life is judged by: int64[n] each, null as 0.

    kind, product, actor, arrears: codes of the enumerations here. lender, bank, platform: indices in the topology,
    `nobody` for none. bank_principal: the bank's part of `amount` less its part of the interest. month: of the event,
    as vintages are counted.
    """

    nobody: int
    loan: Int64
    borrower: Int64
    weight: Int64
    kind: Int64
    product: Int64
    actor: Int64
    lender: Int64
    bank: Int64
    platform: Int64
    amount: Int64
    principal: Int64
    outstanding: Int64
    platform_fen: Int64
    bank_fen: Int64
    bank_principal: Int64
    bank_outstanding: Int64
    arrears: Int64
    vintage: Int64
    age: Int64
    month: Int64


def loans(events: pa.RecordBatch, places: Mapping[str, int]) -> Loans:
    """The columns of events of the record `loan`. places: institution -> its index in the topology."""
    nobody = len(places)
    known = {**places, NONE: nobody}

    def coded(name: str, symbols: type[IntEnum]) -> Int64:
        return mapped(events.column(name), {symbol.name: symbol.value for symbol in symbols}, -1)

    bank = longs(events, "bank_fen")
    months: Int64 = longs(events, "event_time").astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return Loans(
        nobody=nobody,
        loan=longs(events, "loan_id"),
        borrower=longs(events, "borrower_id"),
        weight=longs(events, "weight"),
        kind=coded("kind", Kind),
        product=coded("product", Product),
        actor=coded("actor", Actor),
        lender=mapped(events.column("lender"), known, -1),
        bank=mapped(events.column("bank"), known, -1),
        platform=mapped(events.column("platform"), known, -1),
        amount=longs(events, "amount_fen"),
        principal=longs(events, "principal_fen"),
        outstanding=longs(events, "outstanding_fen"),
        platform_fen=longs(events, "platform_fen"),
        bank_fen=bank,
        bank_principal=bank - (longs(events, "interest_fen") - longs(events, "platform_interest_fen")),
        bank_outstanding=longs(events, "bank_outstanding_fen"),
        arrears=coded("arrears", Arrears),
        vintage=longs(events, "vintage"),
        age=longs(events, "months_on_book"),
        month=months - EPOCH_MONTHS,
    )


def contradictory(events: pa.RecordBatch, told: Loans) -> Bool:
    """bool[n]: the events whose own fields contradict each other.

    Sums wrap where a field is out of its range; such events are refused for the range all the same.
    """
    interest, bank = longs(events, "interest_fen"), longs(events, "bank_fen")
    platform_interest, service = longs(events, "platform_interest_fen"), longs(events, "service_fen")
    bank_funding, platform_funding = longs(events, "bank_funding_fen"), longs(events, "platform_funding_fen")
    bank_outstanding, fee = longs(events, "bank_outstanding_fen"), longs(events, "fee_fen")
    kind, amount, principal, platform = told.kind, told.amount, told.principal, told.platform_fen
    money, owed = _among(kind, MONEY), _among(kind, OWED)
    begun = (kind == Kind.FUNDED) | (kind == Kind.BROUGHT_FORWARD)
    costs = (kind == Kind.DUE) | (kind == Kind.CHARGED_OFF)
    no_bank, no_platform = told.bank == told.nobody, told.platform == told.nobody
    bank_interest = interest - platform_interest

    bad: Bool = money & ((principal + interest != amount) | (bank + platform != amount))
    bad |= ~money & ((principal | interest | bank | platform | platform_interest) != 0)
    bad |= (platform_interest > interest) | (platform_interest > platform)
    bad |= platform - platform_interest > principal
    bad |= service > np.where(kind == Kind.REPAID, bank_interest, 0)
    bad |= bank_funding + platform_funding > np.where(costs, amount, 0)
    bad |= ~owed & (told.outstanding != 0)
    bad |= begun & ((interest != 0) | (told.outstanding != amount))
    bad |= begun & (bank_outstanding != bank)
    bad |= bank_outstanding > told.outstanding
    bad |= ~_among(kind, MARKED) & (told.arrears != Arrears.CURRENT)
    bad |= (kind == Kind.PAST_DUE) & (told.arrears == Arrears.CURRENT)
    bad |= ~_among(kind, AGED) & (told.age != 0)
    bad |= fee > amount
    bad |= no_bank & ((bank | bank_funding | service | bank_outstanding) != 0)
    bad |= no_platform & ((platform | platform_funding) != 0)
    return bad


def _among(kind: Int64, kinds: tuple[Kind, ...]) -> Bool:
    table = np.zeros(len(Kind), bool)
    table[list(kinds)] = True
    among: Bool = table[kind]
    return among
