"""Fault schedules: what is killed, stopped and started again, and when, drawn from one seed.

A crash is a value. ``draw(seed)`` gives the same schedule on every machine, and a failure prints the seed and the
command that replays it. The faults: ``kill -9`` of a worker, of the sources, of the broker; and the zombie: a worker
stopped past its session, its shards taken over, then continued, then its successor killed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What can happen to a running stack."""

    KILL_WORKER = "kill -9 of a worker, restarted"
    KILL_SOURCES = "kill -9 of the sources, restarted"
    KILL_BROKER = "kill -9 of the broker, restarted on its data"
    ZOMBIE = "SIGSTOP of a worker past the session, SIGCONT after the takeover, kill -9 of the successor"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: it strikes when the share ``at`` of the span is told; the victim stays away for ``pause_s``."""

    at: float
    fault: Fault
    pause_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run under faults: strikes in order of ``at``, on two or three workers."""

    seed: int
    strikes: tuple[Strike, ...]
    workers: int

    def __str__(self) -> str:
        told = "; ".join(f"at {s.at:.0%} {s.fault.value} (away {s.pause_s:.1f} s)" for s in self.strikes)
        return f"schedule {self.seed}, {self.workers} workers: {told}"


def draw(seed: int) -> Schedule:
    """The schedule of a seed: two or three strikes, every fault as likely as another.

    The first fault goes round by seed, so that any four neighbouring seeds strike with every kind.
    """
    rng = random.Random(f"faults-{seed}")
    kinds = list(Fault)
    faults = [kinds[seed % len(kinds)]] + [rng.choice(kinds) for _ in range(rng.randint(1, 2))]
    points = sorted(rng.uniform(0.1, 0.8) for _ in faults)
    strikes = [
        Strike(round(at, 3), fault, round(rng.uniform(0.0, 1.5), 2)) for at, fault in zip(points, faults, strict=True)
    ]
    return Schedule(seed, tuple(strikes), rng.choice((2, 3)))
