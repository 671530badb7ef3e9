"""The run record: which run the topics hold, and whether it is this worker's topology."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from schemas import catalog, wire
from schemas.errors import JinliuError, UnknownSchema, WireError
from schemas.registry import refuse_other, tells
from streams.failures import MissingTopicError, RunMismatchError
from streams.transaction import Partition, Reader, TransactionLostError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from streams.options import Options

log = structlog.get_logger("streams.runrecord")

POLL_S = 0.5
SAY_EVERY_S = 10.0


class StoppedWaitingError(JinliuError):
    """The worker was stopped before the run began."""


def wait_for_run(options: Options, stop: threading.Event | None = None) -> Mapping[str, Any]:
    """The run record of topic `runs`, as a mapping of its Avro fields; waits until one is there.

    Raises:
        RunMismatchError: its digest is not the topology's.
        OtherRegistryError: it was opened with the schema ids of another registry.
        StoppedWaitingError: `stop` was set meanwhile.
    """
    topic = options.topic("runs")
    said_s = -SAY_EVERY_S
    while True:
        try:
            run = _opened(options, topic)
        except (MissingTopicError, TransactionLostError) as error:
            run, reason = None, str(error)
        else:
            reason = f"topic {topic} is empty"
        if run is not None:
            _check(run, options)
            return run
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            log.info("waiting for the run record", topic=topic, reason=reason)
        if stop is None:
            time.sleep(POLL_S)
        elif stop.wait(POLL_S):
            raise StoppedWaitingError("stopped while waiting for the run record")


def _opened(options: Options, topic: str) -> Mapping[str, Any] | None:
    """The first run record that was not taken back by a tombstone: of several writers at once the first one wins."""
    found: dict[bytes | None, Mapping[str, Any]] = {}
    ids, told = catalog.ids(options.registry), False
    with Reader(options.broker, options.group) as reader:
        where = Partition(topic, 0)
        for batch in reader.read(where, *reader.bounds(where)):
            for message in batch:
                headers = wire.headers(message)
                if not told and tells(headers):
                    told = True
                    refuse_other(headers, options.registry, ids, f"topic {topic} at {options.broker}")
                if message.value() is None:
                    found.pop(message.key(), None)
                    continue
                try:
                    name, record = wire.decode(message.value(), ids)
                except (WireError, UnknownSchema) as error:
                    log.warning("record passed over", topic=topic, offset=message.offset(), error=str(error))
                    continue
                if name == "run":
                    found.setdefault(message.key(), record)
    return next(iter(found.values()), None)


def _check(run: Mapping[str, Any], options: Options) -> None:
    if run["digest"] != options.topology.digest:
        raise RunMismatchError(
            f"the run {run['run']} was opened with topology {run['topology']!r} (digest {run['digest'][:12]}), this "
            f"worker has {options.topology.name!r} (digest {options.topology.digest[:12]}): start it with the same "
            "topology, or use another prefix."
        )
