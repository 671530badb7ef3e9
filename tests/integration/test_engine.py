"""The engine against a real broker: whatever happens to the workers, the metrics come to the truth, exactly once."""

from __future__ import annotations

import random
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient

from schemas import catalog, wire
from streams import metrics, plan
from streams.deadletters import SUFFIX
from tests.integration.faultworker import Worker
from tests.integration.smallworld import (
    DAY_MS,
    DAYS,
    SHARDS,
    START_MS,
    Log,
    committed,
    create_topics,
    newest_rows,
)

TOLD = plan.told(metrics.load(), ("payments", "operations"))
OWNED = 2 * SHARDS + 2 * sum(bool(metric.rollups) for metric in TOLD.values())

Start = Callable[[], Worker]


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture
def log(broker: str, prefix: str) -> Log:
    create_topics(broker, prefix)
    log = Log(broker, prefix)
    log.open()
    return log


@pytest.fixture
def start(broker: str, prefix: str, tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def started() -> Worker:
        workers.append(Worker(broker, prefix, tmp_path / str(len(workers))))
        return workers[-1]

    yield started
    for worker in workers:
        worker.clean_up()


def tell(log: Log, first: int, stop: int) -> None:
    for day in range(first, stop):
        log.day(day)


def finish(log: Log, worker: Worker, dead: int = 0) -> None:
    """Wait until the closed run is folded and merged, end the worker, compare with the truth."""
    broker, prefix = log._broker, log.prefix

    def settled() -> bool:
        accounts = newest_rows(broker, prefix, "accounting").values()
        if sum(row["folded"] for row in accounts) < log.truth.folded:
            return False
        rows = newest_rows(broker, prefix, "market-share").values()
        days = [row for row in rows if row["window"] == "day" and row["scene"] != "ALL"]
        return len(days) == len(log.truth.payments) and all(row["status"] == "FINAL" for row in rows)

    worker.until(settled, "all folded and merged")
    worker.end()
    assert_true(broker, prefix, log, dead)


def assert_true(broker: str, prefix: str, log: Log, dead: int = 0) -> None:
    rows = newest_rows(broker, prefix, "market-share").values()
    found = {
        ((row["window_start"] - START_MS) // DAY_MS, row["channel"], row["scene"]): row
        for row in rows
        if row["window"] == "day" and row["scene"] != "ALL"
    }
    assert {row["status"] for row in rows} == {"FINAL"}
    truth = log.truth
    assert {place: row["payments"] for place, row in found.items()} == dict(truth.payments)
    assert {place: row["amount_fen"] for place, row in found.items()} == dict(truth.amount_fen)
    assert {place: row["amount_weighted_fen"] for place, row in found.items()} == dict(truth.amount_weighted_fen)
    months = [row["payments"] for row in rows if row["window"] == "month" and row["scene"] != "ALL"]
    assert sum(months) == sum(truth.payments.values())
    accounts = [row for row in newest_rows(broker, prefix, "accounting").values() if row["topic"] == "payments"]
    assert sum(row["folded"] for row in accounts) == truth.folded
    assert all(row["late"] == row["duplicate"] == row["missing"] == 0 for row in accounts)
    assert sum(row["dead"] for row in accounts) == dead


def test_clean_run_with_aborted_transactions_and_noise(broker: str, log: Log, start: Start) -> None:
    tell(log, 0, 10)
    log.aborted(0, 500)
    noise = [b"", b"\x00", b"\x00\x00\x00\x00\x01", b"\xff" * 40, b"\x00\x7f\xff\xff\xff" + b"x" * 30, None]
    for number, value in enumerate(noise):
        log.produce("payments", number % SHARDS, value, key=b"noise-%d" % number)
    tell(log, 10, DAYS)
    stranger = log.payment("banks", 1, START_MS) | {"seq": 10**12}
    refused = wire.encode("payment", stranger, catalog.ids())
    log._seq["payments", "banks", 1] -= 1
    log.produce("payments", 1, refused, key=b"stranger")
    log.close()
    worker = start()
    finish(log, worker, dead=len(noise) + 1)
    letters = list(committed(broker, f"{log.prefix}payments{SUFFIX}"))
    assert {(letter.key(), letter.value()) for letter in letters} == {
        (b"stranger", refused),
        *((b"noise-%d" % number, value) for number, value in enumerate(noise)),
    }
    for letter in letters:
        headers: dict[str, bytes] = dict(letter.headers() or [])  # type: ignore[arg-type]
        assert headers["topic"] == f"{log.prefix}payments".encode()
        assert int(headers["partition"]) == letter.partition()
        assert int(headers["timestamp"]) > START_MS
        assert headers["reason"]
    assert group_lag(broker, log.prefix) == 0


def test_a_record_that_unpacks_to_more_than_a_topic_takes_is_a_dead_letter_in_parts(
    broker: str, log: Log, start: Start
) -> None:
    tell(log, 0, 10)
    bomb = random.Random(1).randbytes(800_000) * 25
    stranger = ck.Producer(
        {"bootstrap.servers": broker, "compression.type": "zstd", "message.max.bytes": 2 * len(bomb)}
    )
    stranger.produce(f"{log.prefix}payments", bomb, b"bomb", 0)
    assert stranger.flush(30) == 0
    tell(log, 10, DAYS)
    log.close()
    worker = start()
    finish(log, worker, dead=1)
    letters = list(committed(broker, f"{log.prefix}payments{SUFFIX}"))
    assert [dict(letter.headers() or [])["part"] for letter in letters] == [b"1/3", b"2/3", b"3/3"]
    assert b"".join(letter.value() or b"" for letter in letters) == bomb


def group_lag(broker: str, prefix: str) -> int:
    """What a lag tool would show for the event topics."""
    consumer = ck.Consumer({"bootstrap.servers": broker, "group.id": f"{prefix}jinliu", "enable.auto.commit": False})
    partitions = [
        ck.TopicPartition(prefix + topic, shard) for topic in ("payments", "operations") for shard in range(SHARDS)
    ]
    offsets = consumer.committed(partitions, timeout=10)
    ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
    consumer.close()
    return sum(end - offset.offset for end, offset in zip(ends, offsets, strict=True))


def test_killed_worker_is_followed_by_another(log: Log, start: Start) -> None:
    first = start()
    tell(log, 0, 12)
    first.until(lambda: first.status.get("events", 0) > 0, "first events folded")
    tell(log, 12, 16)
    first.kill()
    tell(log, 16, 25)
    second = start()
    second.until(lambda: second.status.get("events", 0) > 0, "the second folds")
    second.kill()
    third = start()
    tell(log, 25, DAYS)
    log.close()
    finish(log, third)


def test_two_workers_share_and_one_is_killed(log: Log, start: Start) -> None:
    one, other = start(), start()
    tell(log, 0, 10)
    for worker in (one, other):
        worker.until(lambda worker=worker: 0 < worker.status.get("shards", 0) < OWNED, "shards shared")  # type: ignore[misc]
    tell(log, 10, 20)
    one.kill()
    tell(log, 20, DAYS)
    log.close()
    finish(log, other)


def test_frozen_worker_finds_itself_fenced(broker: str, log: Log, start: Start) -> None:
    frozen = start()
    tell(log, 0, 6)
    frozen.until(lambda: frozen.status.get("events", 0) > 0, "first events folded")
    frozen.until(frozen.owns(OWNED), "it owns all")
    day = stopped_in_mid_transaction(broker, log, frozen, first=6, stop=16)
    assert not frozen.said("fenced")
    successor = start()
    tell(log, day, 20)
    successor.until(successor.owns(OWNED), "the successor owns all")
    successor.until(lambda: successor.status.get("events", 0) > 0, "the successor folds")
    frozen.send(signal.SIGCONT)
    frozen.until(lambda: frozen.said("fenced"), "thawed, and fenced")
    tell(log, 20, 25)
    successor.kill()
    tell(log, 25, DAYS)
    log.close()
    finish(log, frozen)


STOPS = 200
LOOKS = 20


def stopped_in_mid_transaction(broker: str, log: Log, worker: Worker, first: int, stop: int) -> int:
    """Stop the worker so that the broker knows a transaction of its as open; returns the next day to tell.

    Days are told meanwhile, one every `STOPS / (stop - first)` attempts, so that there is always something to commit.
    A worker that was stopped between two transactions goes on at once.
    """
    admin = KafkaAdminClient(bootstrap_servers=broker)
    mine = f"{log.prefix}jinliu."

    def is_open() -> bool:
        listed = admin.list_transactions(state_filters=["Ongoing"]).values()
        return any(each.transactional_id.startswith(mine) for found in listed for each in found)

    try:
        for attempt in range(STOPS):
            day = first + attempt * (stop - first) // STOPS
            if attempt == 0 or day > first + (attempt - 1) * (stop - first) // STOPS:
                tell(log, day, day + 1)
            worker.send(signal.SIGSTOP)
            # What it had sent before is answered meanwhile: a transaction that was about to end has ended then.
            if all(is_open() for _ in range(LOOKS)):
                return day + 1
            worker.send(signal.SIGCONT)
    finally:
        admin.close()
    raise AssertionError(f"no transaction was open in any of {STOPS} moments")


LEAVES_INT64 = """
from dataclasses import dataclass

from streams.measures import total
from streams.metric import Metric
from streams.rollup import Rollup
from streams.rows import Row, doc


@dataclass(slots=True, kw_only=True)
class WildRow(Row):
    \"\"\"A product that no integer holds.\"\"\"

    wild: int = doc("Fen times milliseconds.")


def derive(window, merged):
    yield WildRow(wild=0)


WILD = total("amount_fen", times="event_time", where={"fraud": "PHISHING"})
ROLLUP = Rollup(name="wild", topic="payments", keys=("scene",), measures={"wild": WILD})
METRIC = Metric(
    name="wild", rollups=(ROLLUP,), row=WildRow, key=("window", "window_start"), windows=("day",), derive=derive,
    proof="SELECT 0 AS wild",
)
"""


def test_event_that_cannot_be_folded_ends_the_worker(
    broker: str, log: Log, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "wild.py").write_text(LEAVES_INT64)
    monkeypatch.setenv("JINLIU_METRICS", str(tmp_path / "metrics"))
    create_topics(
        broker, log.prefix, dict.fromkeys(("metrics.wild", "partials.wild", "state.partials.wild"), (2, True))
    )
    tell(log, 0, 3)
    huge = log.payment("alipay", 2, START_MS + 3 * DAY_MS) | {"amount_fen": 10**10, "fraud": "PHISHING"}
    log.produce("payments", 2, wire.encode("payment", huge, catalog.ids()), b"huge")
    log.flush()
    worker = start()
    assert worker.wait() == 70
    assert worker.said(f"folding {log.prefix}payments/2 failed at offsets")
    accounts = newest_rows(broker, log.prefix, "accounting").values()
    assert all(
        row["folded"] <= 3 * log.events_a_tick for row in accounts if row["topic"] == "payments" and row["shard"] == 2
    )


def test_deleted_records_end_the_worker(broker: str, log: Log, start: Start) -> None:
    tell(log, 0, 2)
    gone = ck.TopicPartition(f"{log.prefix}payments", 1, 10)
    admin = AdminClient({"bootstrap.servers": broker})
    admin.delete_records([gone])[gone].result(30)
    worker = start()
    assert worker.wait() == 70
    assert worker.said(f"{log.prefix}payments/1 begins at offset 10, but the shard goes on at 0")
