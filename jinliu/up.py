"""`jinliu up`: the whole stack from one command: broker, topics, run, clock, sources, workers, a view of metrics."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kafka.errors

from jinliu import broker as embedded
from jinliu import topics
from jinliu.children import STOP_LIMIT_S, Children, usage
from jinliu.jvm import BrokerError
from jinliu.lag import Lag
from jinliu.overview import Overview
from jinliu.settings import Settings, UsageError
from jinliu.stop import Stop
from jinliu.subscription import MetricReader, SubscriptionError
from producers.clock import Clock
from producers.errors import OtherRunError
from producers.options import Options as SourceOptions
from producers.runrecord import Run, open_run, unfinished
from schemas import catalog
from schemas.errors import DIFFERENT, JinliuError
from streams import metrics
from streams.plan import plans, told

if TYPE_CHECKING:
    from jinliu.live import View

CHECK_S = 0.5
DRAIN_S = 20.0
BROKER_SILENT_S = 10.0
"""A broker that is only busy answers in time; one that died refuses the connection at once."""
CLOCK_LIMIT_S = 10.0
LAG_LIMIT_S = 3.0
GOES_ON = "the same command goes on where it stopped"
GONE_S, GONE_LIMIT_S = 2.0, 1.0
"""Without a broker nobody can end in order: after so much silence children get so long, then are killed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` starts. once: end when every window of the span is closed. speed: None for max."""

    workers: int
    once: bool
    fresh: bool
    speed: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stack ended. signal: what told it to stop, or None; open: what the run's end wants, "" for nothing.

    failure: what cut it short: a part that ended and should not have, a broker that is gone, a full disk.
    """

    summary: dict[str, Any]
    signal: int | None
    open: str
    failure: JinliuError | None = None

    @property
    def exit_code(self) -> int:
        """Of a command that was to come to the run's end: 0 there, as shells say it after a signal, else 1.

        After a failure that of the failure.
        """
        if self.failure is not None:
            return self.failure.exit_code
        if not self.open:
            return 0
        return DIFFERENT if self.signal is None else 128 + self.signal

    @property
    def last_line(self) -> str:
        """What failed, what is missing, how to go on. A mistake, and a worker that cannot go on, say it themselves."""
        if self.failure is None:
            return self.open
        if self.failure.exit_code == DIFFERENT or isinstance(self.failure, BrokerError):
            return f"{self.failure}; {self.open or GOES_ON}"
        return str(self.failure)


class DiskFull(JinliuError):
    """The disk of the data directory is full: a run that was cut short, whatever part of it ended first."""

    exit_code = DIFFERENT


def up(settings: Settings, plan: Plan, view: View) -> Ended:
    """Run the stack until it is done (`once`), or told to stop by Ctrl-C or SIGTERM; returns how it ended.

    Every child is ended before this returns, and the data can be used, looked at or resumed. What cut a run short that
    had begun is in what is returned, beside how far it came.

    Raises JinliuError where the stack cannot start.
    """
    began = time.monotonic()
    if plan.fresh:
        settings.forget()
    # Everything a user can have said wrong comes to light before anything is dropped or started.
    overview = Overview(settings.world, settings.span_ms)
    _plan_own_metrics(settings.source_options(settings.broker or "127.0.0.1:1"))
    ids = catalog.ids(settings.registry)
    stop = Stop()
    failure: JinliuError | None = None
    with _told_to_stop(stop), _alone(settings, plan.fresh), _broker(settings) as address:
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
            computed = sorted(told(metrics.load(), run.roster))
            with (
                MetricReader(computed, address, settings.prefix, settings.registry) as reader,
                Lag(address, settings.prefix, settings.world) as lag,
            ):
                mine = None if settings.broker else Embedded(address, settings.data)
                stack = _Watched(reader, lag, overview, view, children, clock, mine)
                _watch(stack, stop, plan.once)
                _drain(stack)
            missing = unfinished(settings.source_options(address), ids, run)
        except (kafka.errors.KafkaError, JinliuError) as error:
            failure, missing = _failure(error, settings, address), _untold(settings, address, ids, run)
            view.show(overview, last=True)
            atexit.register(_say_no_more)
        finally:
            limit_s = STOP_LIMIT_S if _reachable(address) else GONE_LIMIT_S
            clock.stop(min(limit_s, CLOCK_LIMIT_S))
            children.stop(limit_s=limit_s)
        try:
            children.check()
        except JinliuError as error:
            failure = failure or _failure(error, settings, address)
    return _ended(overview, missing, stop.signal, began, failure)


def _plan_own_metrics(options: SourceOptions) -> None:
    """Plan the metrics that are a user's own, as every worker will. Raises DefinitionError for what does not fit the
    events of the run, such as a symbol that no column has.

    Those of the repository do fit; planning them here as well would cost a second and 120 MB.
    """
    run = {"roster": options.roster(), "start": options.start_ms, "end": options.end_ms}
    if own := metrics.own():
        plans(options.topology, run, own)


def _failure(error: Exception, settings: Settings, address: str) -> JinliuError:
    """What cut a run short, for its user: of a full disk any part may end first, and of a broker that is gone too."""
    if settings.broker is None and (full := embedded.no_room(settings.data)):
        return DiskFull(f"{full}, make room there: {error}")
    if isinstance(error, JinliuError):
        return error
    return BrokerError(f"Kafka at {address} does not answer any more: {error}")


class Embedded(NamedTuple):
    """The embedded broker's address and its data directory."""

    address: str
    data: Path


@dataclass(frozen=True, slots=True)
class _Watched:
    reader: MetricReader
    lag: Lag
    overview: Overview
    view: View
    children: Children
    clock: _ClockThread
    embedded: Embedded | None

    def check(self) -> None:
        """Raise for a part that ended and should not have."""
        self.check_broker()
        self.children.check()
        self.clock.check()

    def behind(self) -> int:
        """Records not folded yet; as many as were known, and not 0, while the broker is busy. Raises BrokerError."""
        try:
            return self.lag.records(LAG_LIMIT_S)
        except kafka.errors.KafkaError as error:
            self.check_broker()
            if not getattr(error, "retriable", False):
                raise
            return max(1, self.overview.lag)

    def check_broker(self) -> None:
        """Raise BrokerError when the embedded broker is gone."""
        if self.embedded is not None and not embedded.answers(self.embedded.address, BROKER_SILENT_S):
            address, data = self.embedded
            raise BrokerError(f"the embedded Kafka at {address} does not answer any more: {embedded.last_words(data)}")


def _say_no_more() -> None:
    """A producer that a broker's end left behind flushes at exit, in vain: Python would print that behind our last
    line.
    """
    sys.unraisablehook = lambda _: None


def _untold(settings: Settings, address: str, ids: Mapping[str, int], run: Run) -> tuple[str, ...]:
    """Sources that are not known to have told their end; without a broker nothing is known of any."""
    if _reachable(address):
        with contextlib.suppress(kafka.errors.KafkaError, JinliuError):
            return unfinished(settings.source_options(address), ids, run)
    return run.sources()


def _watch(stack: _Watched, stop: threading.Event, once: bool) -> None:
    checked, done, overview = 0.0, False, stack.overview
    while not stop.is_set() and not done:
        overview.take(stack.reader.poll())
        stack.view.show(overview)
        if time.monotonic() - checked > CHECK_S:
            checked = time.monotonic()
            stack.check()
            overview.lag = stack.behind()
            # Windows without rows are never seen, so the end is also when all is told, folded and merged.
            done = once and (overview.complete or (stack.clock.ended and overview.lag == 0))


def _drain(stack: _Watched) -> None:
    """End the sources first and leave the workers the time to fold what was told, so that the data lies at rest."""
    stack.check_broker()
    stack.clock.stop(CLOCK_LIMIT_S)
    stack.children.stop("sources")
    end = time.monotonic() + DRAIN_S
    while stack.behind() and time.monotonic() < end:
        stack.check()
        stack.overview.take(stack.reader.poll())
    stack.overview.lag = stack.behind()
    try:
        stack.overview.take(stack.reader.to_end())
    except SubscriptionError as error:
        stack.check_broker()  # of the embedded one it says more
        raise BrokerError(str(error)) from error
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


@contextlib.contextmanager
def _alone(settings: Settings, fresh: bool) -> Iterator[None]:
    """The one stack of the data directory, which is dropped first where `fresh`. Raises UsageError beside another."""
    if settings.broker is not None:
        if fresh:
            _drop(settings)
        yield
        return
    settings.make_data()
    with (settings.data / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it however the holder ends
        except BlockingIOError:
            raise UsageError(
                f"a stack is running on {settings.data} (jinliu up): stop it first, or use another --data directory"
            ) from None
        if fresh:
            _drop(settings)
        yield


@contextlib.contextmanager
def _broker(settings: Settings) -> Iterator[str]:
    if settings.broker is not None:
        yield settings.broker
        return
    with embedded.shared(settings.data) as address:
        yield address


def _reachable(address: str) -> bool:
    return any(embedded.answers(server.strip(), GONE_S) for server in address.split(","))


@contextlib.contextmanager
def _told_to_stop(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop` instead of ending the program between two steps."""
    former = {number: signal.signal(number, stop.tell) for number in (signal.SIGINT, signal.SIGTERM)}
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

    def stop(self, limit_s: float) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(limit_s)


def _ended(
    overview: Overview,
    missing: tuple[str, ...],
    stopped_by: int | None,
    began: float,
    failure: JinliuError | None = None,
) -> Ended:
    """missing: sources that have not told their end, or are not known to."""
    # Windows without rows are never seen: when all is told and folded, only one that was begun can be open. After a
    # failure what was not folded is not known any more.
    complete = overview.complete or not (failure or missing or overview.lag or overview.provisional)
    closed = overview.windows("FINAL") + overview.windows("INCOMPLETE")
    waiting = 0 if complete else overview.expected - closed
    cpu, rss_mb = usage()
    summary = overview.summary() | {
        "wall_s": round(time.monotonic() - began, 2),
        "cpu_s": round(cpu, 2),
        "rss_mb_max": round(rss_mb, 1),
        "complete": complete,
        "missing_sources": list(missing),
        "windows_open": waiting,
    }
    return Ended(summary, stopped_by, "" if complete else _what_is_open(missing, waiting, overview), failure)


def _what_is_open(missing: tuple[str, ...], waiting: int, overview: Overview) -> str:
    told = f"not told to the end: {', '.join(missing)}" if missing else "every source is told to the end"
    lag = f", {overview.lag:,} records are not folded" if overview.lag else ""
    return (
        f"the run has not come to its end: {told}{lag}, {waiting:,} of {overview.expected:,} windows are still open; "
        f"{GOES_ON}"
    )
