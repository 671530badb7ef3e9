from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import WindowError
from streams.windows import nested, tumbling

DAY = 86_400_000


def ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


SPAN = (ms(2018, 1, 1), ms(2025, 1, 1), DAY)


def test_days_months_and_years_of_seven_years() -> None:
    assert [tumbling(name, *SPAN).count for name in ("day", "month", "year")] == [2557, 84, 7]
    months = tumbling("month", *SPAN)
    assert (months.start(1), months.end(1)) == (ms(2018, 2, 1), ms(2018, 3, 1))


def test_windows_are_not_cut_by_the_span() -> None:
    months = tumbling("month", ms(2022, 1, 20), ms(2022, 2, 10), DAY)
    assert (months.start(0), months.end(months.count - 1)) == (ms(2022, 1, 1), ms(2022, 3, 1))


@given(st.sampled_from(["1ms", "250ms", "second", "7s", "minute", "hour", "day", "7d", "month", "year"]), st.data())
def test_every_time_lies_in_its_window(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(ms(1999, 1, 1), ms(2030, 1, 1)))
    end = start + data.draw(st.integers(1, 800 * DAY))
    windows = tumbling(name, start, end, 1)
    times = np.array(data.draw(st.lists(st.integers(start, end - 1), min_size=1, max_size=9)), np.int64)
    assert windows.start(0) <= start < windows.end(0)
    assert windows.start(windows.count - 1) < end <= windows.end(windows.count - 1)
    for time, index in zip(times.tolist(), windows.indices(times).tolist(), strict=True):
        assert index == windows.index(time)
        assert windows.start(index) <= time < windows.end(index)
        assert windows.closed(time) == index
    assert windows.closed(windows.start(0) - 1) == 0
    assert windows.closed(2**63 - 1) == windows.count


def test_windows_off_the_tick_grid_are_refused() -> None:
    with pytest.raises(WindowError, match="no union of ticks"):
        tumbling("hour", *SPAN)
    with pytest.raises(WindowError, match="no union of ticks"):
        tumbling("month", ms(2018, 1, 1), ms(2018, 3, 1), 7 * DAY)
    with pytest.raises(WindowError, match="holds no tick"):
        tumbling("day", 5, 5, 1)


@pytest.mark.parametrize("name", ["fortnight", "0s", "-1d", "1.5h", "", "d"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(WindowError, match="unknown window"):
        tumbling(name, *SPAN)


def test_coarser_windows_are_unions_of_the_finest() -> None:
    assert [windows.name for windows in nested(("year", "day", "month", "day"), *SPAN)] == ["day", "month", "year"]
    with pytest.raises(WindowError, match="no union of windows '7d'"):
        nested(("7d", "month"), *SPAN)
    with pytest.raises(WindowError, match="no union of windows 'month'"):
        nested(("month", "45d"), *SPAN)
    with pytest.raises(WindowError, match="at least one window"):
        nested((), *SPAN)
