"""How a stack ended: what is said of a run that did not come to its end, and the exit code."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kafka.errors
import pytest

import topologies
from jinliu import up as stack
from jinliu.jvm import BrokerError
from jinliu.overview import Overview
from jinliu.settings import UsageError, settings

DAY = 86_400_000
WORLD = topologies.load("small")
START = WORLD.span.start_ms
KEYS = {
    "events", "dead", "late", "duplicate", "windows_final", "windows_incomplete", "wall_s", "cpu_s", "rss_mb_max",
    "complete", "missing_sources", "windows_open",
}  # fmt: skip


@pytest.fixture
def overview() -> Overview:
    return Overview(WORLD, (START, START + 3 * DAY))


def share(first_day: int, status: str) -> tuple[str, Any]:
    row = SimpleNamespace(
        window="day", window_start=START + first_day * DAY, status=status, channel="BANK", scene="ALL", share=1.0
    )
    return "market-share", row


def test_a_source_that_never_came_back_is_named_with_the_windows_that_wait_for_it(overview: Overview) -> None:
    overview.take([share(0, "FINAL"), share(1, "PROVISIONAL")])
    ended = stack._ended(overview, ("banks",), None, 0.0)
    assert set(ended.summary) == KEYS
    assert (ended.summary["complete"], ended.summary["missing_sources"]) == (False, ["banks"])
    assert ended.summary["windows_open"] == overview.expected - 1
    assert ended.exit_code == 1
    for part in ("not come to its end", "not told to the end: banks", f"{overview.expected - 1} of", "same command"):
        assert part in ended.open


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_before_the_end_is_said_as_shells_do(overview: Overview, number: int, code: int) -> None:
    overview.lag = 7
    ended = stack._ended(overview, (), number, 0.0)
    assert ended.exit_code == code
    assert "7 records are not folded" in ended.open


def test_a_window_left_provisional_is_no_end_though_all_is_told(overview: Overview) -> None:
    overview.take([share(0, "FINAL"), share(1, "PROVISIONAL")])
    ended = stack._ended(overview, (), None, 0.0)
    assert not ended.summary["complete"]
    assert ended.exit_code == 1
    assert "every source is told to the end" in ended.open


def test_windows_without_rows_do_not_keep_a_run_from_its_end(overview: Overview) -> None:
    overview.take([share(0, "FINAL"), share(1, "INCOMPLETE")])
    ended = stack._ended(overview, (), signal.SIGINT, 0.0)
    assert (ended.open, ended.exit_code) == ("", 0)
    assert (ended.summary["complete"], ended.summary["windows_open"]) == (True, 0)


class NoAnswer:
    """A lag that is asked in vain."""

    def records(self, limit_s: float) -> int:
        raise kafka.errors.KafkaTimeoutError(f"no answer in {limit_s} s")


MINE = stack.Embedded("127.0.0.1:9", Path("d/server.log"))


def test_a_broker_that_is_busy_is_waited_for_and_one_that_is_gone_is_told(
    overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = stack._Watched(None, NoAnswer(), overview, None, None, None, MINE)  # type: ignore[arg-type]
    monkeypatch.setattr(stack.embedded, "answers", lambda *_: True)
    assert watched.behind() == 1
    overview.lag = 40
    assert watched.behind() == 40
    monkeypatch.setattr(stack.embedded, "answers", lambda *_: False)
    with pytest.raises(BrokerError, match=r"127.0.0.1:9 does not answer any more \(its log: d/server.log\)"):
        watched.behind()


def test_one_stack_at_a_time_runs_on_a_directory(tmp_path: Path) -> None:
    chosen = settings(data=tmp_path / "run")
    with stack._alone(chosen, fresh=False):
        with (
            pytest.raises(UsageError, match=r"a stack is running on .*run \(jinliu up\): stop it first"),
            stack._alone(chosen, fresh=True),
        ):
            pass
        with stack._alone(settings(data=tmp_path / "other"), fresh=False):
            pass
    with stack._alone(chosen, fresh=True):
        pass
