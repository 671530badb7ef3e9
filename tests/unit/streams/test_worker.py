"""Around the engine: the run record, what a worker tells of itself, and the libraries' logs."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas import catalog, registry, wire
from schemas.errors import JinliuError
from streams import runrecord, worker
from streams.deadletters import BESIDE_BYTES, PART_BYTES, dead_records
from streams.errors import DefinitionError, StateMismatch
from streams.failures import FoldError, MissingTopicError, RecordsDeletedError, RunMismatchError, ShardStuckError
from streams.fetch import Chunk
from streams.librarylogs import Seldom, forward_libraries
from streams.options import Options
from streams.shard import DeadLetter
from streams.task import Batch
from streams.telemetry import Telemetry
from streams.transaction import Partition

RUN = {
    "run": "a-run",
    "seed": 1,
    "topology": "small",
    "digest": "ab" * 32,
    "roster": {"payments": ["alipay"]},
    "start": 0,
    "end": 10,
}
PROGRESS = {"run": "a-run", "source": "alipay", "tick_end": 5, "events": 3, "closed": False}


def options(digest: str = "ab" * 32) -> Options:
    return Options(broker="nowhere", topology=SimpleNamespace(name="small", digest=digest), prefix="p.")  # type: ignore[arg-type]


class Reader:
    """Answers each look at `runs` with the next of `looks`: an error, or the values there."""

    looks: list[Any]

    def __init__(self, broker: str, group: str) -> None:
        self._look = self.looks.pop(0)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def bounds(self, where: Partition) -> tuple[int, int]:
        assert where == Partition("p.runs", 0)
        if isinstance(self._look, Exception):
            raise self._look
        return 0, len(self._look)

    def read(self, where: Partition, first: int, stop: int) -> Iterator[list[Any]]:
        for offset, found in enumerate(self._look[first:stop], first):
            key, value, *headers = found if isinstance(found, tuple) else (b"run", found)
            yield [
                SimpleNamespace(
                    key=lambda k=key: k, value=lambda v=value: v, offset=lambda o=offset: o,
                    headers=lambda h=headers: h[0] if h else None,
                )
            ]  # fmt: skip


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    looks: list[Any] = []
    monkeypatch.setattr(Reader, "looks", looks, raising=False)
    monkeypatch.setattr(runrecord, "Reader", Reader)
    monkeypatch.setattr(runrecord, "POLL_S", 0.0)
    return looks


def encoded(name: str, value: dict[str, Any]) -> bytes:
    return wire.encode(name, value, catalog.ids())


class Starting:
    """An app whose start takes until it is stopped, as it does without a broker."""

    crashed = False

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        await self.stopped.wait()

    async def stop(self) -> None:
        self.stopped.set()


@pytest.mark.parametrize("failed", [False, True])
def test_a_worker_that_is_still_starting_ends_when_it_is_told_or_has_failed(failed: bool) -> None:
    async def story() -> None:
        engine = SimpleNamespace(failed=asyncio.Event(), ready=asyncio.Event(), failure=None)
        stop = threading.Event()
        (engine.failed if failed else stop).set()
        app = Starting()
        async with asyncio.timeout(10):
            await worker._serve(app, engine, stop, None)  # type: ignore[arg-type]
        assert app.stopped.is_set()

    asyncio.run(story())


def test_a_start_that_fails_ends_the_worker_with_its_error() -> None:
    class Broken(Starting):
        async def start(self) -> None:
            raise OSError("no broker")

    async def story() -> None:
        engine = SimpleNamespace(failed=asyncio.Event(), ready=asyncio.Event(), failure=None)
        async with asyncio.timeout(10):
            with pytest.raises(OSError, match="no broker"):
                await worker._serve(Broken(), engine, threading.Event(), None)  # type: ignore[arg-type]

    asyncio.run(story())


def test_a_worker_waits_for_the_run(runs: list[Any]) -> None:
    runs += [
        MissingTopicError("p.runs/0"),
        [],
        [encoded("progress", PROGRESS)],
        [encoded("run", RUN), encoded("progress", PROGRESS)],
    ]
    with capture_logs() as said:
        assert runrecord.wait_for_run(options()) == RUN
    (line,) = said
    assert line["event"] == "waiting for the run record"
    assert line["topic"] == "p.runs"


def test_the_first_run_that_was_not_taken_back_is_the_run(runs: list[Any]) -> None:
    loser, later = RUN | {"run": "loser"}, RUN | {"run": "later"}
    runs.append(
        [
            (b"noise", b"noise"),
            (b"loser", encoded("run", loser)),
            (b"run", encoded("run", RUN)),
            (b"later", encoded("run", later)),
            (b"loser", None),
        ]
    )
    assert runrecord.wait_for_run(options()) == RUN


def test_another_topology_is_refused(runs: list[Any]) -> None:
    runs.append([encoded("run", RUN)])
    with pytest.raises(
        RunMismatchError,
        match=r"opened with topology 'small' \(digest abababababab\), this worker has 'small' \(digest cd",
    ):
        runrecord.wait_for_run(options(digest="cd" * 32))


def test_a_run_with_the_ids_of_another_registry_is_refused(runs: list[Any]) -> None:
    others = catalog.ids() | {"run": 77}
    runs.append([(b"run", wire.encode("run", RUN, others), registry.told("http://there:8081", others))])
    with pytest.raises(registry.OtherRegistryError, match=r"the schema registry http://there:8081; .* no registry"):
        runrecord.wait_for_run(options())
    runs.append([(b"run", encoded("run", RUN), registry.told("http://there:8081", catalog.ids()))])
    assert runrecord.wait_for_run(options()) == RUN


def test_a_worker_stopped_while_waiting_ends_well(runs: list[Any]) -> None:
    runs.append([])
    stop = threading.Event()
    stop.set()
    worker.run(options(), stop=stop)
    assert runs == []


@pytest.mark.parametrize(
    "failure",
    [
        FoldError("t", 0, 5, 9, ValueError("x")),
        MissingTopicError("t"),
        RecordsDeletedError("t", 0, 5, 9),
        ShardStuckError("t", 0, 5, 6, "silence"),
        StateMismatch("another version"),
    ],
)
def test_what_ends_a_worker_is_told_and_is_no_mistake_of_the_command(
    monkeypatch: pytest.MonkeyPatch, runs: list[Any], failure: JinliuError
) -> None:
    async def ended(*_: Any) -> None:
        pass

    runs.append([encoded("run", RUN)])
    monkeypatch.setattr(worker, "create_app", lambda *_: SimpleNamespace(engine=SimpleNamespace(failure=failure)))
    monkeypatch.setattr(worker, "_serve", ended)
    with pytest.raises(type(failure)) as told:
        worker.run(options())
    assert told.value is failure
    assert failure.exit_code == 70


def test_another_run_and_a_metric_defined_wrongly_are_mistakes() -> None:
    assert (RunMismatchError("x").exit_code, DefinitionError("x").exit_code) == (2, 2)


def test_summary_counts_and_is_json() -> None:
    telemetry = Telemetry()
    telemetry.folded(Chunk("payments", 0, 0, 9, 100, rows=SimpleNamespace(n=10)), 10)  # type: ignore[arg-type]
    telemetry.folded(Chunk("partials.x", 0, 0, 1, 100), 2)
    telemetry.committed("payments", Batch(10, list, dead=3, rows=2, delays_ms=(40, 70)), records=9, seconds=0.01)
    summary = json.loads(json.dumps(telemetry.summary(lag=5, shards=4)))
    assert {name: summary[name] for name in ("shards", "lag", "events", "chunks", "transactions", "rows", "dead")} == {
        "shards": 4,
        "lag": 5,
        "events": 10,
        "chunks": 1,
        "transactions": 1,
        "rows": 2,
        "dead": 3,
    }
    value = telemetry.registry.get_sample_value
    assert value("jinliu_events_folded_total", {"topic": "partials.x"}) == 2
    assert value("jinliu_window_delay_seconds_count", {"topic": "payments"}) == 2
    assert value("jinliu_records_written_total", {"topic": "payments"}) == 9


def test_dead_letters_carry_everything() -> None:
    (record,) = dead_records(DeadLetter("payments", 3, 77, "malformed", None, b"\xff\x00", 1234), "p.payments")
    assert (record.topic, record.partition, record.key, record.value) == ("p.payments.dead", 3, None, b"\xff\x00")
    assert record.headers == (
        ("reason", b"malformed"),
        ("topic", b"p.payments"),
        ("partition", b"3"),
        ("offset", b"77"),
        ("timestamp", b"1234"),
    )


def test_dead_letters_keep_the_headers_of_the_record() -> None:
    own = (("trace", b"1"), ("reason", b"mine"), ("trace", None), ("original.reason", b"2"))
    (record,) = dead_records(DeadLetter("payments", 3, 77, "malformed", None, b"", 1234, own), "p.payments")
    assert record.headers[0] == ("reason", b"malformed")
    assert record.headers[5:] == (
        ("trace", b"1"),
        ("original.reason", b"mine"),
        ("trace", None),
        ("original.original.reason", b"2"),
    )


def test_a_dead_letter_larger_than_a_topic_takes_lies_in_parts() -> None:
    value, own = bytes(range(256)) * (PART_BYTES // 128) + b"end", (("trace", b"1"),)
    records = list(dead_records(DeadLetter("payments", 3, 77, "malformed", b"key", value, 1234, own), "p.payments"))
    assert b"".join(record.value or b"" for record in records) == value
    assert [dict(record.headers)["part"] for record in records] == [b"1/3", b"2/3", b"3/3"]
    assert all(record.key == b"key" and dict(record.headers)["trace"] == b"1" for record in records)


def test_what_is_too_large_beside_the_value_is_left_out_and_said() -> None:
    own = (("trace", bytes(BESIDE_BYTES)),)
    (record,) = dead_records(DeadLetter("payments", 3, 77, "malformed", b"key", b"value", 1234, own), "p.payments")
    assert (record.key, record.value) == (None, b"value")
    assert dict(record.headers)["left-out"] == str(BESIDE_BYTES + len("keytrace")).encode()
    assert "trace" not in dict(record.headers)


def test_libraries_are_told_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 11.0, 12.0, 15.0))
    monkeypatch.setattr("streams.librarylogs.time.monotonic", lambda: next(clock))
    handler = Seldom()
    with capture_logs() as said:
        for number in range(4):
            handler.emit(logging.LogRecord("aiokafka.conn", logging.ERROR, "", 0, "lost %d\nmore", (number,), None))
    assert [(line["event"], line["left_out"], line["library"]) for line in said] == [
        ("lost 0", 0, "aiokafka"),
        ("lost 3", 2, "aiokafka"),
    ]


def test_forwarding_twice_changes_nothing() -> None:
    names = ("faust", "mode", "aiokafka", "asyncio")
    before = {name: (list(logging.getLogger(name).handlers), logging.getLogger(name).propagate) for name in names}
    try:
        forward_libraries()
        forward_libraries()
        for name in names:
            assert sum(isinstance(handler, Seldom) for handler in logging.getLogger(name).handlers) == 1
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).propagate = propagate
