"""Where a source stopped, read from the end of a log that others share."""

import numpy as np

from producers.resume import CLOSE, OPEN, TICK, Position, Tail, position

START_MS = 1_000
EVENT = -1


def tail(*rows: tuple[int, int, int, int]) -> Tail:
    """Rows of (source, seq, kind, tick_end)."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Tail(*(column.copy() for column in columns))


def test_a_source_without_a_tick_is_not_found() -> None:
    assert position(tail(), 0, START_MS) is None
    assert position(tail((0, 4, EVENT, 0), (1, 9, TICK, 2_000)), 0, START_MS) is None


def test_the_next_seq_follows_the_events_behind_the_last_tick() -> None:
    rows = tail((0, 7, TICK, 2_000), (1, 3, EVENT, 0), (0, 8, EVENT, 0), (1, 4, TICK, 2_000), (0, 9, EVENT, 0))
    assert position(rows, 0, START_MS) == Position(10, 2_000, 2, False)
    assert position(rows, 1, START_MS) == Position(5, 2_000, 0, False)


def test_behind_open_the_first_tick_is_under_way() -> None:
    assert position(tail((0, 0, OPEN, START_MS), (0, 1, EVENT, 0)), 0, START_MS) == Position(2, START_MS, 1, False)


def test_close_ends_it() -> None:
    assert position(tail((0, 7, TICK, 2_000), (0, 8, CLOSE, 2_000)), 0, START_MS) == Position(9, 2_000, 0, True)


def test_rows_told_twice_do_not_move_it_back() -> None:
    rows = tail(
        (0, 7, TICK, 2_000),
        (0, 8, EVENT, 0),
        (0, 9, TICK, 3_000),
        (0, 10, EVENT, 0),
        (0, 7, TICK, 2_000),
        (0, 8, EVENT, 0),
    )
    assert position(rows, 0, START_MS) == Position(11, 3_000, 1, False)


def test_an_alien_seq_is_not_counted() -> None:
    rows = tail((0, 7, TICK, 2_000), (0, 8, EVENT, 0), (0, 4_000, EVENT, 0), (0, 9, EVENT, 0))
    assert position(rows, 0, START_MS) == Position(10, 2_000, 2, False)


def test_a_tail_grows_at_its_front() -> None:
    grown = tail((0, 8, EVENT, 0)).behind(tail((0, 7, TICK, 2_000)))
    assert position(grown, 0, START_MS) == Position(9, 2_000, 1, False)
    assert position(tail((0, 7, TICK, 2_000)).behind(Tail.empty()), 0, START_MS) == Position(8, 2_000, 0, False)
