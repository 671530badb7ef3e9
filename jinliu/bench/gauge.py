"""CPU and memory of a process from Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinliu.bench.errors import BenchError

_TICKS_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # fields of /proc/<pid>/stat behind the command's closing parenthesis, proc(5)


def cpu_s(pid: int) -> float:
    """User and system CPU seconds of all threads of a process so far (in steps of 10 ms).

    Raises BenchError where there is no such process, or no /proc.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError as error:
        raise BenchError(f"process {pid} cannot be measured ({error}); the bench needs Linux's /proc") from error
    fields = text.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_S


def rss_mb(pid: int, most: bool = False) -> float:
    """Resident memory of a process in MB (2**20 bytes), now or at most so far; 0 once it has ended."""
    name = "VmHWM:" if most else "VmRSS:"
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


class Parts:
    """The CPU of the processes of a stack. A process that has ended keeps its last reading."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._last = dict.fromkeys(pids, 0.0)

    def read(self) -> dict[str, float]:
        """CPU seconds so far by part."""
        for name, pid in self._pids.items():
            try:
                self._last[name] = max(self._last[name], cpu_s(pid))
            except BenchError:
                continue  # ended: what it used last stands
        return dict(self._last)


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares slope of values over `at`; 0 for fewer than two points."""
    if len(at) < 2:
        return 0.0
    middle, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((t - middle) ** 2 for t in at)
    return sum((t - middle) * (v - mean) for t, v in zip(at, values, strict=True)) / spread if spread else 0.0
