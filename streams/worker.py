"""One worker process: runs the app until it is told to stop, or cannot go on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from schemas.memory import leave_start_up_alone
from streams.app import create_app
from streams.librarylogs import forward_libraries
from streams.runrecord import StoppedWaitingError, wait_for_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.app import App
    from streams.engine import Engine
    from streams.options import Options

log = structlog.get_logger("streams.worker")

STATUS_S = 1.0
STOP_TIMEOUT_S = 30.0

Status = dict[str, Any]


def run(
    options: Options, on_status: Callable[[Status], None] | None = None, stop: threading.Event | None = None
) -> None:
    """Fold and merge until SIGTERM or SIGINT (or `stop`); then commit what is folded and leave the group.

    on_status: called once a second with a JSON-able summary (`Telemetry.summary`), on the app's event loop.
    stop: set it to end the worker where signals do not arrive, such as in a thread.

    Raises:
        JinliuError: the worker cannot go on: another run on the topics, a missing topic, records deleted unread, an
            event that could not be folded. Nothing was skipped.
    """
    stop = stop or threading.Event()
    with _signals_set(stop):
        forward_libraries()
        try:
            record = wait_for_run(options, stop)
        except StoppedWaitingError:
            return
        log.info(
            "worker starts", broker=options.broker, group=options.group, run=record["run"], topology=record["topology"]
        )
        app = create_app(options, record)
        engine = app.engine
        if options.web_port is not None:
            engine.telemetry.serve(options.web_host, options.web_port)
        with asyncio.Runner() as runner:
            runner.run(_serve(app, engine, stop, on_status))
    if engine.failure is not None:
        raise engine.failure
    log.info("worker stopped")


async def _serve(app: App, engine: Engine, stop: threading.Event, on_status: Callable[[Status], None] | None) -> None:
    starting = asyncio.ensure_future(app.start())
    waiting = asyncio.ensure_future(_until_told(app, engine, stop, on_status))
    starting.add_done_callback(lambda start: waiting.cancel() if start.cancelled() or start.exception() else None)
    await asyncio.wait((waiting,))
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await app.stop()
    except TimeoutError:
        log.warning("Faust did not stop in time; what is committed stands", seconds=STOP_TIMEOUT_S)
    if not starting.done():
        starting.cancel()
    results = await asyncio.gather(starting, waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and engine.failure is None:
            raise result


async def _until_told(
    app: App, engine: Engine, stop: threading.Event, on_status: Callable[[Status], None] | None
) -> None:
    """Returns when the worker is to end: told to, failed, or crashed (which raises)."""
    told_s = 0.0
    started = False
    while not stop.is_set() and not engine.failed.is_set() and not app.crashed:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(engine.failed.wait(), 0.1)
        told_s += 0.1
        if engine.ready.is_set() and not started:
            started = True
            leave_start_up_alone()
        if told_s >= STATUS_S and engine.ready.is_set():
            told_s = 0.0
            status = _status(app, engine)
            if on_status is not None:
                on_status(status)
    if app.crashed and engine.failure is None and not stop.is_set():
        raise app.crash_reason or RuntimeError("Faust crashed")


def _status(app: App, engine: Engine) -> Status:
    lag = 0
    for tp, shard in engine.shards.items():
        end = app.consumer.highwater(TP(*tp))
        behind = max(0, (end or 0) - shard.upto)
        engine.telemetry.lag.labels(tp.topic, tp.partition).set(behind)
        lag += behind
    return engine.telemetry.summary(lag, len(engine.shards))


@contextlib.contextmanager
def _signals_set(stop: threading.Event) -> Any:
    """SIGTERM and SIGINT set `stop`; only the main thread can ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
