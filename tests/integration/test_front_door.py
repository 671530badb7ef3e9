"""The front door as a user meets it: whole runs of a small world, proved, stopped, resumed, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

import jinliu
from jinliu.broker import running
from tests.waiting import wait_until

SPAN = ("--topology", "small", "--from", "2018-04-01", "--to", "2018-04-12")
WINDOWS = 12 + 1 + 12 + 1 + 1 + 5
"""Days and months of market-share and payment-quality, months of institutions and of the five metrics of loans."""


def told(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What `jinliu <words>` printed; it must end with `code`."""
    clean = {name: value for name, value in os.environ.items() if name == "JINLIU_CACHE" or "JINLIU_" not in name}
    ended = subprocess.run([sys.executable, "-m", "jinliu", *words], capture_output=True, text=True, env=clean)
    assert ended.returncode == code, ended.stderr
    return ended


def document(*words: str) -> Any:
    """The one JSON document of `jinliu <words> --json`."""
    return json.loads(told(*words, "--json").stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A finished run in a data directory, and its summary."""
    data = str(tmp_path_factory.mktemp("door") / "run")
    return data, document("up", "--once", "--data", data, *SPAN)


def test_the_summary_of_a_span(run: tuple[str, dict[str, Any]]) -> None:
    _, summary = run
    assert set(summary) == {
        "events", "dead", "late", "duplicate", "windows_final", "windows_incomplete", "wall_s", "cpu_s", "rss_mb_max",
        "complete", "missing_sources", "windows_open",
    }  # fmt: skip
    assert set(summary["events"]) == {"payments", "operations", "loans"}
    assert summary["events"]["payments"] > 1000
    assert (summary["dead"], summary["late"], summary["duplicate"]) == (0, 0, 0)
    assert (summary["windows_final"], summary["windows_incomplete"]) == (WINDOWS, 0)
    assert (summary["complete"], summary["missing_sources"], summary["windows_open"]) == (True, [], 0)
    assert summary["cpu_s"] > 0
    assert summary["rss_mb_max"] > 0


def test_nothing_is_left_running(run: tuple[str, dict[str, Any]]) -> None:
    assert running(Path(run[0])) is None


def test_every_row_is_proved(run: tuple[str, dict[str, Any]]) -> None:
    verdict = document("verify", "--data", run[0])
    assert verdict["compared"] > WINDOWS
    assert (verdict["different"], verdict["differences"]) == (0, [])


def test_topics_and_what_is_in_them(run: tuple[str, dict[str, Any]]) -> None:
    data, summary = run
    found = document("topics", "--data", data)
    assert found["payments"]["partitions"] == 2
    assert found["payments"]["records"] > summary["events"]["payments"]
    assert found["payments.dead"]["records"] == 0


def test_watch_is_one_record_a_line(run: tuple[str, dict[str, Any]]) -> None:
    lines = told("watch", "market-share", "--once", "--final", "--json", "--data", run[0]).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["status"] for row in rows} == {"FINAL"}
    days = {row["window_start"] for row in rows if row["window"] == "day"}
    assert len(days) == 12
    month = {row["channel"]: row["share"] for row in rows if row["window"] == "month" and row["scene"] == "ALL"}
    assert sum(month.values()) == pytest.approx(1.0)
    plain = told("watch", "market-share", "--once", "--final", "--data", run[0]).stdout
    assert "day 2018-04-01 final" in plain


def test_subscribe_gives_typed_rows(run: tuple[str, dict[str, Any]]) -> None:
    data, summary = run
    rows = jinliu.subscribe("accounting", data=data, follow=False)
    newest = {(row.topic, row.shard, row.source): row for row in rows}
    assert sum(row.folded for row in newest.values()) == sum(summary["events"].values())
    assert all(row.received == row.folded + row.late + row.duplicate + row.dead for row in newest.values())


def test_a_finished_run_is_found_finished(run: tuple[str, dict[str, Any]]) -> None:
    data, summary = run
    again = document("up", "--once", "--data", data)
    for name in ("events", "duplicate", "windows_final", "windows_incomplete"):
        assert again[name] == summary[name]


def test_another_run_is_refused_and_fresh_drops_the_first(run: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    refused = told("up", "--once", "--data", run[0], *SPAN, "--seed", "8", code=2)
    error = refused.stderr.strip().splitlines()[-1]
    for part in ("seed 7", "topology small", "2018-04-01", "--fresh", run[0]):
        assert part in error
    assert "Traceback" not in refused.stderr
    data = str(tmp_path / "fresh")
    short = ("--topology", "small", "--from", "2018-04-01", "--to", "2018-04-02")
    first = document("up", "--once", "--data", data, *short)
    other = document("up", "--once", "--fresh", "--data", data, *short, "--seed", "8")
    assert other["events"] != first["events"]
    assert other["windows_incomplete"] == 0


def test_stopped_in_mid_run_and_resumed(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "jinliu", "up", "--data", str(tmp_path / "run"), *SPAN, "--speed", "86400"]
    log = tmp_path / "out"
    with log.open("w") as out, subprocess.Popen(words, stdout=out, stderr=out) as stack:
        wait_until(lambda: "events, " in log.read_text() or stack.poll() is not None, "a first line of the run")
        assert stack.poll() is None, log.read_text()
        stack.send_signal(signal.SIGTERM)
        assert stack.wait(120) == 0, log.read_text()
    assert running(tmp_path / "run") is None
    summary = document("up", "--once", "--data", str(tmp_path / "run"))
    assert (summary["windows_final"], summary["windows_incomplete"], summary["duplicate"]) == (WINDOWS, 0, 0)
    assert document("verify", "--data", str(tmp_path / "run"))["different"] == 0


@pytest.fixture
def elsewhere(broker: str, tmp_path: Path) -> tuple[str, ...]:
    """Options of a run on a broker that is not ours."""
    return ("--broker", broker, "--prefix", f"d{uuid.uuid4().hex[:8]}.", "--data", str(tmp_path / "work"))


def test_a_run_on_another_broker_shared_by_two_workers(
    elsewhere: tuple[str, ...], run: tuple[str, dict[str, Any]]
) -> None:
    summary = document("up", "--once", "--workers", "2", *elsewhere, *SPAN)
    assert summary["events"] == run[1]["events"]
    assert (summary["windows_final"], summary["windows_incomplete"]) == (WINDOWS, 0)
    assert document("verify", *elsewhere, *SPAN)["different"] == 0
