"""What `up` knows of a run from its metric topics, and how it says so."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from jinliu.live import Lines, day, number
from jinliu.overview import Overview

DAY = 86_400_000
START = topologies.load("small").span.start_ms
SPAN = (START, START + 3 * DAY)


@pytest.fixture
def overview() -> Overview:
    return Overview(topologies.load("small"), SPAN)


def share(first_day: int, channel: str, part: float, status: str, window: str = "day") -> tuple[str, Any]:
    row = SimpleNamespace(
        window=window, window_start=START + first_day * DAY, status=status, channel=channel, scene="ALL", share=part,
        payments_weighted=10, amount_weighted_fen=1000,
    )  # fmt: skip
    return "market-share", row


def account(shard: int, folded: int, late: int = 0, duplicate: int = 0, dead: int = 0) -> tuple[str, Any]:
    row = SimpleNamespace(
        topic="payments", shard=shard, source="alipay", folded=folded, late=late, duplicate=duplicate, dead=dead
    )
    return "accounting", row


def close(overview: Overview, status: str = "FINAL") -> None:
    """Every window of every metric."""
    for name, window in list(overview._expected):
        starts = [START + n * DAY for n in range(3)] if window == "day" else [START]
        for start in starts:
            row = SimpleNamespace(
                window=window, window_start=start, status=status, channel="BANK", scene="DINING", institution="icbc",
                route="ALL",
            )  # fmt: skip
            overview.take([(name, row)])


def test_accounts_are_the_newest_row_of_each_shard(overview: Overview) -> None:
    overview.take([account(0, 5), account(1, 7), account(0, 6, late=1, duplicate=2, dead=3)])
    summary = overview.summary()
    assert summary["events"] == {"payments": 13}
    assert (summary["late"], summary["duplicate"], summary["dead"]) == (1, 2, 3)


def test_the_newest_closed_window_is_shown_and_before_it_the_one_that_fills(overview: Overview) -> None:
    overview.take([share(0, "BANK", 0.2, "PROVISIONAL"), share(0, "ALIPAY", 0.8, "PROVISIONAL")])
    assert {name: row.share for name, row in overview.share.items()} == {"BANK": 0.2, "ALIPAY": 0.8}
    overview.take([share(0, "BANK", 0.1, "FINAL"), share(0, "ALIPAY", 0.9, "FINAL")])
    overview.take([share(1, "BANK", 1.0, "PROVISIONAL"), share(2, "BANK", 0.5, "PROVISIONAL", window="month")])
    assert overview.sim_ms == START + DAY
    assert {name: row.share for name, row in overview.share.items()} == {"BANK": 0.1, "ALIPAY": 0.9}


def test_complete_when_every_window_of_every_metric_is_closed(overview: Overview) -> None:
    assert not overview.complete
    overview.take([share(n, "BANK", 1.0, "FINAL") for n in range(3)])
    assert not overview.complete
    close(overview)
    assert overview.complete
    assert overview.windows("FINAL") == overview.expected
    assert overview.summary()["windows_incomplete"] == 0


def test_windows_with_rows_that_did_not_close_are_provisional(overview: Overview) -> None:
    overview.take([share(0, "BANK", 1.0, "PROVISIONAL"), share(1, "BANK", 1.0, "PROVISIONAL")])
    assert overview.provisional == 2
    overview.take([share(0, "BANK", 1.0, "FINAL"), share(2, "BANK", 1.0, "FINAL")])
    assert overview.provisional == 1
    close(overview)
    assert overview.provisional == 0


def test_windows_closed_incomplete_are_closed_too(overview: Overview) -> None:
    close(overview, "INCOMPLETE")
    assert overview.complete
    assert overview.summary()["windows_incomplete"] == overview.expected


def test_a_closed_window_is_counted_once_however_many_rows_it_has(overview: Overview) -> None:
    overview.take([share(0, channel, 0.5, "FINAL") for channel in ("BANK", "ALIPAY")])
    assert overview.windows("FINAL") == 1


def test_rows_of_no_window_of_the_span_change_nothing(overview: Overview) -> None:
    strange, one = SimpleNamespace, share(0, "BANK", 1.0, "FINAL")
    overview.take([one])
    overview.take(
        [
            share(0, "BANK", 0.5, "FINAL", window="fortnight"),
            share(3, "BANK", 0.5, "FINAL"),
            share(-1, "BANK", 0.5, "FINAL"),
            ("market-share", strange(**vars(one[1]) | {"window_start": START + 1})),
            ("my-own", strange(value=7)),
            ("my-own", strange(window="day", window_start=START, status="FINAL")),
        ]
    )
    assert (overview.windows("FINAL"), overview.provisional, overview.rows) == (1, 0, 7)
    assert overview.share == {"BANK": one[1]}
    close(overview)
    assert overview.complete


def test_plain_lines(overview: Overview) -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.say("broker", "127.0.0.1:9092")
    lines.show(overview, last=True)
    overview.take([share(1, "BANK", 0.125, "PROVISIONAL"), account(0, 1234)])
    lines.show(overview, last=True)
    said = out.getvalue().splitlines()
    assert said[0] == "broker: 127.0.0.1:9092"
    assert len(said) == 2
    assert said[1].startswith("2018-04-02  banks' own 12.5%")
    assert "1,234 events" in said[1]


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999"), (12_345, "12,345"), (1.5e6, "1.50 m"), (2.25e9, "2.25 bn"), (1e12, "1.00 tn")]
)
def test_large_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_days_and_times() -> None:
    assert day(START) == "2018-04-01"
    assert day(START + 3_600_000) == "2018-04-01 01:00:00"
