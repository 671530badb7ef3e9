"""Worker processes that a test starts, watches, stops, freezes and kills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("workerprocess.py")
PATIENCE_S = 120.0


class Worker:
    """One worker process; `status` is its newest status line, `log` what else it said."""

    def __init__(self, broker: str, prefix: str, datadir: Path) -> None:
        self.status: dict[str, Any] = {}
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), broker, prefix, str(datadir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self._process.stdout, self._process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            with self._changed:
                if line.startswith("{"):
                    self.status = json.loads(line)
                else:
                    self.log.append(line.rstrip())
                self._changed.notify_all()

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until the worker's status or log shows something."""
        with self._changed:
            if (
                not self._changed.wait_for(lambda: reached() or self._process.poll() is not None, PATIENCE_S)
                or not reached()
            ):
                raise AssertionError(f"{what}: not seen; status {self.status}, log:\n" + "\n".join(self.log[-40:]))

    def said(self, text: str, times: int = 1) -> bool:
        """Whether so many log lines hold the text."""
        return sum(text in line for line in self.log) >= times

    def owns(self, shards: int) -> Callable[[], bool]:
        return lambda: bool(self.status.get("shards") == shards)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Exit code, all output read."""
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.stderr.close()  # type: ignore[union-attr]
        return code

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def end(self) -> None:
        """SIGTERM must end it well."""
        self.send(signal.SIGTERM)
        code = self.wait()
        assert code == 0, "\n".join(self.log[-40:])

    def clean_up(self) -> None:
        """Whatever the test did, nothing stays behind."""
        if self._process.poll() is None:
            self._process.kill()
            self.wait()
