"""Where a source stopped, read from the end of a log that others share."""

import numpy as np
import pytest

from producers.resume import CLOSE, OPEN, TICK, Position, Tail, position

START_MS = 1_000
EVENT = -1

DAY = 1_000


def tail(*rows: tuple[int, ...]) -> Tail:
    """Rows of (source, seq, EVENT), (source, seq, OPEN) or (source, seq, TICK, day, events) and CLOSE likewise."""
    columns = []
    for source, seq, kind, *rest in rows:
        day, events = [*rest, 0, 0][:2]
        start = 0 if kind == EVENT else START_MS + day * DAY
        columns.append((source, seq, kind, start, start + DAY * (kind == TICK), events))
    return Tail(*np.array(columns, np.int64).reshape(-1, 6).T.copy())


def test_a_source_without_a_tick_is_not_found() -> None:
    assert position(tail(), 0, START_MS) is None
    assert position(tail((0, 4, EVENT), (1, 0, OPEN)), 0, START_MS) is None


def test_a_tick_whose_predecessor_lies_further_back_is_not_trusted_yet() -> None:
    assert position(tail((0, 7, TICK, 0, 2)), 0, START_MS) is None
    assert position(tail((0, 4, TICK, 0, 2), (0, 7, TICK, 1, 2)), 0, START_MS) == Position(8, 3_000, (), False)


def test_the_next_seq_follows_the_events_behind_the_last_tick() -> None:
    rows = tail((0, 0, OPEN), (1, 0, OPEN), (0, 1, TICK), (1, 1, TICK), (0, 2, EVENT), (1, 2, EVENT), (0, 3, EVENT))
    assert position(rows, 0, START_MS) == Position(4, 2_000, (0, 0), False)
    assert position(rows, 1, START_MS) == Position(3, 2_000, (0,), False)


def test_behind_open_the_first_tick_is_under_way() -> None:
    assert position(tail((0, 0, OPEN), (0, 1, EVENT)), 0, START_MS) == Position(2, START_MS, (0,), False)


def test_the_times_of_the_events_behind_the_last_tick_are_kept() -> None:
    rows = tail((0, 0, OPEN), (0, 1, EVENT), (0, 2, EVENT))
    rows.tick_start[1:] = (1_010, 1_020)
    assert position(rows, 0, START_MS) == Position(3, START_MS, (1_010, 1_020), False)


def test_close_ends_it() -> None:
    assert position(tail((0, 7, TICK, 0), (0, 8, CLOSE, 1)), 0, START_MS) == Position(9, 2_000, (), True)


def test_rows_told_twice_do_not_move_it_back() -> None:
    first = ((0, 7, TICK, 0), (0, 8, EVENT))
    rows = tail(*first, (0, 9, TICK, 1, 1), (0, 10, EVENT), *first)
    assert position(rows, 0, START_MS) == Position(11, 3_000, (0,), False)


@pytest.mark.parametrize(
    "alien",
    [
        (0, 4_000, EVENT),
        (0, 4_000, TICK, 1),
        (0, 4_000, TICK, 1, 3_990),
        (0, 9, TICK, 3, 1),
        (0, 9, TICK, 1, 7),
        (0, 4_000, OPEN),
        (0, 4_000, CLOSE, 9),
        (0, 0, OPEN),
    ],
)
def test_what_does_not_go_on_from_a_tick_is_passed_over(alien: tuple[int, ...]) -> None:
    rows = tail((0, 6, TICK, 0), (0, 7, TICK, 1), (0, 8, EVENT), alien, (0, 9, EVENT))
    assert position(rows, 0, START_MS) == Position(10, 3_000, (0, 0), False)


def test_a_tail_grows_at_its_front() -> None:
    grown = tail((0, 7, TICK, 1), (0, 8, EVENT)).behind(tail((0, 6, TICK, 0)))
    assert position(grown, 0, START_MS) == Position(9, 3_000, (0,), False)
    assert position(tail((0, 0, OPEN)).behind(Tail.empty()), 0, START_MS) == Position(1, START_MS, (), False)
