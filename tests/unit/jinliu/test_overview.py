"""What `up` knows of a run from its metric topics, and how it says so."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import topologies
from jinliu.live import Lines, day, number, picture
from jinliu.overview import Overview

DAY = 86_400_000
START = topologies.load("small").span.start_ms
SPAN = (START, START + 3 * DAY)
MONTHS = [int(np.datetime64(f"2018-0{month}", "ms").astype(np.int64)) for month in (1, 2, 3)]


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
                route="ALL", product="ALL", vintage=None, lender="ALL",
            )  # fmt: skip
            overview.take([(name, row)])


def test_accounts_are_the_newest_row_of_each_shard(overview: Overview) -> None:
    overview.take([account(0, 5), account(1, 7), account(0, 6, late=1, duplicate=2, dead=3)])
    summary = overview.summary()
    assert summary["events"] == {"payments": 13}
    assert (summary["late"], summary["duplicate"], summary["dead"]) == (1, 2, 3)


def test_the_newest_closed_window_is_shown_and_before_it_the_one_that_fills(overview: Overview) -> None:
    overview.take([share(0, "BANK", 0.2, "PROVISIONAL"), share(0, "ALIPAY", 0.8, "PROVISIONAL")])
    assert {name: row.share for name, row in overview.share.rows.items()} == {"BANK": 0.2, "ALIPAY": 0.8}
    overview.take([share(0, "BANK", 0.1, "FINAL"), share(0, "ALIPAY", 0.9, "FINAL")])
    overview.take([share(1, "BANK", 1.0, "PROVISIONAL"), share(2, "BANK", 0.5, "PROVISIONAL", window="month")])
    assert overview.sim_ms == START + DAY
    assert {name: row.share for name, row in overview.share.rows.items()} == {"BANK": 0.1, "ALIPAY": 0.9}


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
    assert overview.share.rows == {"BANK": one[1]}
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


def owed(month: int, lender: str, fen: int, status: str, **other: Any) -> tuple[str, Any]:
    row = {
        "window": "month", "window_start": MONTHS[month], "status": status, "lender": lender, "product": "ALL",
        "vintage": None, "outstanding_weighted_fen": fen, "funded_weighted_fen": fen // 2, "npl_ratio": 0.0125,
        "delinquency_ratio": None,
    }  # fmt: skip
    return "default-rates", SimpleNamespace(**row | other)


def lending() -> Overview:
    return Overview(topologies.load("lending"), (MONTHS[0], MONTHS[2]))


def drawn(overview: Overview) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(picture(overview, 5.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_loans_by_lender_of_the_newest_closed_month() -> None:
    overview = lending()
    overview.take([owed(0, "icbc", 10, "FINAL"), owed(0, "ALL", 30, "FINAL"), owed(1, "icbc", 50, "PROVISIONAL")])
    overview.take(
        [
            owed(0, "icbc", 1, "FINAL", product="CARD"),
            owed(0, "icbc", 2, "FINAL", vintage=96),
            owed(0, "icbc", 3, "FINAL", window="year"),
        ]
    )
    assert {name: row.outstanding_weighted_fen for name, row in overview.lent.rows.items()} == {"icbc": 10, "ALL": 30}
    assert overview.sim_ms == MONTHS[1]


def test_a_world_without_payments_shows_its_loans() -> None:
    overview = lending()
    assert "waiting for the first window" in drawn(overview)
    lenders = ("icbc", "cmb", "TRADITIONAL_BANKS", "PLATFORMS", "lan-hai")
    overview.take([owed(0, name, 10**13 * n, "FINAL") for n, name in enumerate(lenders, 1)])
    overview.take([owed(0, "ALL", 3 * 10**14, "FINAL")])
    said = drawn(overview)
    assert "channel" not in said
    assert "icbc" not in said, "the least of three"
    assert [line.split()[1] for line in said.splitlines() if "1.25%" in line] == [
        "banks", "platforms", "lan-hai", "cmb", "all",
    ]  # fmt: skip
    assert "3.00 tn" in said
    assert "the newest closed month: 2018-01-01" in said
    out = io.StringIO()
    Lines(out).show(overview, last=True)
    assert out.getvalue().startswith("2018-01-01  loans 3.00 tn yuan, 1.25% 90 days late  | ")


def test_payments_and_loans_side_by_side() -> None:
    overview = Overview(topologies.load("china"), (MONTHS[0], MONTHS[1]))
    row = share(0, "BANK", 0.125, "PROVISIONAL")[1]
    quality = SimpleNamespace(
        window="month", window_start=MONTHS[0], status="FINAL", institution="ALL", route="ALL", success_rate=0.99,
        latency_p50_ms=80.0, latency_p99_ms=900.0, phished_users=3, qr_users=50,
    )  # fmt: skip
    row.window_start = MONTHS[0]
    overview.take([("market-share", row), ("payment-quality", quality), owed(0, "ALL", 10, "PROVISIONAL")])
    said = drawn(overview)
    assert said.count("the first window fills") == 2
    assert "12.50%" in said
    assert "3 of 50 simulated people phished" in said


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999"), (12_345, "12,345"), (1.5e6, "1.50 m"), (2.25e9, "2.25 bn"), (1e12, "1.00 tn")]
)
def test_large_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_days_and_times() -> None:
    assert day(START) == "2018-04-01"
    assert day(START + 3_600_000) == "2018-04-01 01:00:00"
