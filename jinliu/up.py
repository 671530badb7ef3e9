"""`jinliu up`: the whole stack from one command: broker, topics, run, clock, sources, workers, a view of metrics."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinliu import broker as embedded
from jinliu import topics
from jinliu.children import Children, usage
from jinliu.jvm import BrokerError
from jinliu.lag import Lag
from jinliu.overview import Overview
from jinliu.settings import Settings, UsageError
from jinliu.subscription import MetricReader
from producers.clock import Clock
from producers.errors import OtherRunError
from producers.runrecord import Run, open_run
from streams import metrics

if TYPE_CHECKING:
    from jinliu.live import View

CHECK_S = 0.5
DRAIN_S = 20.0
BROKER_SILENT_S = 10.0
"""A broker that is only busy answers in time; one that died refuses the connection at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` starts. once: end when every window of the span is closed. speed: None for max."""

    workers: int
    once: bool
    fresh: bool
    speed: float | None


def up(settings: Settings, plan: Plan, view: View) -> dict[str, Any]:
    """Run the stack until it is done (`once`), or told to stop by Ctrl-C or SIGTERM; returns the summary.

    Every child is ended before this returns, and the data can be used, looked at or resumed.

    Raises JinliuError where the stack cannot start or a child died.
    """
    began = time.monotonic()
    # Everything a user can have said wrong comes to light before anything is dropped or started.
    overview = Overview(settings.world, settings.span_ms)
    settings.source_options(settings.broker or "127.0.0.1:1")
    if plan.fresh:
        _drop(settings)
    stop = threading.Event()
    with _told_to_stop(stop), _broker(settings) as address:
        view.say("broker", address)
        run = _open(settings, address)
        view.say("run", str(run))
        logs = settings.data / "logs"
        children, clock = Children(logs), _ClockThread(settings, address, plan.speed)
        try:
            clock.start()
            children.start("sources", "produce", *_arguments(settings, address))
            for number in range(1, plan.workers + 1):
                children.start(f"worker-{number}", "process", *_arguments(settings, address))
            with (
                MetricReader(sorted(metrics.load()), address, settings.prefix, settings.registry) as reader,
                Lag(address, settings.prefix, settings.world) as lag,
            ):
                stack = _Watched(reader, lag, overview, view, children, clock, None if settings.broker else address)
                _watch(stack, stop, plan.once)
                _drain(stack)
        finally:
            clock.stop()
            children.stop()
        children.check()
    return _summary(overview, began)


@dataclass(frozen=True, slots=True)
class _Watched:
    reader: MetricReader
    lag: Lag
    overview: Overview
    view: View
    children: Children
    clock: _ClockThread
    embedded: str | None

    def check(self) -> None:
        """Raise for a part that ended and should not have."""
        if self.embedded is not None and not embedded.answers(self.embedded, BROKER_SILENT_S):
            raise BrokerError(
                f"the embedded Kafka at {self.embedded} does not answer any more (its log: <data>/broker/server.log); "
                "the same command goes on where it stopped"
            )
        self.children.check()
        self.clock.check()


def _watch(stack: _Watched, stop: threading.Event, once: bool) -> None:
    checked, done, overview = 0.0, False, stack.overview
    while not stop.is_set() and not done:
        overview.take(stack.reader.poll())
        stack.view.show(overview)
        if time.monotonic() - checked > CHECK_S:
            checked = time.monotonic()
            stack.check()
            overview.lag = stack.lag.records()
            # Windows without rows are never seen, so the end is also when all is told, folded and merged.
            done = once and (overview.complete or (stack.clock.ended and overview.lag == 0))


def _drain(stack: _Watched) -> None:
    """End the sources first and leave the workers the time to fold what was told, so that the data lies at rest."""
    stack.clock.stop()
    stack.children.stop("sources")
    end = time.monotonic() + DRAIN_S
    while stack.lag.records() and time.monotonic() < end:
        stack.check()
        stack.overview.take(stack.reader.poll())
    stack.overview.take(stack.reader.to_end())
    stack.view.show(stack.overview, last=True)


def _arguments(settings: Settings, address: str) -> list[str]:
    start, end = settings.span_ms
    said = {
        "--broker": address,
        "--topology": settings.topology or settings.held.get("topology"),
        "--seed": str(settings.chosen_seed),
        "--from": _moment(start),
        "--to": _moment(end),
        "--data": str(settings.data),
        "--prefix": settings.prefix or None,
        "--registry": settings.registry,
    }
    return [word for option, value in said.items() if value is not None for word in (option, value)]


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}"


def _open(settings: Settings, address: str) -> Run:
    """Topics and run record; a directory that holds another run is refused with what to do."""
    topics.create(address, settings.prefix, settings.world)
    try:
        run = open_run(settings.source_options(address))
    except OtherRunError as error:
        where = f"--data {settings.data}" if settings.broker is None else f"--prefix {settings.prefix!r}"
        drop = "; --fresh drops what is there" if settings.broker is None else ""
        raise UsageError(f"{error} (here: {where}{drop})") from error
    if settings.broker is None:
        settings.remember()
    return run


def _drop(settings: Settings) -> None:
    """Remove the run of a data directory, and nothing from a directory that holds none."""
    if settings.broker is not None:
        raise UsageError(
            "--fresh drops a data directory; on another broker (--broker) delete the topics, or use another --prefix"
        )
    if embedded.abandoned(settings.data):
        embedded.end(settings.data)
    if embedded.running(settings.data) is not None:
        raise UsageError(f"a stack is running on {settings.data}: stop it before --fresh drops its data")
    if not (settings.data / "broker" / "log" / "meta.properties").is_file():
        return  # no run of ours: whatever else the folder holds is the user's
    for name in ("broker", "logs", "faust"):
        shutil.rmtree(settings.data / name, ignore_errors=True)
    (settings.data / "run.json").unlink(missing_ok=True)
    settings.__dict__.pop("held", None)


@contextlib.contextmanager
def _broker(settings: Settings) -> Iterator[str]:
    if settings.broker is not None:
        yield settings.broker
        return
    with embedded.shared(settings.data, adopt=True) as address:
        yield address


@contextlib.contextmanager
def _told_to_stop(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop` instead of ending the program between two steps."""
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _ClockThread:
    """The clock of this stack, in a thread of the parent: it does next to nothing."""

    def __init__(self, settings: Settings, address: str, speed: float | None) -> None:
        self._clock, self._stop = Clock(settings.source_options(address), speed), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def _run(self) -> None:
        try:
            self._clock.run(self._stop)
        except Exception as error:  # carried over to the main thread by check()
            self._failure = error

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    @property
    def ended(self) -> bool:
        """Whether every source has closed."""
        return not self._thread.is_alive() and self._failure is None

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


def _summary(overview: Overview, began: float) -> dict[str, Any]:
    cpu, rss_mb = usage()
    done = {"wall_s": round(time.monotonic() - began, 2), "cpu_s": round(cpu, 2), "rss_mb_max": round(rss_mb, 1)}
    return overview.summary() | done
