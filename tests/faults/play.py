"""Play a fault schedule against a real stack and prove what comes out.

``python -m tests.faults.play --count 20 --seed 1`` plays twenty schedules and prints a line each; exit code 1 if one
does not verify.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import topologies
from jinliu import broker as embedded
from jinliu.lag import Lag
from jinliu.oracle import verify
from producers.errors import ProducerError
from producers.logs import TopicReader
from producers.options import RUNS
from schemas import catalog
from tests.faults.schedules import Fault, Schedule, Strike, draw
from tests.faults.stack import Stack
from tests.faults.truth import assert_whole
from tests.waiting import wait_until

FIRST, LAST = "2022-01-01", "2022-04-30"
DAYS = 120
START_MS = 1_640_995_200_000  # 2022-01-01
END_MS = START_MS + DAYS * 86_400_000
DAYS_A_SECOND = 8
"""Slow enough that a fault of some seconds strikes in mid-run, fast enough that a schedule takes less than a minute."""

SESSION_S = 60.0
FINISH_S = 180.0
TAIL_LINES = 25
"""Of each worker's log, told with a schedule that did not end."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a schedule came to: rows compared with the oracle, those that differ, shards found fenced, seconds."""

    schedule: Schedule
    compared: int
    differences: list[object]
    fenced: int
    wall_s: float


def play(schedule: Schedule, home: Path) -> Played:
    """Run the span under the schedule's faults to its end, then verify, and hold the log against the seed's world.

    Raises AssertionError, naming the schedule, when the stack does not come to its end, or when anything was lost.
    """
    began = time.monotonic()
    speed = str(86_400 * DAYS_A_SECOND)
    options = ["--seed", str(schedule.seed), "--from", FIRST, "--to", LAST, "--topology", "china"]
    stack = Stack(home, embedded.free_port(), options, clock=["--speed", speed])
    try:
        for name in ("broker", "clock", "sources", *_workers(schedule)):
            stack.start(name)
        for strike in schedule.strikes:
            _reach(stack, strike.at, schedule)
            _strike(stack, strike, schedule)
        _finish(stack, schedule)
        proof = verify(stack.address, "", topologies.load("china"))
        assert proof.unread == 0, f"{proof.unread} offsets were never read ({schedule})"
        assert proof.unmerged == 0, f"{proof.unmerged} windows were never merged ({schedule})"
        assert_whole(stack.address, topologies.load("china"), schedule.seed, START_MS, END_MS, schedule)
        verdict = proof.as_dict()
        fenced = sum(stack.log(name).read_text().count("fenced") for name in _workers(schedule))
        return Played(schedule, verdict["compared"], verdict["differences"], fenced, time.monotonic() - began)
    finally:
        stack.stop()


def _told(stack: Stack) -> float:
    """Share of the span that every source has told; 0 while the broker is away or nothing is told."""
    if not embedded.answers(stack.address):
        return 0.0
    world = topologies.load("china")
    ends = dict.fromkeys((source.name for source in world.sources), 0)
    try:
        with TopicReader(stack.address, RUNS, catalog.ids(None), "jinliu-faults") as reader:
            entries = reader.read_to_end()
    except ProducerError:
        return 0.0  # not there yet, or the broker is only coming up
    for entry in entries:
        if entry.name == "progress" and entry.value is not None:
            ends[entry.value["source"]] = max(ends[entry.value["source"]], entry.value["tick_end"] - START_MS)
    return min(ends.values()) / (END_MS - START_MS)


def _reach(stack: Stack, share: float, schedule: Schedule) -> None:
    wait_until(lambda: _told(stack) >= share, f"{share:.0%} of the span to be told ({schedule})")


def _workers(schedule: Schedule) -> list[str]:
    return [f"worker-{number}" for number in range(1, schedule.workers + 1)]


def _strike(stack: Stack, strike: Strike, schedule: Schedule) -> None:
    away = _Away(strike.pause_s)
    if strike.fault is Fault.KILL_WORKER:
        stack.signal("worker-1", signal.SIGKILL)
        away.wait()
        stack.start("worker-1")
    elif strike.fault is Fault.KILL_SOURCES:
        stack.signal("sources", signal.SIGKILL)
        away.wait()
        stack.start("sources")
    elif strike.fault is Fault.KILL_BROKER:
        stack.signal("broker", signal.SIGKILL)
        away.wait()
        stack.start("broker")
        for name in ("clock", "sources", *_workers(schedule)):
            if not stack.running(name):
                stack.start(name)
    else:
        _zombie(stack, away, _workers(schedule))


def _zombie(stack: Stack, away: _Away, workers: list[str]) -> None:
    """Stop a worker past its session; others take over; it wakes up, and one of its successors is killed."""
    wait_until(lambda: "shards taken over" in stack.log("worker-1").read_text(), "worker-1 to own shards")
    others = workers[1:]

    def taken() -> int:
        return sum(stack.log(name).read_text().count("shards taken over") for name in others)

    before = taken()
    stack.signal("worker-1", signal.SIGSTOP)
    wait_until(lambda: taken() > before, "the others to take the shards over", SESSION_S)
    away.wait()
    seen = _superseded(stack)
    stack.signal("worker-1", signal.SIGCONT)
    stack.signal("worker-2", signal.SIGKILL)
    # What it had in flight is fenced; with nothing in flight it learns from the group, and takes shards over anew.
    wait_until(lambda: _superseded(stack) > seen, "the woken worker to find itself superseded", SESSION_S)
    stack.start("worker-2")


def _superseded(stack: Stack) -> int:
    told = stack.log("worker-1").read_text()
    return told.count("fenced") + told.count("shards taken over")


class _Away:
    """How long a victim stays away, counted from the strike."""

    def __init__(self, pause_s: float) -> None:
        self._end = time.monotonic() + pause_s

    def wait(self) -> None:
        wait_until(lambda: time.monotonic() >= self._end, "the pause to pass")


def _finish(stack: Stack, schedule: Schedule) -> None:
    """Sources closed, everything folded and merged; who died of a consequence is started again, as supervisors do."""
    world = topologies.load("china")

    def done() -> bool:
        for name in ("clock", "sources", *_workers(schedule)):
            if not stack.running(name) and stack.children[name].returncode != 0:
                stack.start(name)
        if stack.running("sources") or stack.running("clock"):
            return False
        with Lag(stack.address, "", world) as lag:
            return lag.records() == 0

    try:
        wait_until(done, f"the run to end ({schedule})", FINISH_S)
    except AssertionError as error:
        names = [name for name in stack.children if stack.running(name)]
        with Lag(stack.address, "", world) as lag:
            behind = lag.behind()
        tails = "".join(f"\n{name}:\n{_tail(stack, name)}" for name in _workers(schedule))
        told = f"still running: {', '.join(names)}; {_told(stack):.0%} told; behind: {behind}{tails}"
        raise AssertionError(f"{error}; {told}") from error


def _tail(stack: Stack, name: str) -> str:
    return "\n".join(stack.log(name).read_text(errors="replace").splitlines()[-TAIL_LINES:])


def main() -> int:
    """Play schedules and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule; the next ones follow")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.count):
        schedule = draw(seed)
        home = Path(tempfile.mkdtemp(prefix=f"jinliu-schedule-{seed}-"))
        try:
            played = play(schedule, home)
        except AssertionError as error:
            failed += 1
            replay = f"replay: python -m tests.faults.play --count 1 --seed {seed}"
            print(f"FAILED {schedule}: {error}; logs: {home}; {replay}", flush=True)
            continue
        shutil.rmtree(home)
        failed += bool(played.differences)
        word = "equal" if not played.differences else f"DIFFERENT: {played.differences[:3]}"
        print(f"{word}: {played.compared} rows, {played.fenced} fenced, {played.wall_s:.0f} s; {schedule}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
