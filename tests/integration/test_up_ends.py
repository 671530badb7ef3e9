"""How a stack ends: told to stop in mid-run, its broker or itself killed; and what a command beside it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from jinliu.broker import abandoned, running
from tests.integration.test_front_door import document, told
from tests.waiting import wait_until

SPAN = ("--topology", "small", "--from", "2018-04-01", "--to", "2018-09-30")


class Stack:
    """`jinliu up <words>` at a day a second, from its first rows on; killed at the end of the context."""

    def __init__(self, data: Path, *words: str) -> None:
        self.data, self.log = data, data.with_suffix(".log")
        command = [sys.executable, "-m", "jinliu", "up", "--data", str(data), *SPAN, "--speed", "86400", *words]
        self.out = data.with_suffix(".out")
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)

    def __enter__(self) -> Stack:
        wait_until(lambda: "events, " in self.said() or self.process.poll() is not None, "a first line of the run")
        assert self.process.poll() is None, self.said()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            wait_until(lambda: not abandoned(self.data), "the broker to end")

    def said(self) -> str:
        return self.out.read_text() + self.log.read_text()

    def children(self) -> list[int]:
        """Process ids of the broker, the sources and the workers."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        return [int(pid) for pid, parent in map(str.split, listed.splitlines()) if int(parent) == self.process.pid]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_beside_a_running_stack_and_stopped_before_its_end(tmp_path: Path) -> None:
    data = str(tmp_path / "run")
    with Stack(tmp_path / "run", "--once", "--json") as stack:
        refused = told("produce", "--source", "banks", "--data", data, code=2).stderr
        assert "source banks is already running" in refused
        for more in ((), ("--fresh",)):
            assert f"a stack is running on {data}" in told("up", "--once", "--data", data, *more, code=2).stderr
        children = stack.children()
        assert len(children) >= 3
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(120) == 130, stack.said()
    summary = json.loads(stack.out.read_text())
    assert summary["complete"] is False
    assert summary["missing_sources"] == ["alipay", "wechat-pay", "unionpay", "banks", "jd"]
    assert summary["windows_open"] > 0
    last = stack.log.read_text().splitlines()[-1]
    for part in ("has not come to its end", "banks", f"{summary['windows_open']} of", "the same command goes on"):
        assert part in last
    assert not any(alive(pid) for pid in children)


def test_a_broker_killed_under_a_stack_ends_it_with_a_word_and_nothing_is_left(tmp_path: Path) -> None:
    with Stack(tmp_path / "run") as stack:
        children = stack.children()
        broker = json.loads((tmp_path / "run" / "broker" / "server.json").read_text())["pid"]
        assert broker in children
        os.kill(broker, signal.SIGKILL)
        assert stack.process.wait(120) == 2, stack.said()
    assert "does not answer any more" in stack.log.read_text().splitlines()[-1]
    assert not any(alive(pid) for pid in children)


def test_a_stack_killed_leaves_nothing_running_and_goes_on_at_once(tmp_path: Path) -> None:
    with Stack(tmp_path / "run") as stack:
        children = stack.children()
        stack.process.kill()
        stack.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in children), "every child to end")
    with Stack(tmp_path / "run") as stack:
        stack.process.kill()
        stack.process.wait()
        summary = document("up", "--once", "--data", str(tmp_path / "run"), "--speed", "max")
    assert (summary["complete"], summary["windows_incomplete"]) == (True, 0)
    assert document("verify", "--data", str(tmp_path / "run"))["different"] == 0
    said = told("produce", "--source", "banks", "--data", str(tmp_path / "run")).stdout
    assert said == "the run is complete for source banks: nothing to tell\n"
    assert running(tmp_path / "run") is None
