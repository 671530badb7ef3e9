"""The child processes of a stack: started as a user would start them, ended in order, with their last words at hand."""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import CANNOT_GO_ON, DIFFERENT, MISTAKE, JinliuError

log = logging.getLogger("jinliu.children")

STOP_LIMIT_S = 30.0
LAST_LINES = 6
WARNING = re.compile(r"\bWARNING\b|\[warning\s*\]")


class ChildDied(JinliuError):
    """A process of the stack ended that should not have. code: what it ended with, negative for a signal.

    A mistake, and a worker that cannot go on, stay what they are; any other end is that of a run cut short.
    """

    def __init__(self, told: str, code: int) -> None:
        super().__init__(told)
        self.exit_code = code if code in (MISTAKE, CANNOT_GO_ON) else DIFFERENT


@dataclass
class Child:
    """A running `jinliu` command. log: where its output goes; asked: whether it was told to end; forced: and then
    killed, since it did not.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    asked: bool = False
    forced: bool = False

    @property
    def died(self) -> bool:
        """Whether it ended with an error that was not our own doing."""
        code = self.process.poll()
        # Python takes no signal while it starts or ends: a SIGTERM of ours then ends the child at once.
        ours = (self.asked and code == -signal.SIGTERM) or (self.forced and code == -signal.SIGKILL)
        return bool(code) and not ours

    def last_words(self) -> str:
        """The last lines of its output; warnings are not what it ended of."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        lines = [line for line in lines if not WARNING.search(line)]
        return " | ".join(lines[-LAST_LINES:]) or "it said nothing"


class Children:
    """The children of one stack, in the order they were started."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, *arguments: str) -> Child:
        """Start `python -m jinliu <arguments>`; its output goes to `<logs>/<name>.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{name}.log"
        with path.open("wb") as log:
            # Their own sessions: Ctrl-C in a terminal reaches only the parent, which ends them in order.
            process = subprocess.Popen(
                [sys.executable, "-m", "jinliu", *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | {"JINLIU_PARENT": str(os.getpid())},
            )
        child = Child(name, process, path)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ChildDied for a child that ended with an error; one that ended well, or as it was told to, is done."""
        for child in self._children:
            if child.died:
                code = child.process.returncode
                why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise ChildDied(f"{child.name} ended with {why}: {child.last_words()} (whole log: {child.log})", code)

    def stop(self, *names: str, limit_s: float = STOP_LIMIT_S) -> None:
        """SIGTERM to those named (all by default) at once, then wait; SIGKILL for one that does not end in time.

        limit_s: shorter where waiting is in vain, as without a broker: what is in the log stands, whoever is killed.
        """
        chosen = [child for child in self._children if not names or child.name in names]
        for child in chosen:
            if child.process.poll() is None:
                child.asked = True
                child.process.terminate()
        end = time.monotonic() + limit_s
        for child in chosen:
            try:
                child.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end in %g s and was killed (its log: %s)", child.name, limit_s, child.log)
                child.forced = True
                child.process.kill()
                child.process.wait()


def usage() -> tuple[float, float]:
    """CPU seconds of this process and its ended children, and the greatest resident memory of any one, MB."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return cpu, max(own.ru_maxrss, children.ru_maxrss) / 1024
