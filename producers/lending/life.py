"""The life of loans as events: a kernel that expands the loans of a shard into what happens in a stretch of time.

Nothing of it is stored: each step follows from the loan's row, its terms and draws of its own, so that any stretch can
be told by itself. A loan that was funded before the run begins is brought forward as it stands; one that was asked for
before and funded after is not told.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers.lending.borrowing import ABANDONED, FUNDED, HALF, REJECTED, SCREENED_OUT, Loans
from producers.lending.calendar import DAY_MS, due_ms, vintage
from producers.native import compiled, entry, leaf
from producers.philox import words
from producers.sampling import high, low

Ints = NDArray[np.int64]
(
    K_APPLIED, K_SCREENED, K_REFERRED, K_OFFERED, K_APPROVED, K_REJECTED, K_ABANDONED, K_FUNDED, K_COMMISSION, K_DUE,
    K_REPAID, K_PAST_DUE, K_CHARGED_OFF, K_RECOVERED, K_BROUGHT_FORWARD,
) = range(15)  # fmt: skip
BORROWER, BANK, PLATFORM = range(3)
CURRENT, DPD1, DPD30, DPD60, DPD90 = range(5)
PPM = 1_000_000
YEAR_PPM = 12 * PPM
REPAYS = np.uint64(7)  # purpose of a draw
RECOVERY_DAYS = 30
"""From the write-off to what is recovered. Loans written off before a run begins are not told."""
LAST_DAYS = 53
"""Behind its due date by which an instalment that is paid at all is paid."""
OPENS_MS = 8 * 3_600_000
OPEN_MS = 13 * 3_600_000


class Terms(NamedTuple):
    """int64 by offers, but where said; codes as the topic's vocabularies have them."""

    seed: Any  # uint64
    stream: Any  # uint64
    start_ms: int  # of the run
    product: Ints
    lender: Ints
    bank: Ints
    platform: Ints
    screener: Ints  # actor
    decider: Ints  # actor
    refers: NDArray[np.bool_]
    pays: NDArray[np.bool_]  # a commission
    months: Ints
    rate_ppm: Ints  # [days, offers]
    commission_ppm: Ints  # [days, offers]
    fee_ppm: Ints
    service_ppm: Ints
    bank_funding_ppm: Ints
    platform_funding_ppm: Ints
    weight: Ints  # [pools]
    recovery_ppm: int
    charge_off_days: int
    short: float
    long: float


class Columns(NamedTuple):
    """Loan columns to fill, one row an event."""

    event_time: Ints
    loan_id: Ints
    borrower_id: Ints
    weight: Ints
    kind: NDArray[np.int8]
    product: NDArray[np.int8]
    lender: NDArray[np.int16]
    bank: NDArray[np.int16]
    platform: NDArray[np.int16]
    actor: NDArray[np.int8]
    vintage: NDArray[np.int32]
    months_on_book: NDArray[np.int32]
    arrears: NDArray[np.int8]
    amount_fen: Ints
    principal_fen: Ints
    interest_fen: Ints
    bank_fen: Ints
    platform_fen: Ints
    platform_interest_fen: Ints
    service_fen: Ints
    bank_funding_fen: Ints
    platform_funding_fen: Ints
    outstanding_fen: Ints
    bank_outstanding_fen: Ints
    took_ms: Ints
    rate_ppm: NDArray[np.int32]
    months: NDArray[np.int32]
    fee_fen: Ints
    on_record: NDArray[np.bool_]
    first: NDArray[np.bool_]


_NARROW: dict[str, Any] = {
    "kind": np.int8, "product": np.int8, "lender": np.int16, "bank": np.int16, "platform": np.int16, "actor": np.int8,
    "vintage": np.int32, "months_on_book": np.int32, "arrears": np.int8, "rate_ppm": np.int32, "months": np.int32,
    "on_record": np.bool_, "first": np.bool_,
}  # fmt: skip


def columns(rows: int) -> Columns:
    """Room for `rows` events, zero."""
    return Columns(*(np.zeros(rows, _NARROW.get(name, np.int64)) for name in Columns._fields))


class Cursor(NamedTuple):
    """Where the expansion stands: n[0] rows so far; [low, high) is told, and written if n[1] is 1."""

    n: Ints
    low: int
    high: int


class Book(NamedTuple):
    """What is known of one loan while it is told: fen, int64. state: outstanding, principal and interest repaid so far,
    mark of arrears, whether it is told already."""

    state: Ints


OUT, PRINCIPAL, INTEREST, MARK, TOLD = range(5)


@leaf
def part(total: int, share_ppm: int) -> int:
    """The platform's part of a running total, rounded down."""
    return total * share_ppm // PPM


@leaf
def put(t: Terms, x: Loans, r: int, u: Cursor, c: Columns, at_ms: int, kind: int, actor: int, amount: int) -> int:
    """Take an event of row r if its time is told; the row it is written to, or -1."""
    if at_ms < u.low or at_ms >= u.high:
        return -1
    n = int(u.n[0])
    u.n[0] = n + 1
    if u.n[1] == 0:
        return -1
    i = x.offer[r]
    c.event_time[n] = at_ms
    c.loan_id[n] = x.borrower[r] * 256 + x.serial[r]
    c.borrower_id[n] = x.borrower[r]
    c.weight[n] = t.weight[x.pool[r]]
    c.kind[n] = kind
    c.product[n] = t.product[i]
    c.lender[n] = t.lender[i]
    c.bank[n] = t.bank[i]
    c.platform[n] = t.platform[i]
    c.actor[n] = actor
    month = vintage(at_ms)
    before = vintage(x.funded_ms[r]) if kind >= K_FUNDED else month
    c.vintage[n] = before
    c.months_on_book[n] = month - before
    c.amount_fen[n] = amount
    c.on_record[n] = x.on_record[r]
    return n


@leaf
def money(c: Columns, n: int, share_ppm: int, b: Book, principal: int, interest: int) -> None:
    """Parts of an amount of which the principal and interest come next in the loan's running totals."""
    p0, i0 = b.state[PRINCIPAL], b.state[INTEREST]
    theirs = part(p0 + principal, share_ppm) - part(p0, share_ppm)
    theirs_interest = part(i0 + interest, share_ppm) - part(i0, share_ppm)
    c.principal_fen[n] = principal
    c.interest_fen[n] = interest
    c.platform_fen[n] = theirs + theirs_interest
    c.bank_fen[n] = principal + interest - theirs - theirs_interest
    c.platform_interest_fen[n] = theirs_interest


@leaf
def outstanding(c: Columns, n: int, amount: int, share_ppm: int, left: int) -> None:
    """What is left of a loan, and the bank's part of it."""
    c.outstanding_fen[n] = left
    c.bank_outstanding_fen[n] = left - (part(amount, share_ppm) - part(amount - left, share_ppm))


@leaf
def bring_forward(t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book, at_ms: int) -> None:
    """Before the first step that is told of a loan from before the run: how it stands."""
    if b.state[TOLD] == 1 or at_ms < t.start_ms:
        return
    b.state[TOLD] = 1
    left = b.state[OUT]
    n = put(t, x, r, u, c, t.start_ms, K_BROUGHT_FORWARD, t.decider[x.offer[r]], left)
    if n >= 0:
        money(c, n, x.platform_ppm[r], b, left, 0)
        outstanding(c, n, x.amount_fen[r], x.platform_ppm[r], left)
        c.arrears[n] = b.state[MARK]


@leaf
def due(
    t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book, at_ms: int, principal: int, interest: int, behind: int
) -> None:
    """An instalment falls due; `behind` is principal that fell due before and is not paid."""
    bring_forward(t, x, r, u, c, b, at_ms)
    i, share = x.offer[r], x.platform_ppm[r]
    n = put(t, x, r, u, c, at_ms, K_DUE, t.decider[i], principal + interest)
    if n >= 0:
        paid = b.state[PRINCIPAL]
        b.state[PRINCIPAL] = paid + behind
        money(c, n, share, b, principal, interest)
        b.state[PRINCIPAL] = paid
        outstanding(c, n, x.amount_fen[r], share, b.state[OUT])
        ours = c.bank_outstanding_fen[n]
        c.bank_funding_fen[n] = ours * t.bank_funding_ppm[i] // YEAR_PPM
        c.platform_funding_fen[n] = (b.state[OUT] - ours) * t.platform_funding_ppm[i] // YEAR_PPM


@leaf
def repaid(
    t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book, at_ms: int, principal: int, interest: int
) -> None:
    """The borrower pays all that is due."""
    bring_forward(t, x, r, u, c, b, at_ms)
    i, share = x.offer[r], x.platform_ppm[r]
    n = put(t, x, r, u, c, at_ms, K_REPAID, BORROWER, principal + interest)
    if n >= 0:
        money(c, n, share, b, principal, interest)
        c.service_fen[n] = (interest - c.platform_interest_fen[n]) * t.service_ppm[i] // PPM
        outstanding(c, n, x.amount_fen[r], share, b.state[OUT] - principal)
        c.arrears[n] = b.state[MARK]
    b.state[OUT] -= principal
    b.state[PRINCIPAL] += principal
    b.state[INTEREST] += interest
    b.state[MARK] = CURRENT


@leaf
def past_due(t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book, at_ms: int, mark: int, overdue: int) -> None:
    """The loan passes a mark of days past due."""
    bring_forward(t, x, r, u, c, b, at_ms)
    n = put(t, x, r, u, c, at_ms, K_PAST_DUE, t.decider[x.offer[r]], overdue)
    if n >= 0:
        outstanding(c, n, x.amount_fen[r], x.platform_ppm[r], b.state[OUT])
        c.arrears[n] = mark
    b.state[MARK] = mark


@leaf
def fail(t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book, due_at: int, overdue: int) -> None:
    """Nothing is paid any more: the marks, the write-off, and what is recovered."""
    for mark, days in ((DPD1, 1), (DPD30, 30), (DPD60, 60), (DPD90, 90)):
        past_due(t, x, r, u, c, b, due_at + days * DAY_MS, mark, overdue)
    at_ms = due_at + t.charge_off_days * DAY_MS
    bring_forward(t, x, r, u, c, b, at_ms)
    i, share, left = x.offer[r], x.platform_ppm[r], b.state[OUT]
    told = at_ms >= t.start_ms
    n = put(t, x, r, u, c, at_ms, K_CHARGED_OFF, t.decider[i], left)
    if n >= 0:
        money(c, n, share, b, left, 0)
        ours = left - c.platform_fen[n]
        c.bank_funding_fen[n] = ours * t.bank_funding_ppm[i] // YEAR_PPM * t.charge_off_days // 30
        c.platform_funding_fen[n] = (left - ours) * t.platform_funding_ppm[i] // YEAR_PPM * t.charge_off_days // 30
        outstanding(c, n, x.amount_fen[r], share, 0)
        c.arrears[n] = DPD90
    back = left * t.recovery_ppm // PPM
    if told and back > 0:
        n = put(t, x, r, u, c, at_ms + RECOVERY_DAYS * DAY_MS, K_RECOVERED, t.decider[i], back)
        if n >= 0:
            money(c, n, share, b, back, 0)


@leaf
def level_fen(amount: int, rate_ppm: int, months: int) -> int:
    """The level instalment, as `producers.lending.instalments` has it."""
    discount = 1.0 / (1.0 + rate_ppm / 12e6)
    value, factor = 0.0, 1.0
    for _ in range(months):
        factor = factor * discount
        value = value + factor
    return int(np.ceil(amount / value))


@leaf
def application(t: Terms, x: Loans, r: int, u: Cursor, c: Columns) -> None:
    """From APPLIED to the decision."""
    i, at, took, amount, outcome = x.offer[r], x.applied_ms[r], x.took_ms[r], x.amount_fen[r], x.outcome[r]
    offered = max(
        at + took * 3 // 5, (at + took) // DAY_MS * DAY_MS
    )  # on the day of the decision, on whose terms it is
    put(t, x, r, u, c, at, K_APPLIED, BORROWER, amount)
    put(t, x, r, u, c, at + took // 5, K_SCREENED, t.screener[i], amount)
    if outcome == SCREENED_OUT:
        n = put(t, x, r, u, c, at + took * 3 // 10, K_REJECTED, t.screener[i], amount)
        if n >= 0:
            c.took_ms[n] = took * 3 // 10
        return
    if t.refers[i]:
        put(t, x, r, u, c, at + took * 2 // 5, K_REFERRED, BANK if x.introduced[r] else PLATFORM, amount)
    n = put(t, x, r, u, c, offered, K_OFFERED, t.decider[i], amount)
    if n >= 0:
        c.rate_ppm[n] = t.rate_ppm[x.day[r], i]
        c.months[n] = t.months[i]
        c.fee_fen[n] = amount * t.fee_ppm[i] // PPM
    if outcome == ABANDONED:
        left = max(at + took * 9 // 10, offered)
        n = put(t, x, r, u, c, left, K_ABANDONED, BORROWER, amount)
        if n >= 0:
            c.took_ms[n] = left - at
        return
    n = put(t, x, r, u, c, at + took, K_REJECTED if outcome == REJECTED else K_APPROVED, t.decider[i], amount)
    if n >= 0:
        c.took_ms[n] = took


@leaf
def funding(t: Terms, x: Loans, r: int, u: Cursor, c: Columns, b: Book) -> None:
    """FUNDED, and the commission."""
    i, d, amount, share = x.offer[r], x.day[r], x.amount_fen[r], x.platform_ppm[r]
    n = put(t, x, r, u, c, x.funded_ms[r], K_FUNDED, t.decider[i], amount)
    if n >= 0:
        money(c, n, share, b, amount, 0)
        outstanding(c, n, amount, share, amount)
        c.rate_ppm[n] = t.rate_ppm[d, i]
        c.months[n] = t.months[i]
        c.fee_fen[n] = amount * t.fee_ppm[i] // PPM
        c.first[n] = x.first[r]
    if t.pays[i]:
        commission = amount * t.commission_ppm[d, i] // PPM
        put(t, x, r, u, c, x.funded_ms[r] + 1000, K_COMMISSION, BANK, commission)


@leaf
def late(t: Terms, loan: np.uint64, k: int, fails: int) -> bool:
    """Whether instalment k, if the one before was not, is paid late and together with the next one."""
    a, _e, _f, _g = words(t.seed, t.stream, loan, np.uint64(k), REPAYS, np.uint64(0))
    return high(a) / HALF < t.long and fails != k + 1


@leaf
def passed(
    t: Terms, x: Loans, r: int, low: int, b: Book, level: int, rate: int, months: int, fails: int, loan: np.uint64
) -> tuple[int, int]:
    """Pay, without a word, the instalments of which every step lies before `low`; the next one, and what would be
    outstanding if all were paid in time.
    """
    k, planned = 1, x.amount_fen[r]
    consumed = False
    while k <= months and fails != k and (consumed or due_ms(x.funded_ms[r], k) + LAST_DAYS * DAY_MS <= low):
        interest = (planned * rate + YEAR_PPM // 2) // YEAR_PPM
        principal = planned if k == months else min(level - interest, planned)
        planned -= principal
        b.state[OUT] -= principal
        b.state[PRINCIPAL] += principal
        b.state[INTEREST] += interest
        k += 1
        if not consumed and (k > months or due_ms(x.funded_ms[r], k) + LAST_DAYS * DAY_MS > low):
            j = k - 1  # of a row of instalments that would be paid with the next, every second one is the next
            while j >= 1 and late(t, loan, j, fails):
                j -= 1
            consumed = (k - 1 - j) % 2 == 1
            if not consumed:
                break
        else:
            consumed = False
    return k, planned


@compiled
def live(t: Terms, x: Loans, r: int, level: int, u: Cursor, c: Columns, b: Book) -> None:
    """All steps of row r that are told."""
    if x.applied_ms[r] >= t.start_ms:
        application(t, x, r, u, c)
        b.state[TOLD] = 1
    elif x.outcome[r] != FUNDED or x.funded_ms[r] >= t.start_ms:
        return
    else:
        b.state[TOLD] = 0
    if x.outcome[r] != FUNDED:
        return
    i, amount = x.offer[r], x.amount_fen[r]
    b.state[OUT], b.state[PRINCIPAL], b.state[INTEREST], b.state[MARK] = amount, 0, 0, CURRENT
    if b.state[TOLD] == 1:
        funding(t, x, r, u, c, b)
    months, rate, fails = t.months[i], t.rate_ppm[x.day[r], i], x.default[r]
    loan = np.uint64(x.borrower[r] * 256 + x.serial[r])
    k, planned = passed(t, x, r, u.low, b, level, rate, months, fails, loan)
    while k <= months:
        at = due_ms(x.funded_ms[r], k)
        if at >= u.high:
            bring_forward(t, x, r, u, c, b, at)
            return
        interest = (planned * rate + YEAR_PPM // 2) // YEAR_PPM
        principal = planned if k == months else min(level - interest, planned)
        due(t, x, r, u, c, b, at, principal, interest, 0)
        if fails == k:
            fail(t, x, r, u, c, b, at, principal + interest)
            return
        planned -= principal
        a, e, _f, _g = words(t.seed, t.stream, loan, np.uint64(k), REPAYS, np.uint64(0))
        when, hour = high(a) / HALF, OPENS_MS + ((low(a) * OPEN_MS) >> 32)
        if when < t.long and fails != k + 1:
            past_due(t, x, r, u, c, b, at + DAY_MS, DPD1, principal + interest)
            overdue = principal + interest
            paid = at + (32 + ((high(e) * 20) >> 32)) * DAY_MS + hour
            if k < months:
                k += 1
                then = due_ms(x.funded_ms[r], k)
                more = (planned * rate + YEAR_PPM // 2) // YEAR_PPM
                next_principal = planned if k == months else min(level - more, planned)
                if then <= at + 30 * DAY_MS:
                    due(t, x, r, u, c, b, then, next_principal, more, principal)
                    past_due(t, x, r, u, c, b, at + 30 * DAY_MS, DPD30, overdue)
                else:
                    past_due(t, x, r, u, c, b, at + 30 * DAY_MS, DPD30, overdue)
                    due(t, x, r, u, c, b, then, next_principal, more, principal)
                planned -= next_principal
                principal += next_principal
                interest += more
            else:
                past_due(t, x, r, u, c, b, at + 30 * DAY_MS, DPD30, overdue)
            repaid(t, x, r, u, c, b, paid, principal, interest)
        elif when < t.long + t.short:
            past_due(t, x, r, u, c, b, at + DAY_MS, DPD1, principal + interest)
            repaid(t, x, r, u, c, b, at + (2 + ((high(e) * 25) >> 32)) * DAY_MS + hour, principal, interest)
        else:
            repaid(t, x, r, u, c, b, at + hour, principal, interest)
        k += 1


def _make(stamp: str) -> Any:
    def expand(t: Terms, x: Loans, shelf: Ints, rows: Ints, low_ms: int, high_ms: int, c: Columns, write: int) -> int:
        stamp  # noqa: B018  (keys the cache)
        counted = np.zeros(2, np.int64)
        counted[1] = write
        u = Cursor(counted, low_ms, high_ms)
        b = Book(np.zeros(5, np.int64))
        for k in range(rows.shape[0]):
            r = rows[k]
            if shelf[r, 0] >= low_ms:
                live(t, x, r, shelf[r, 1], u, c, b)
        return int(counted[0])

    return expand


def _make_shelve(stamp: str) -> Any:
    def shelve(t: Terms, x: Loans, out: Ints) -> None:
        stamp  # noqa: B018
        for r in range(out.shape[0]):
            i = x.offer[r]
            out[r, 1] = 0
            if x.outcome[r] != FUNDED:
                out[r, 0] = x.applied_ms[r] + x.took_ms[r]
                continue
            out[r, 1] = level_fen(x.amount_fen[r], t.rate_ppm[x.day[r], i], t.months[i])
            if x.default[r] > 0:
                days = t.charge_off_days + RECOVERY_DAYS
                out[r, 0] = due_ms(x.funded_ms[r], x.default[r]) + days * DAY_MS
            else:
                out[r, 0] = due_ms(x.funded_ms[r], t.months[i]) + LAST_DAYS * DAY_MS

    return shelve


expand = entry(_make)
shelve = entry(_make_shelve)
"""Into int64[loans, 2]: a time behind a loan's last step, and its level instalment."""
