"""A stack of real processes that a test may kill: broker, clock, sources, workers, each started as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from jinliu import broker as embedded
from tests.waiting import wait_until


class Stack:
    """Broker, clock, sources and workers of one data directory; children are known by name.

    The names: `broker`, `clock`, `sources`, and `worker-1` and so on.
    """

    def __init__(self, data: Path, port: int, options: list[str], clock: list[str]) -> None:
        self.data, self.port, self.options, self.clock = data, port, options, clock
        self.address = f"127.0.0.1:{port}"
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, name: str) -> list[str]:
        """The command line of a child, as a user would type it."""
        jinliu = [sys.executable, "-m", "jinliu"]
        if name == "broker":
            return [*jinliu, "broker", "--data", str(self.data), "--port", str(self.port)]
        verb = {"clock": ["clock", "--create-topics", *self.clock], "sources": ["produce"]}.get(name, ["process"])
        return [*jinliu, *verb, "--broker", self.address, *self.options]

    def log(self, name: str) -> Path:
        """Where a child's output goes; appended to when it starts again."""
        return self.data / f"{name}.log"

    def start(self, name: str) -> None:
        """Start a child (again)."""
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as out:
            self.children[name] = subprocess.Popen(self.command(name), stdout=out, stderr=out, start_new_session=True)
        if name == "broker":
            wait_until(lambda: embedded.answers(self.address), "the broker to answer", 60)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child and to what it started; SIGKILL is waited for."""
        child = self.children[name]
        if name == "broker":
            # The JVM has a session of its own; the file beside its log names it.
            told = self.data / "broker" / "server.json"
            if told.is_file():
                os.kill(json.loads(told.read_text())["pid"], number)
        os.killpg(child.pid, number)
        if number == signal.SIGKILL:
            child.wait()

    def running(self, name: str) -> bool:
        """Whether the child is there."""
        return name in self.children and self.children[name].poll() is None

    def stop(self) -> None:
        """End every child, gently and then for good."""
        for name in sorted(self.children, key=lambda each: each == "broker"):
            if self.running(name):
                self.signal(name, signal.SIGCONT)
                self.signal(name, signal.SIGTERM)
                try:
                    self.children[name].wait(20)
                except subprocess.TimeoutExpired:
                    self.signal(name, signal.SIGKILL)
