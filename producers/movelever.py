"""A user moves a lever while the run goes on: a LIVE record on `policies`, ahead of the horizon."""

import json
from typing import Any

from producers.errors import PolicyError
from producers.levers import tell_idle
from producers.logs import TopicReader
from producers.options import POLICIES, Options
from producers.policies import HORIZON, LIVE, Decision, PolicyLog
from producers.producer import BatchProducer
from producers.runrecord import FLUSH_S, write_decision
from schemas import catalog
from topologies import TopologyError

DAY_MS = 86_400_000
AHEAD_DAYS = (1, 2, 4, 8, 16, 32, 64)
"""How far ahead of the horizon a lever without a date is tried, in turn."""


def move_lever(options: Options, lever: str, value: Any, effective_ms: int | None = None) -> Decision:
    """Decide that `lever` takes `value` from a day's start; without effective_ms from the first day ahead of the
    horizon.

    `value` is one the topology allows for the lever. The record is written and read back: the decision returned holds
    for every source. Where nothing acts on the lever yet, a warning in the log says so: it is recorded, no more. Raises
    PolicyError when the lever is unknown, the value not allowed, or the date has been reached, lies outside the span or
    is no day's start.
    """
    _check(options, lever, value)
    if effective_ms is not None and effective_ms % DAY_MS:
        raise PolicyError(f"levers move at a day's start; {effective_ms} ms is none")
    ids = catalog.ids(options.registry)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    with TopicReader(options.broker, options.topic(POLICIES), ids, "jinliu-lever") as reader:
        log = PolicyLog()
        _read(reader, log)
        producer = BatchProducer(options.broker, client_id="jinliu-lever")
        try:
            # The horizon may overtake a date before its record is in the log: then a date further ahead is tried.
            for ahead in AHEAD_DAYS if effective_ms is None else (0,):
                horizon = options.start_ms - 1 if log.horizon_ms is None else log.horizon_ms
                at_ms = (horizon // DAY_MS + ahead) * DAY_MS if effective_ms is None else effective_ms
                decision = Decision(lever, text, at_ms, LIVE)
                if at_ms >= options.end_ms:
                    raise PolicyError(
                        f"the run ends at {options.end_ms}, before {lever} would move at {at_ms} (UTC ms)"
                    )
                if at_ms > horizon:
                    write_decision(options, producer, decision, ids).get(timeout=FLUSH_S)
                    _read(reader, log)
                    if decision in log.decisions:
                        tell_idle((lever,))
                        return decision
        finally:
            producer.close(timeout=FLUSH_S)
    raise _too_late(decision, log.horizon_ms or horizon)


def _check(options: Options, lever: str, value: Any) -> None:
    known = sorted({*options.topology.levers})
    if lever == HORIZON or lever not in known:
        raise PolicyError(f"no lever {lever!r} in topology {options.topology.name}; it has {', '.join(known)}")
    try:
        options.topology.check_lever(lever, value)
    except TopologyError as error:
        raise PolicyError(f"{lever} cannot take that value: {error}") from error


def _read(reader: TopicReader, log: PolicyLog) -> None:
    for entry in reader.read_to_end():
        if entry.value is not None and entry.name == "policy":
            log.add(Decision.read(entry.value))


def _too_late(decision: Decision, horizon: int) -> PolicyError:
    return PolicyError(
        f"{decision.lever} cannot move at {decision.effective_ms}: sources may already have told up to {horizon} "
        "(simulated UTC ms); choose a later day"
    )
