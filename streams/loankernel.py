"""The order of a loan's steps, compiled into the ledger's walk for topics that have a lifecycle.

Per shard, over the accepted events in log order; a step that breaks a rule is refused and moves nothing. Stages:

    NONE       -> APPLIED, by the borrower; or -> OPEN by BROUGHT_FORWARD, with its amount outstanding
    APPLIED    -> SCREENED, by the platform where one takes part, else by the bank
    SCREENED   -> REFERRED of a product that is referred, else -> OFFERED; or REJECTED by whoever screened
    REFERRED   -> OFFERED or REJECTED
    OFFERED    -> APPROVED, REJECTED, or ABANDONED by the borrower
    APPROVED   -> OPEN by FUNDED, with its amount outstanding
    OPEN       COMMISSION (once, of a PARTNERSHIP, by the bank); DUE changes nothing; PAST_DUE passes the next mark of
               arrears; REPAID by the borrower takes its principal off and makes the loan CURRENT; CHARGED_OFF writes
               off all that is outstanding -> WRITTEN_OFF
    WRITTEN_OFF  RECOVERED, together no more than what was written off, of the bank's part and of the platform's

REJECTED, ABANDONED and repaid in full, a loan is over and forgotten: its number is free again. Borrower, weight,
product, lender, bank and platform are those of the first step. What is not said to be the borrower's is done by bank or
platform. REPAID and CHARGED_OFF name the mark the loan stands at. The bank's part of what is outstanding goes on from
step to step as the whole does. Behind FUNDED and BROUGHT_FORWARD the vintage is theirs; vintage and months_on_book
together are the calendar month of every step. A FUNDED joint loan of which the platform puts in more than the cap of
the day is noted, not refused.

The book is an open-addressing hash table int64[slots, 8] with linear probing, a row a loan (columns LOAN to DIRTY),
empty where STAND is 0. Never more than half full, so every probe ends.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, check-untyped-defs=False
import numpy as np

APPLIED, SCREENED, REFERRED, OFFERED, APPROVED, REJECTED, ABANDONED, FUNDED = 0, 1, 2, 3, 4, 5, 6, 7
COMMISSION, DUE, REPAID, PAST_DUE, CHARGED_OFF, RECOVERED, BROUGHT_FORWARD = 8, 9, 10, 11, 12, 13, 14
PARTNERSHIP, COFINANCED, JOINT = 5, 6, 7
BORROWER, BANK, PLATFORM = 0, 1, 2

IN_NONE, IN_APPLIED, IN_SCREENED, IN_REFERRED, IN_OFFERED, IN_APPROVED, IN_OPEN, IN_WRITTEN_OFF = 0, 1, 2, 3, 4, 5, 6, 7
FOLLOWS = np.array(
    (
        1 << APPLIED | 1 << BROUGHT_FORWARD,
        1 << SCREENED,
        1 << REJECTED | 1 << REFERRED | 1 << OFFERED,
        1 << REJECTED | 1 << OFFERED,
        1 << APPROVED | 1 << REJECTED | 1 << ABANDONED,
        1 << FUNDED,
        1 << COMMISSION | 1 << DUE | 1 << PAST_DUE | 1 << REPAID | 1 << CHARGED_OFF,
        1 << RECOVERED,
    ),
    np.int64,
)
"""By stage, the kinds that may come next, as bits."""
LEADS_TO = np.array(
    (
        IN_APPLIED, IN_SCREENED, IN_REFERRED, IN_OFFERED, IN_APPROVED, IN_NONE, IN_NONE, IN_OPEN,
        IN_OPEN, IN_OPEN, IN_OPEN, IN_OPEN, IN_WRITTEN_OFF, IN_WRITTEN_OFF, IN_OPEN,
    ),
    np.int64,
)  # fmt: skip
"""By kind, the stage behind it; a loan repaid in full is over instead."""

# Columns of the book. PARTIES: product, lender, bank and platform in one number. STAND: stage, whether a commission was
# paid, mark of arrears and vintage in one, 0 for no loan. LEFT: outstanding while open; once written off, what is not
# recovered. BANK_LEFT: the bank's part of it. DIRTY: whether the loan is among the changed ones.
LOAN, HOLDER, TIMES, PARTIES, STAND, LEFT, BANK_LEFT, DIRTY = 0, 1, 2, 3, 4, 5, 6, 7
# In STAND: mask of the stage, then the lowest bits.
STAGE, COMMISSIONED, MARK, VINTAGE = 7, 3, 4, 8
# Rows of the steps, int64[21, events].
S_LOAN, S_HOLDER, S_TIMES, S_KIND, S_PRODUCT, S_LENDER, S_BANK, S_PLATFORM = 0, 1, 2, 3, 4, 5, 6, 7
S_ACTOR, S_AMOUNT, S_PRINCIPAL, S_PART, S_OUTSTANDING, S_TIME = 8, 9, 10, 11, 12, 13
S_BANK_PART, S_PART_INTEREST, S_BANK_OUTSTANDING, S_ARREARS, S_VINTAGE, S_AGE, S_INTEREST = 14, 15, 16, 17, 18, 19, 20
# Cells of the counts: loans held, entries of `changed`, notes; the code of no platform.
HELD, CHANGED, NOTED, NOBODY = 0, 1, 2, 3

OUT_OF_ORDER, ANOTHER_LOAN, ANOTHER_ACTOR, ANOTHER_PRODUCT, PAID_TWICE, SHARE = 1, 2, 3, 4, 5, 6
BALANCE, OVERPAID, WRITE_OFF, OVER_RECOVERED, OVER_CAP = 7, 8, 9, 10, 11
BANK_BALANCE, PART_RECOVERED, ANOTHER_MARK, ANOTHER_DATE = 12, 13, 14, 15
UNSAID = -1
BREAKS = 25
CAP_UNIT = 100_000_000
"""Caps are whole hundred-millionths: an amount times one fits int64."""


def month_of(time):
    """Calendar month of a time from 1970 on, UTC milliseconds, in months since January 2010.

    Years are counted from March, as in Neri and Schneider, "Euclidean affine functions and their application to
    calendar algorithms", Software: Practice and Experience 53 (2023).
    """
    quarters = 4 * (time // 86_400_000 + 719_468) + 3
    century = quarters // 146_097
    rest = 4 * (quarters % 146_097 // 4) + 3
    month = (2_141 * (rest % 1_461 // 4) + 197_913) // 65_536
    return 12 * (100 * century + rest // 1_461 - 2010) + month - 1


def home(loan, slots):
    """Where the probe for a loan begins: the finalizer of MurmurHash3."""
    h = np.uint64(loan)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((h ^ (h >> np.uint64(33))) & np.uint64(slots - 1))


def find(table, loan):
    """The loan's row, or the empty one where it belongs."""
    at = home(loan, table.shape[0])
    while table[at, STAND] != 0 and table[at, LOAN] != loan:
        at = (at + 1) & (table.shape[0] - 1)
    return at


def forget(table, hole):
    """Empty a row; rows behind it move up, so that no probe meets a gap before its loan."""
    mask = table.shape[0] - 1
    at = hole
    while True:
        at = (at + 1) & mask
        if table[at, STAND] == 0:
            break
        if ((at - home(table[at, LOAN], table.shape[0])) & mask) >= ((at - hole) & mask):
            for j in range(table.shape[1]):
                table[hole, j] = table[at, j]
            hole = at
    for j in range(table.shape[1]):
        table[hole, j] = 0


def put(rows, table):
    """Take rows int64[n, 8] into the book as they stand; a row that stands nowhere forgets its loan. Returns how many
    more loans there are.
    """
    more = 0
    for i in range(rows.shape[0]):
        at = find(table, rows[i, LOAN])
        was, now = table[at, STAND] != 0, rows[i, STAND] != 0
        if now:
            for j in range(table.shape[1]):
                table[at, j] = rows[i, j]
        elif was:
            forget(table, at)
        more += np.int64(now) - np.int64(was)
    return more


def collect(loans, table, rows):
    """The rows int64[n, 8] of some loans as they stand, no longer dirty; of one that is not held, its number alone."""
    for i in range(loans.shape[0]):
        at = find(table, loans[i])
        table[at, DIRTY] = 0
        for j in range(table.shape[1]):
            rows[i, j] = table[at, j]
        rows[i, LOAN] = loans[i]


def is_taken_by(actor, kind, stage, screener):
    """Whether this actor may take a step of this kind."""
    if kind == BROUGHT_FORWARD:
        return True
    if kind in (APPLIED, ABANDONED, REPAID):
        return actor == BORROWER
    if kind == SCREENED or (kind == REJECTED and stage == IN_SCREENED):
        return actor == screener
    if kind == COMMISSION:
        return actor == BANK
    return actor != BORROWER


def goes_with(product, kind, stage):
    """Whether a loan of this product may take this step."""
    referred = product in (PARTNERSHIP, COFINANCED, JOINT)
    if kind == REFERRED:
        return referred
    if kind == OFFERED and stage == IN_SCREENED:
        return not referred
    return kind != COMMISSION or product == PARTNERSHIP


def in_money(kind, product, amount, principal, part, outstanding, left):
    """(rule broken or 0, the figure seen, the figure wanted) of a step that is in order."""
    if kind == FUNDED:
        if product == PARTNERSHIP and part != 0:
            return SHARE, part, np.int64(0)
        if product == COFINANCED and (100 * part < amount or 5 * part > amount):
            return SHARE, part, np.int64(UNSAID)
    elif kind in (DUE, PAST_DUE):
        if outstanding != left:
            return BALANCE, outstanding, left
    elif kind == REPAID:
        if principal > left:
            return OVERPAID, principal, left
        if outstanding != left - principal:
            return BALANCE, outstanding, left - principal
    elif kind == CHARGED_OFF:
        if amount != left or principal != left:
            return WRITE_OFF, principal, left
    elif kind == RECOVERED and amount > left:
        return OVER_RECOVERED, amount, left
    return 0, np.int64(UNSAID), np.int64(UNSAID)


def in_parts(kind, bank_part, bank_interest, part, bank_outstanding, left, bank_left):
    """The same of the parts of a step whose whole is in order. bank_interest: of the bank's part."""
    if kind in (DUE, PAST_DUE):
        if bank_outstanding != bank_left:
            return BANK_BALANCE, bank_outstanding, bank_left
    elif kind == REPAID:
        if bank_outstanding != bank_left - (bank_part - bank_interest):
            return BANK_BALANCE, bank_outstanding, bank_left - (bank_part - bank_interest)
    elif kind == CHARGED_OFF:
        if bank_part != bank_left:
            return BANK_BALANCE, bank_part, bank_left
    elif kind == RECOVERED:
        if bank_part > bank_left:
            return PART_RECOVERED, bank_part, bank_left
        if part > left - bank_left:
            return PART_RECOVERED, part, left - bank_left
    return 0, np.int64(UNSAID), np.int64(UNSAID)


def follows_its_marks(kind, arrears, mark):
    """Whether a step names the mark that the loan stands at, or passes the next one."""
    if kind == PAST_DUE:
        return arrears == mark + 1
    return arrears == mark or kind not in (REPAID, CHARGED_OFF)


def keeps_its_dates(kind, vintage, age, month, stage, begun):
    """Whether a step's vintage and age come to its calendar month, and the vintage is the loan's."""
    return vintage + age == month and (vintage == begun or stage not in (IN_OPEN, IN_WRITTEN_OFF))


def out_of_order(kind, product, actor, screener, stage, same, commissioned):
    """The rule that a step breaks, 0 if it is in order. same: whether it names the parties of the first step."""
    if FOLLOWS[stage] >> kind & 1 == 0:
        return OUT_OF_ORDER
    if stage != IN_NONE and not same:
        return ANOTHER_LOAN
    if not is_taken_by(actor, kind, stage, screener):
        return ANOTHER_ACTOR
    if not goes_with(product, kind, stage):
        return ANOTHER_PRODUCT
    return PAID_TWICE if kind == COMMISSION and commissioned != 0 else 0


def left_behind(kind, amount, principal, left):
    """What is left of a loan behind a step."""
    if kind in (FUNDED, BROUGHT_FORWARD):
        return amount
    if kind == REPAID:
        return left - principal
    return left - amount if kind == RECOVERED else left


def cap_at(time, caps):
    """The cap of a time in hundred-millionths, UNSAID where there is none."""
    cap = np.int64(UNSAID)
    for i in range(caps.shape[0]):
        if caps[i, 0] <= time:
            cap = caps[i, 1]
    return cap


def stand_behind(kind, stage, stand, arrears, vintage):
    """The new STAND of a loan behind a step that leads to a stage."""
    if stage == IN_NONE:
        return np.int64(0)
    commissioned, mark, begun = stand >> COMMISSIONED & 1, stand >> MARK & 7, stand >> VINTAGE
    if kind in (FUNDED, BROUGHT_FORWARD):
        begun = vintage
    if kind == COMMISSION:
        commissioned = np.int64(1)
    if kind in (BROUGHT_FORWARD, PAST_DUE):
        mark = arrears
    elif kind == REPAID:
        mark = np.int64(0)
    return begun << VINTAGE | mark << MARK | commissioned << COMMISSIONED | stage


def bank_left_behind(kind, bank_part, bank_outstanding, bank_left):
    """The bank's part of what is left of a loan behind a step."""
    if kind in (FUNDED, BROUGHT_FORWARD, REPAID):
        return bank_outstanding
    return bank_left - bank_part if kind == RECOVERED else bank_left


def objection(e, life):
    """0 if event e is in order, and the book has moved; else BREAKS. What was broken or crossed is noted."""
    steps, table, changed, notes, caps, counts = life
    loan, holder, times, platform = steps[S_LOAN, e], steps[S_HOLDER, e], steps[S_TIMES, e], steps[S_PLATFORM, e]
    kind, product, actor, amount = steps[S_KIND, e], steps[S_PRODUCT, e], steps[S_ACTOR, e], steps[S_AMOUNT, e]
    principal, part, outstanding = steps[S_PRINCIPAL, e], steps[S_PART, e], steps[S_OUTSTANDING, e]
    bank_part, bank_outstanding = steps[S_BANK_PART, e], steps[S_BANK_OUTSTANDING, e]
    arrears, vintage = steps[S_ARREARS, e], steps[S_VINTAGE, e]
    parties = ((platform << 16 | steps[S_BANK, e]) << 16 | steps[S_LENDER, e]) << 8 | product
    at = find(table, loan)
    stand, left, bank_left = table[at, STAND], table[at, LEFT], table[at, BANK_LEFT]
    stage = stand & STAGE
    same = table[at, HOLDER] == holder and table[at, TIMES] == times and table[at, PARTIES] == parties
    screener = BANK if platform == counts[NOBODY] else PLATFORM
    seen = wanted = np.int64(UNSAID)
    why = out_of_order(kind, product, actor, screener, stage, same, stand >> COMMISSIONED & 1)
    if why == 0:
        why, seen, wanted = in_money(kind, product, amount, principal, part, outstanding, left)
    if why == 0:
        bank_interest = steps[S_INTEREST, e] - steps[S_PART_INTEREST, e]
        why, seen, wanted = in_parts(kind, bank_part, bank_interest, part, bank_outstanding, left, bank_left)
    if why == 0 and not follows_its_marks(kind, arrears, stand >> MARK & 7):
        why = ANOTHER_MARK
    month = month_of(steps[S_TIME, e])
    if why == 0 and not keeps_its_dates(kind, vintage, steps[S_AGE, e], month, stage, stand >> VINTAGE):
        why = ANOTHER_DATE
    refused = why != 0
    if not refused and kind == FUNDED and product == JOINT:
        cap = cap_at(steps[S_TIME, e], caps)
        if cap != UNSAID and part * CAP_UNIT > cap * amount:
            why, seen, wanted = OVER_CAP, part, cap
    if why != 0:
        n = counts[NOTED]
        notes[n, 0], notes[n, 1], notes[n, 2], notes[n, 3], notes[n, 4] = e, why, stage, seen, wanted
        counts[NOTED] += 1
    if refused:
        return BREAKS
    if kind == DUE:
        return 0
    if table[at, DIRTY] == 0:
        table[at, DIRTY] = 1
        changed[counts[CHANGED]] = loan
        counts[CHANGED] += 1
    if stage == IN_NONE:
        table[at, LOAN], table[at, HOLDER], table[at, TIMES], table[at, PARTIES] = loan, holder, times, parties
        counts[HELD] += 1
    left = left_behind(kind, amount, principal, left)
    stage = IN_NONE if kind == REPAID and left == 0 else LEADS_TO[kind]
    table[at, STAND], table[at, LEFT] = stand_behind(kind, stage, stand, arrears, vintage), left
    table[at, BANK_LEFT] = bank_left_behind(kind, bank_part, bank_outstanding, bank_left)
    if stage == IN_NONE:
        forget(table, at)
        counts[HELD] -= 1
    return 0
