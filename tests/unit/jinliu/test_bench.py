"""The bench's own arithmetic and refusals; the figures themselves are nobody's promise."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jinliu import bed, bench
from jinliu.bench import figures, gauge, stock
from jinliu.bench.errors import BenchError
from jinliu.bench.latency import NEVER, Seen, delays_ms

START = 1_655_294_400_000


def row(window: str, start: int, channel: str = "ALIPAY") -> bytes:
    return json.dumps({"window": window, "window_start": start, "channel": channel, "scene": "ALL"}).encode()


def upto(**shards: int) -> bytes:
    return json.dumps({f"payments/{shard.removeprefix('s')}": offset for shard, offset in shards.items()}).encode()


def starts(count: int, **windows: int) -> dict[str, np.ndarray]:
    return {name: np.full(count, start) for name, start in windows.items()}


def test_unknown_entry_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(BenchError, match="no bench entry 'fodl'; there are fold, fold-small, fold-loans, emit"):
        bench.run(("fodl",), 10_000, 5)


def test_entries_run_in_order_and_stock_faust_is_held_against_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(cpu: float) -> bench.Entry:
        return lambda events, seconds: {"cpu_us_per_event": cpu, "events_per_s": events * seconds}

    monkeypatch.setattr(bench, "ENTRIES", {"fold": entry(0.4), "emit": entry(0.5), "stock-faust": entry(800.0)})
    found = bench.run(("stock-faust", "fold"), 10_000, 5)
    assert found == {
        "fold": {"cpu_us_per_event": 0.4, "events_per_s": 50_000},
        "stock-faust": {"cpu_us_per_event": 800.0, "events_per_s": 50_000, "times_fold": 2000.0},
    }


def test_table_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    bench.show({"fold": {"cpu_us_per_event": 0.4, "events_per_s": 2_500_000, "parts": {"worker": 0.3}, "rss_mb": 1234}})
    text = " ".join(capsys.readouterr().out.split())
    assert all(word in text for word in ("fold", "0.4", "2,500,000", "worker", "1,234"))


def test_first_row_that_covers_an_offset_counts() -> None:
    seen = Seen()
    seen.row(row("second", START), upto(s0=10), 1_000)
    seen.row(row("second", START), upto(s0=30, s1=5), 1_200)
    assert seen.first_ms(("second", START, 0), np.array([0, 9, 10, 29, 30])).tolist() == [1000, 1000, 1200, 1200, NEVER]
    assert seen.first_ms(("second", START, 1), np.array([4, 5])).tolist() == [1200, NEVER]
    assert seen.first_ms(("minute", START, 0), np.array([0])).tolist() == [NEVER]


def test_rows_of_one_header_are_read_once_and_windows_apart() -> None:
    seen = Seen()
    seen.row(row("second", START), upto(s0=10), 1_000)
    seen.row(row("second", START, "BANK"), upto(s0=10), 1_050)
    seen.row(row("minute", START), upto(s0=10), 1_100)
    assert seen.first_ms(("second", START, 0), np.array([9])).tolist() == [1000]
    assert seen.first_ms(("minute", START, 0), np.array([9])).tolist() == [1100]


def test_delay_is_to_the_soonest_of_an_events_windows() -> None:
    seen = Seen()
    seen.row(row("minute", START), upto(s3=2), 1_300)
    seen.row(row("second", START), upto(s3=1), 1_500)
    found = delays_ms(seen, 3, starts(3, second=START, minute=START), np.array([0, 1, 2]), np.array([1000, 1200, 1290]))
    assert found.tolist() == [300, 100, NEVER]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 40)), max_size=20), st.lists(st.integers(0, 60), max_size=20)
)
def test_first_ms_is_what_a_scan_finds(steps: list[tuple[int, int]], offsets: list[int]) -> None:
    seen, log, at = Seen(), [], 0
    for covered, later in steps:
        at += later
        seen.row(row("second", START), upto(s0=covered), at)
        log.append((covered, at))
    scanned = [next((when for covered, when in log if covered > offset), NEVER) for offset in offsets]
    assert seen.first_ms(("second", START, 0), np.array(offsets, np.int64)).tolist() == scanned


def test_sums_of_the_truth_leave_failed_payments_out() -> None:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(START / 1000 + 61.5, UTC)
    event = {"event_time": at, "channel": "BANK", "scene": "DINING", "outcome": "SUCCESS", "amount_fen": 250}
    truth: stock.Result = {}
    for outcome in ("SUCCESS", "TIMEOUT", "SUCCESS"):
        stock.count(truth, event | {"outcome": outcome})
    assert truth == {f"{START + 60_000}|BANK|DINING": [2, 500]}


def test_own_process_has_cpu_and_memory() -> None:
    before = gauge.cpu_s(os.getpid())
    sum(range(3_000_000))
    assert gauge.cpu_s(os.getpid()) >= before
    assert 0 < gauge.rss_mb(os.getpid()) <= gauge.rss_mb(os.getpid(), most=True)


def test_parts_keep_the_last_reading_of_what_has_ended() -> None:
    parts = gauge.Parts({"me": os.getpid(), "nobody": 2**22 + 1})
    found = parts.read()
    assert found["me"] > 0
    assert found["nobody"] == 0
    with pytest.raises(BenchError, match="cannot be measured"):
        gauge.cpu_s(2**22 + 1)


def test_slope() -> None:
    assert gauge.slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert gauge.slope([1.0], [5.0]) == 0.0
    assert gauge.slope([1.0, 1.0], [5.0, 6.0]) == 0.0


def test_spans_hold_about_the_events_asked_for() -> None:
    assert bed.one_to_one(28).end_ms - bed.one_to_one(28).start_ms == 28_000
    assert bed.one_to_one(100_000).end_ms - bed.one_to_one(100_000).start_ms == 3_600_000
    days = (figures.small(1_300_000).end_ms - figures.small(1_300_000).start_ms) / figures.DAY_MS
    assert days == 100
