"""How a stack ended: what is said of a run that did not come to its end, and the exit code."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kafka.errors
import pytest

import topologies
from jinliu import up as stack
from jinliu.children import ChildDied
from jinliu.jvm import BrokerError
from jinliu.live import Silent
from jinliu.overview import Overview
from jinliu.settings import UsageError, settings
from producers.runrecord import Run
from schemas import catalog
from schemas.errors import JinliuError
from streams.errors import DefinitionError
from streams.measures import count
from streams.metric import Metric
from streams.rollup import Rollup
from streams.rows import Row

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


KILLED = ChildDied("worker-1 ended with signal SIGKILL: it said nothing", -9)


@pytest.mark.parametrize("failure", [KILLED, stack.DiskFull("the disk is full"), BrokerError("Kafka is gone")])
def test_what_cut_a_run_short_is_said_with_what_is_missing_and_how_to_go_on(
    failure: JinliuError, overview: Overview
) -> None:
    overview.take([share(0, "FINAL")])
    ended = stack._ended(overview, ("banks",), None, 0.0, failure)
    assert set(ended.summary) == KEYS
    assert (ended.summary["complete"], ended.summary["missing_sources"]) == (False, ["banks"])
    assert ended.exit_code == failure.exit_code == (2 if isinstance(failure, BrokerError) else 1)
    assert ended.last_line.startswith(f"{failure}; the run has not come to its end: not told to the end: banks")
    assert ended.last_line.endswith("; the same command goes on where it stopped")


def test_a_run_that_was_cut_short_is_not_taken_for_complete_by_what_was_seen_last(overview: Overview) -> None:
    overview.take([share(0, "FINAL")])
    assert stack._ended(overview, (), None, 0.0).summary["complete"]
    assert not stack._ended(overview, (), None, 0.0, KILLED).summary["complete"]


@pytest.mark.parametrize("code", [2, 70])
def test_a_mistake_and_a_worker_that_cannot_go_on_say_themselves_what_to_do(code: int, overview: Overview) -> None:
    ended = stack._ended(overview, (), None, 0.0, ChildDied("worker-1: mend the metric", code))
    assert (ended.exit_code, ended.last_line) == (code, "worker-1: mend the metric")


def test_whatever_ends_first_of_a_full_disk_it_is_the_disk_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "the disk of d is full (0.0 MB are free)"
    refused, chosen = kafka.errors.NodeNotReadyError("away"), settings(data=tmp_path)
    monkeypatch.setattr(stack.embedded, "no_room", lambda _: "")
    assert stack._failure(KILLED, chosen, "b:1") is KILLED
    assert isinstance(found := stack._failure(refused, chosen, "b:1"), BrokerError)
    assert str(found).startswith("Kafka at b:1 does not answer any more: ")
    monkeypatch.setattr(stack.embedded, "no_room", lambda _: said)
    for error in (KILLED, refused):
        assert isinstance(found := stack._failure(error, chosen, "b:1"), stack.DiskFull)
        assert str(found) == f"{said}, make room there: {error}"
        assert found.exit_code == 1
    assert stack._failure(KILLED, settings(broker="b:1"), "b:1") is KILLED


def test_sources_are_missing_until_they_are_known_to_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings(topology="small").source_options("127.0.0.1:9")
    run = Run.of(options)
    chosen, ids = settings(topology="small"), catalog.ids(None)
    monkeypatch.setattr(stack, "_reachable", lambda _: False)
    assert stack._untold(chosen, "127.0.0.1:9", ids, run) == run.sources()
    monkeypatch.setattr(stack, "_reachable", lambda _: True)
    monkeypatch.setattr(stack, "unfinished", lambda *_: ("banks",))
    assert stack._untold(chosen, "127.0.0.1:9", ids, run) == ("banks",)
    monkeypatch.setattr(stack, "unfinished", raises(kafka.errors.KafkaTimeoutError("no answer")))
    assert stack._untold(chosen, "127.0.0.1:9", ids, run) == run.sources()


def raises(error: Exception) -> Callable[..., Any]:
    def failed(*_: object) -> None:
        raise error

    return failed


def test_a_metric_of_ones_own_that_fits_no_event_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flags = Rollup(name="f", topic="payments", keys=(), measures={"n": count()}, where={"scene": "MOON"})
    wrong = Metric(
        name="moon", row=Row, key=("window",), rollups=(flags,), derive=lambda *_: iter(()), proof="SELECT 1"
    )
    monkeypatch.setattr(stack.metrics, "own", lambda: {"moon": wrong})
    chosen = settings(topology="small", data=tmp_path / "run")
    with pytest.raises(DefinitionError, match="metric 'moon', rollup 'f': 'scene' is never 'MOON'"):
        stack.up(chosen, stack.Plan(1, True, False, None), Silent())
    assert not (tmp_path / "run").exists()


class NoAnswer:
    """A lag that is asked in vain."""

    def records(self, limit_s: float) -> int:
        raise kafka.errors.KafkaTimeoutError(f"no answer in {limit_s} s")


MINE = stack.Embedded("127.0.0.1:9", Path("/d"))


def test_a_broker_that_is_busy_is_waited_for_and_one_that_is_gone_is_told(
    overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = stack._Watched(None, NoAnswer(), overview, None, None, None, MINE)  # type: ignore[arg-type]
    monkeypatch.setattr(stack.embedded, "answers", lambda *_: True)
    assert watched.behind() == 1
    overview.lag = 40
    assert watched.behind() == 40
    monkeypatch.setattr(stack.embedded, "answers", lambda *_: False)
    with pytest.raises(
        BrokerError, match=r"127.0.0.1:9 does not .*: it said nothing \(whole log: /d/broker/server.log\)"
    ):
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
