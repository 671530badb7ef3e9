"""One loan, step by step: where it stands, who may take which step there, and which sums go on from those before."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from jinliu.oracle.loanrules import Actor, Arrears, Kind, Product


class Stage(IntEnum):
    """Where a loan stands. NONE: its number is free."""

    NONE = 0
    APPLIED = 1
    SCREENED = 2
    REFERRED = 3
    OFFERED = 4
    APPROVED = 5
    OPEN = 6
    WRITTEN_OFF = 7


LENDERS = frozenset({Actor.BANK, Actor.PLATFORM})
PARTNERED = frozenset({Product.PARTNERSHIP, Product.COFINANCED, Product.JOINT})
SHARE_LEAST, SHARE_MOST = 100, 5
"""Of a COFINANCED loan the platform pays out from 1 / 100 to 1 / 5."""


def permitted(stage: Stage, kind: Kind, product: Product, actor: Actor, platform: bool) -> bool:
    """Whether a stage allows a step, by this actor. platform: whether one takes part in the loan."""
    screener = Actor.PLATFORM if platform else Actor.BANK
    match stage, kind:
        case (Stage.NONE, Kind.APPLIED) | (Stage.OFFERED, Kind.ABANDONED) | (Stage.OPEN, Kind.REPAID):
            return actor == Actor.BORROWER
        case Stage.NONE, Kind.BROUGHT_FORWARD:
            return True
        case (Stage.APPLIED, Kind.SCREENED) | (Stage.SCREENED, Kind.REJECTED):
            return actor == screener
        case Stage.SCREENED, Kind.REFERRED:
            return product in PARTNERED and actor in LENDERS
        case Stage.SCREENED, Kind.OFFERED:
            return product not in PARTNERED and actor in LENDERS
        case Stage.REFERRED, (Kind.REJECTED | Kind.OFFERED):
            return actor in LENDERS
        case Stage.OFFERED, (Kind.APPROVED | Kind.REJECTED):
            return actor in LENDERS
        case (Stage.APPROVED, Kind.FUNDED) | (Stage.WRITTEN_OFF, Kind.RECOVERED):
            return actor in LENDERS
        case Stage.OPEN, Kind.COMMISSION:
            return product == Product.PARTNERSHIP and actor == Actor.BANK
        case Stage.OPEN, (Kind.DUE | Kind.PAST_DUE | Kind.CHARGED_OFF):
            return actor in LENDERS
    return False


PERMITTED = np.array(
    [
        permitted(stage, kind, product, actor, platform)
        for stage in Stage
        for kind in Kind
        for product in Product
        for actor in Actor
        for platform in (False, True)
    ]
).reshape(len(Stage), len(Kind), len(Product), len(Actor), 2)
LEADS_TO = {
    Kind.APPLIED: Stage.APPLIED,
    Kind.SCREENED: Stage.SCREENED,
    Kind.REFERRED: Stage.REFERRED,
    Kind.OFFERED: Stage.OFFERED,
    Kind.APPROVED: Stage.APPROVED,
    Kind.REJECTED: Stage.NONE,
    Kind.ABANDONED: Stage.NONE,
    Kind.FUNDED: Stage.OPEN,
    Kind.COMMISSION: Stage.OPEN,
    Kind.DUE: Stage.OPEN,
    Kind.REPAID: Stage.OPEN,
    Kind.PAST_DUE: Stage.OPEN,
    Kind.CHARGED_OFF: Stage.WRITTEN_OFF,
    Kind.RECOVERED: Stage.WRITTEN_OFF,
    Kind.BROUGHT_FORWARD: Stage.OPEN,
}
"""The stage behind a step; one that is REPAID whole is at NONE."""
LENT = frozenset({Stage.OPEN, Stage.WRITTEN_OFF})
"""Stages of a loan that has its vintage."""
BEHIND = np.array([LEADS_TO[kind] for kind in Kind], np.int64)


@dataclass(slots=True)
class Loan:
    """A loan as it stands. left_fen: what was written off and is not recovered. commissioned: 1 once it was, else 0.
    bank_outstanding_fen, bank_left_fen: the bank's parts. mark: of arrears. vintage: month it was funded in.

    The fields from `product` on are those of every step of a loan.
    """

    number: int
    stage: int = Stage.NONE
    outstanding_fen: int = 0
    left_fen: int = 0
    bank_outstanding_fen: int = 0
    bank_left_fen: int = 0
    mark: int = Arrears.CURRENT
    vintage: int = 0
    commissioned: int = 0
    product: int = -1
    lender: int = -1
    bank: int = -1
    platform: int = -1
    borrower: int = -1
    weight: int = 0

    @property
    def whose(self) -> tuple[int, ...]:
        """What no step may change."""
        return self.product, self.lender, self.bank, self.platform, self.borrower, self.weight


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a loan. whose: its product, lender, bank, platform, borrower and weight, as a `Loan` has them.

    has_platform: whether a platform takes part. part_fen, bank_fen: the platform's and the bank's of the amount,
    bank_principal_fen: of the bank's what is principal. age: months on book. month: of the event.
    """

    kind: Kind
    actor: Actor
    whose: tuple[int, ...]
    has_platform: bool
    amount_fen: int
    principal_fen: int
    outstanding_fen: int
    part_fen: int
    bank_fen: int
    bank_principal_fen: int
    bank_outstanding_fen: int
    arrears: Arrears
    vintage: int
    age: int
    month: int


class Breach(NamedTuple):
    """Why a step is out of order. Where a sum is off: what the step tells, and what should stand there or is the most,
    in fen; no limit where there is more than one."""

    value: float | None = None
    limit: float | None = None


def breach(loan: Loan, step: Step) -> Breach | None:
    """Whether a step breaks the order of its loan: whose it is, stage and actor, then sums."""
    if loan.stage != Stage.NONE and step.whose != loan.whose:
        return Breach()
    product = Product(step.whose[0])
    if not permitted(Stage(loan.stage), step.kind, product, step.actor, step.has_platform):
        return Breach()
    owed, amount, part = loan.outstanding_fen, step.amount_fen, step.part_fen
    match step.kind:
        case Kind.COMMISSION if loan.commissioned:
            return Breach()
        case Kind.FUNDED if product == Product.PARTNERSHIP and part:
            return Breach(part, 0)
        case Kind.FUNDED if product == Product.COFINANCED and not part * SHARE_MOST <= amount <= part * SHARE_LEAST:
            return Breach(part)
        case Kind.REPAID if step.principal_fen > owed:
            return Breach(step.principal_fen, owed)
        case Kind.REPAID if step.outstanding_fen != owed - step.principal_fen:
            return Breach(step.outstanding_fen, owed - step.principal_fen)
        case Kind.DUE | Kind.PAST_DUE if step.outstanding_fen != owed:
            return Breach(step.outstanding_fen, owed)
        case Kind.CHARGED_OFF if not step.principal_fen == amount == owed:
            return Breach(step.principal_fen, owed)
        case Kind.RECOVERED if amount > loan.left_fen:
            return Breach(amount, loan.left_fen)
    return _breach_of_parts(loan, step) or _breach_of_dates(loan, step)


def _breach_of_parts(loan: Loan, step: Step) -> Breach | None:
    """Whether the parts of bank and platform go on, where the whole does."""
    owed, told = loan.bank_outstanding_fen, step.bank_outstanding_fen
    match step.kind:
        case Kind.DUE | Kind.PAST_DUE if told != owed:
            return Breach(told, owed)
        case Kind.REPAID if told != owed - step.bank_principal_fen:
            return Breach(told, owed - step.bank_principal_fen)
        case Kind.CHARGED_OFF if step.bank_fen != owed:
            return Breach(step.bank_fen, owed)
        case Kind.RECOVERED if step.bank_fen > loan.bank_left_fen:
            return Breach(step.bank_fen, loan.bank_left_fen)
        case Kind.RECOVERED if step.part_fen > loan.left_fen - loan.bank_left_fen:
            return Breach(step.part_fen, loan.left_fen - loan.bank_left_fen)
    return None


def _breach_of_dates(loan: Loan, step: Step) -> Breach | None:
    """Whether marks of arrears and months go on."""
    match step.kind:
        case Kind.PAST_DUE if step.arrears != loan.mark + 1:
            return Breach()
        case Kind.REPAID | Kind.CHARGED_OFF if step.arrears != loan.mark:
            return Breach()
    if step.month != step.vintage + step.age:
        return Breach()
    return Breach() if loan.stage in LENT and step.vintage != loan.vintage else None


def moved(loan: Loan, step: Step) -> Loan:
    """The loan behind a step that is in order."""
    if loan.stage == Stage.NONE:
        loan = Loan(loan.number, Stage.NONE, 0, 0, 0, 0, Arrears.CURRENT, 0, 0, *step.whose)
    loan.stage = LEADS_TO[step.kind]
    match step.kind:
        case Kind.FUNDED | Kind.BROUGHT_FORWARD:
            loan.outstanding_fen, loan.bank_outstanding_fen = step.outstanding_fen, step.bank_outstanding_fen
            loan.mark, loan.vintage = step.arrears, step.vintage
        case Kind.REPAID:
            loan.outstanding_fen, loan.bank_outstanding_fen = step.outstanding_fen, step.bank_outstanding_fen
            loan.mark = Arrears.CURRENT
            if step.outstanding_fen == 0:
                loan.stage = Stage.NONE
        case Kind.PAST_DUE:
            loan.mark = step.arrears
        case Kind.COMMISSION:
            loan.commissioned = 1
        case Kind.CHARGED_OFF:
            loan.outstanding_fen, loan.left_fen = 0, step.amount_fen
            loan.bank_outstanding_fen, loan.bank_left_fen = 0, step.bank_fen
        case Kind.RECOVERED:
            loan.left_fen -= step.amount_fen
            loan.bank_left_fen -= step.bank_fen
    return loan
