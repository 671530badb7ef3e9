"""The clock of the stack: moves the horizon on `policies`, the simulated time that no source may pass.

At a speed it follows wall time, `lead_ticks` ahead of it; at full speed it follows the slowest source's progress.
Either way no source gets further ahead of the slowest than the lead. One clock at a time is enough and all that is
meant to run: two would both write horizons, which never move it back but leave the pace to whoever wrote last.
"""

import threading
import time
from collections.abc import Iterable

from producers.errors import ProducerError
from producers.logs import Entry, TopicReader
from producers.options import POLICIES, RUNS, Options
from producers.policies import CLOCK, HORIZON, Anchor, Decision, PolicyLog
from producers.producer import BatchProducer
from producers.runrecord import FLUSH_S, Run, open_run, write_decision
from schemas import catalog

POLL_S = 0.02
"""How long to wait for progress before looking at the wall clock again; also the least time between two horizon
records."""


class Pace:
    """Where the horizon belongs, from progress and wall time: the clock without Kafka.

    `lead_ms` is how far sources may run ahead, `speed` simulated seconds per second or None for as fast as they can.
    """

    def __init__(self, run: Run, tick_ms: int, lead_ticks: int, speed: float | None) -> None:
        if speed is not None and not speed > 0:
            raise ProducerError(f"the speed is {speed:g} simulated seconds per second; it must be above 0, or max")
        self._run = run
        self._tick_ms = tick_ms
        self._lead_ms = max(1, lead_ticks) * tick_ms
        self._speed = speed
        self._ends = dict.fromkeys(run.sources(), run.start_ms)
        self._closed = dict.fromkeys(run.sources(), False)
        self._horizon_ms: int | None = None
        self._anchor: Anchor | None = None

    @property
    def ended(self) -> bool:
        """Whether every source of the roster has closed."""
        return all(self._closed.values())

    def reached(self, source: str, tick_end_ms: int, closed: bool) -> None:
        """A source's progress; sources outside the roster say nothing."""
        if source in self._ends:
            self._ends[source] = max(self._ends[source], tick_end_ms)
            self._closed[source] = self._closed[source] or closed

    def resume(self, horizon_ms: int | None) -> None:
        """The horizon that an earlier clock left."""
        self._horizon_ms = horizon_ms

    def move(self, wall_ms: int) -> Decision | None:
        """The horizon record to write now, or None when it stays. The first call always gives one: it ties the clocks.

        Simulated time goes on where the slowest source is, so a clock that was away does not leave sources behind.
        """
        slowest = min(self._ends.values())
        first = self._anchor is None
        if self._anchor is None:
            self._anchor = Anchor(slowest, wall_ms, self._speed)
        horizon = slowest + self._lead_ms
        if self._speed is not None:
            now_ms = self._anchor.now_ms(wall_ms)
            horizon = min(horizon, self._floor(now_ms) + self._lead_ms)
        horizon = min(horizon, self._run.end_ms)
        if self._horizon_ms is not None and horizon <= self._horizon_ms:
            if not first:
                return None
            horizon = self._horizon_ms
        self._horizon_ms = horizon
        return Decision(HORIZON, self._anchor.text(), horizon, CLOCK)

    def _floor(self, at_ms: float) -> int:
        return self._run.start_ms + int(at_ms - self._run.start_ms) // self._tick_ms * self._tick_ms


class Clock:
    """Runs a `Pace` against the broker."""

    def __init__(self, options: Options, speed: float | None) -> None:
        """`speed` in simulated seconds per second; None for as fast as the sources can."""
        self._options = options
        self._speed = speed

    def run(self, stop: threading.Event | None = None) -> None:
        """Move the horizon until every source has closed, or `stop` is set.

        Opens the run if it is not open. Raises OtherRunError, TopicMissingError or SendError.
        """
        options = self._options
        stop = stop or threading.Event()
        run = open_run(options)
        scale = options.topology.scale
        pace = Pace(run, scale.tick_ms, scale.lead_ticks, self._speed)
        ids = catalog.ids(options.registry)
        with (
            TopicReader(options.broker, options.topic(RUNS), ids, "jinliu-clock") as runs,
            TopicReader(options.broker, options.topic(POLICIES), ids, "jinliu-clock") as policies,
        ):
            log = PolicyLog()
            for entry in policies.read_to_end():
                if entry.value is not None and entry.name == "policy":
                    log.add(Decision.read(entry.value))
            pace.resume(log.horizon_ms)
            _take(pace, run, runs.read_to_end())
            producer = BatchProducer(options.broker, client_id="jinliu-clock")
            try:
                while not stop.is_set() and not pace.ended:
                    moved = pace.move(time.time_ns() // 1_000_000)
                    if moved is not None:
                        write_decision(options, producer, moved, ids).get(timeout=FLUSH_S)
                    _take(pace, run, runs.poll(POLL_S))
            finally:
                producer.close(timeout=FLUSH_S)


def _take(pace: Pace, run: Run, entries: Iterable[Entry]) -> None:
    for entry in entries:
        found = entry.value
        if found is not None and entry.name == "progress" and found["run"] == run.id:
            pace.reached(found["source"], found["tick_end"], found["closed"])
