"""A run that is cut short, and a run in a directory whose name Java would take for something else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from jinliu.broker import running
from tests.integration.test_front_door import document, told
from tests.integration.test_up_ends import Stack

SHORT = ("--topology", "small", "--from", "2018-04-01", "--to", "2018-04-03", "--speed", "max")


def command_of(pid: int) -> str:
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def test_a_worker_killed_under_a_stack_leaves_a_document_and_says_how_to_go_on(tmp_path: Path) -> None:
    with Stack(tmp_path / "run", "--once", "--json") as stack:
        (worker,) = (pid for pid in stack.children() if " process " in command_of(pid))
        os.kill(worker, signal.SIGKILL)
        assert stack.process.wait(120) == 1, stack.said()
    summary = json.loads(stack.out.read_text())
    assert summary["complete"] is False
    assert summary["missing_sources"] == ["alipay", "wechat-pay", "unionpay", "banks", "jd"]
    assert summary["windows_open"] > 0
    last = stack.log.read_text().splitlines()[-1]
    for part in ("worker-1 ended with signal SIGKILL", "has not come to its end", "the same command goes on"):
        assert part in last
    assert running(tmp_path / "run") is None


def test_a_directory_of_any_name_holds_a_run_and_its_prefix(tmp_path: Path) -> None:
    data = tmp_path / "數据, a\\b é%s#=c "
    summary = document("up", "--once", "--data", str(data), "--prefix", "mine.", *SHORT)
    assert (summary["complete"], summary["windows_incomplete"]) == (True, 0)
    proof = document("verify", "--data", str(data))
    assert (proof["different"], proof["compared"] > 0) == (0, True)
    assert "mine.payments" in document("topics", "--data", str(data))
    assert told("watch", "accounting", "--once", "--data", str(data)).stdout
    assert document("up", "--once", "--data", str(data))["complete"]
