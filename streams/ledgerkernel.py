"""The ledger's walk over a chunk, compiled by `streams.ledger`; the rules are told there."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, check-untyped-defs=False
from __future__ import annotations

import numpy as np

FOLD, LATE, DUPLICATE, TICK = 0, 1, 2, 3
UNKNOWN_SOURCE, FAR_FUTURE, SEQ_BEYOND, BAD_TICK, FAR_TICK, WORTH_BEYOND = 19, 20, 21, 22, 23, 24
SEQ, END, CLOSED, EVENTS, AMOUNT, GAP, WORTH, LATEST = 0, 1, 2, 3, 4, 5, 6, 7
N_FOLDED, N_LATE, N_DUPLICATE, N_DEAD, N_TICKS, N_MISSING = 0, 1, 2, 3, 4, 5
WATERMARK, FLOOR = 0, 1
START, STOP, LENGTH, LATENESS, PATIENCE, JUMP, SHARD, WORTH_MAX = 0, 1, 2, 3, 4, 5, 6, 7
OPEN, CLOSE = 0, 2
INFINITY = 9223372036854775807
NEVER = -INFINITY


def defect(s, low, high, missing, clock, defects, found):
    """Note a defect of source s over [low, high) as things stand. Returns the number of defects."""
    defects[found, 0] = s
    defects[found, 1] = low
    defects[found, 2] = high
    defects[found, 3] = missing
    defects[found, 4] = clock[FLOOR]
    return found + 1


def advance(books, clock, span, defects, found):
    """Move watermark and floor after a tick; note sources that fell silent. Returns the number of defects."""
    end, lateness, patience = span[STOP], span[LATENESS], span[PATIENCE]
    least, most = INFINITY, np.int64(-INFINITY)
    for s in range(books.shape[0]):
        if books[s, CLOSED] == 0:
            least = min(least, books[s, END])
        most = max(most, books[s, END])
    watermark = max(clock[WATERMARK], least, most - patience)
    clock[WATERMARK] = watermark
    floor = INFINITY if watermark == INFINITY else watermark - lateness
    before = clock[FLOOR]
    if floor > before:
        clock[FLOOR] = floor
        for s in range(books.shape[0]):
            if books[s, CLOSED] == 0 and books[s, END] < min(floor, end):
                defects[found, 0] = s
                defects[found, 1] = books[s, END]
                defects[found, 2] = min(floor, end)
                defects[found, 3] = 0
                defects[found, 4] = before
                found += 1
    return found


def tick(i, s, ticks, books, clock, span, defects, found):
    """Take an accepted tick row: compare control totals and the tick's end with what was accepted since the last one,
    move the source's tick end. Returns the number of defects.
    """
    kind, begin, stop = ticks[0][i], ticks[1][i], ticks[2][i]
    agrees = ticks[3][i] == books[s, EVENTS] and ticks[4][i] == books[s, AMOUNT] and begin == books[s, END]
    if not agrees:
        low, high = min(begin, books[s, END]), max(stop, books[s, END])
        if low == high:
            if low > span[START]:
                low -= span[LENGTH]
            else:
                high += span[LENGTH]
        found = defect(s, low, high, books[s, GAP], clock, defects, found)
    if books[s, LATEST] >= stop:
        found = defect(s, stop, books[s, LATEST] + 1, 0, clock, defects, found)
    books[s, END] = max(books[s, END], stop)
    books[s, EVENTS] = books[s, AMOUNT] = books[s, GAP] = 0
    books[s, LATEST] = NEVER
    if kind == CLOSE:
        books[s, CLOSED] = 1
    return advance(books, clock, span, defects, found)


def on_grid(kind, begin, stop, events, amount, span):
    """Whether a tick row can be one of this run."""
    start, end, length = span[START], span[STOP], span[LENGTH]
    if events < 0 or amount < 0:
        return False
    if kind == OPEN:
        return begin == start and stop == start
    if kind == CLOSE:
        return begin == end and stop == end
    return start <= begin and stop <= end and stop - begin == length and (begin - start) % length == 0


def in_reach(begin, books, span):
    """Whether a tick begins at most the patience after the furthest source's tick end."""
    most = books[0, END]
    for s in range(1, books.shape[0]):
        most = max(most, books[s, END])
    return begin <= most + span[PATIENCE]


def objection(e, life):
    """Why the topic refuses an event that the ledger would accept, 0 if it does not: the last word, which may move what
    `life` holds. Topics that keep an order of their own put theirs in the place of this one.
    """
    return 0


def walk(
    kind, sources, seqs, times, amounts, worths, weights, refused, t_sources, t_seqs, t_shards, t_kinds, t_starts,
    t_ends, t_events, t_amounts, span, books, accounts, clock, verdict, keep, defects, life,
):  # fmt: skip
    """(folded, latest folded event time, defects, dead rows); verdict uint8 by row, keep uint8 by event."""
    roster, jump, shard = books.shape[0], span[JUMP], span[SHARD]
    folded, dead, found = np.int64(0), np.int64(0), np.int64(0)
    latest = np.int64(NEVER)
    ticks = (t_kinds, t_starts, t_ends, t_events, t_amounts)
    e, c = -1, -1
    for row in range(kind.shape[0]):
        reason = 0
        s = np.int64(-1)
        is_tick = kind[row] == 1
        seq = np.int64(0)
        if kind[row] < 0:
            reason = 15 - kind[row]
        elif is_tick:
            c += 1
            s, seq = np.int64(t_sources[c]), t_seqs[c]
            if s < 0:
                reason = UNKNOWN_SOURCE
            elif t_shards[c] != shard or not on_grid(
                t_kinds[c], t_starts[c], t_ends[c], t_events[c], t_amounts[c], span
            ):
                reason = BAD_TICK
            elif not in_reach(t_starts[c], books, span):
                reason = FAR_TICK
        else:
            e += 1
            keep[e] = 0
            s, seq = np.int64(sources[e]), seqs[e]
            if s < 0:
                reason = UNKNOWN_SOURCE
            elif refused[e] != 0:
                reason = np.int64(refused[e])
            elif times[e] > books[s, END] + span[PATIENCE]:
                reason = FAR_FUTURE
        if reason == 0 and seq > books[s, SEQ] + jump:  # a difference could leave int64
            reason = SEQ_BEYOND
        if reason != 0:
            verdict[row] = reason
            accounts[s if s >= 0 else roster, N_DEAD] += 1
            dead += 1
            continue
        closes = is_tick and t_kinds[c] == CLOSE and books[s, CLOSED] == 0
        if seq <= books[s, SEQ] and not closes:
            verdict[row] = DUPLICATE
            accounts[s, N_TICKS if is_tick else N_DUPLICATE] += 1
            continue
        if not is_tick:
            worth = worths[e] * weights[e]
            reason = WORTH_BEYOND if worth > span[WORTH_MAX] - books[s, WORTH] else objection(e, life)
            if reason != 0:
                verdict[row] = reason
                accounts[s, N_DEAD] += 1
                dead += 1
                continue
            books[s, WORTH] += worth
        gap = seq - books[s, SEQ] - 1
        if gap > 0:
            books[s, GAP] += gap
            accounts[s, N_MISSING] += gap
        books[s, SEQ] = max(seq, books[s, SEQ])
        if is_tick:
            verdict[row] = TICK
            accounts[s, N_TICKS] += 1
            found = tick(c, s, ticks, books, clock, span, defects, found)
            continue
        books[s, EVENTS] += 1
        books[s, AMOUNT] += amounts[e]
        books[s, LATEST] = max(books[s, LATEST], times[e])
        late = times[e] < clock[FLOOR]
        if times[e] < books[s, END]:
            found = defect(s, times[e], times[e] + 1, 1 if late else 0, clock, defects, found)
        if late:
            verdict[row] = LATE
            accounts[s, N_LATE] += 1
        else:
            verdict[row] = FOLD
            keep[e] = 1
            accounts[s, N_FOLDED] += 1
            folded += 1
            latest = max(latest, times[e])
    return folded, latest, found, dead
