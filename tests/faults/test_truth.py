"""The judge of the schedules sees what it is there for: an event lost before the log, or between log and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import topologies
from jinliu import broker as embedded
from jinliu.oracle.log import Chunk, KafkaLog
from tests.faults import truth
from tests.integration.test_front_door import document

WORLD = topologies.load("small")
SPAN = ("--topology", "small", "--from", "2018-04-01", "--to", "2018-04-03")
START_MS = WORLD.span.start_ms
END_MS = START_MS + 3 * 86_400_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The broker of a finished run of three days, seed 7."""
    data = tmp_path_factory.mktemp("truth") / "run"
    assert document("up", "--once", "--data", str(data), *SPAN, "--seed", "7")["complete"]
    with embedded.shared(Path(data)) as address:
        yield address


def judge(address: str, seed: int = 7) -> None:
    truth.assert_whole(address, WORLD, seed, START_MS, END_MS, "about")


def test_a_whole_run_is_whole(address: str) -> None:
    judge(address)


def test_the_events_of_another_seed_are_not_its(address: str) -> None:
    with pytest.raises(AssertionError, match="the log does not hold what the world tells"):
        judge(address, seed=8)


@pytest.mark.parametrize(("topic", "twice"), [("payments", 0), ("operations", 0), ("loans", 0), ("payments", 2)])
def test_an_event_that_is_not_in_the_log_is_seen_and_one_told_twice_is_none(
    address: str, topic: str, twice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = KafkaLog.read

    def changed(self: KafkaLog, name: str, partition: int, *rest: Any, **named: Any) -> Iterator[Chunk]:
        for chunk in read(self, name, partition, *rest, **named):
            if (name, partition) == (topic, 1):
                at = len(chunk.values) // 2
                chunk.values[at : at + 1] *= twice
                chunk.keys[at : at + 1] *= twice
            yield chunk

    monkeypatch.setattr(KafkaLog, "read", changed)
    if twice:
        judge(address)
        return
    with pytest.raises(AssertionError, match=rf"the log does not hold what the world tells in \['[a-z-]+/{topic}/1'\]"):
        judge(address)


@pytest.mark.parametrize(
    ("metric", "changes", "said"),
    [
        ("accounting", {"folded": 1}, "not folded as told"),
        ("accounting", {"missing": 1}, "missing, late or dead"),
        ("accounting", {"late": 1}, "missing, late or dead"),
        ("accounting", {"dead": 1}, "missing, late or dead"),
        ("market-share", {"status": "INCOMPLETE"}, "rows of market-share not FINAL"),
        ("market-share", {"status": "PROVISIONAL"}, "rows of market-share not FINAL"),
    ],
)
def test_a_row_that_tells_of_loss_is_seen(
    address: str, metric: str, changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = truth._newest

    def changed(reader: Any) -> Any:
        found = newest(reader)
        key, row = next(iter(found[metric].items()))
        found[metric][key] = dataclasses.replace(row, **changes)
        return found

    monkeypatch.setattr(truth, "_newest", changed)
    with pytest.raises(AssertionError, match=said):
        judge(address)
