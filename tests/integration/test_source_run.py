"""Sources against a real broker: what is told is told once, whatever stops them."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaProducer

from producers.errors import OtherRunError, SendError, TopicMissingError
from producers.options import Options
from producers.progress import Progress
from producers.runrecord import Run, open_run, read_run
from schemas import catalog, wire
from tests.integration.source_log import NOISE, Ticking, assert_whole, make_topics, options, records, tell
from tests.unit.producers.fake_world import DAY_MS, ROSTER, START_MS

ROOT = Path(__file__).parent.parent.parent
DAYS_A_SECOND = 86_400.0


def test_a_run_is_told_whole_and_a_second_time_adds_nothing(broker: str) -> None:
    run = options(broker, ticks=400)
    make_topics(run)
    seen: list[Progress] = []
    with Ticking(run):
        summary = tell(run, seen.append)
    assert summary.closed
    assert summary.events["payments"] == 4 * 2 * 400 * 39 // 2
    assert_whole(run)
    last = {progress.source: progress for progress in seen}
    assert {source for source, progress in last.items() if progress.closed} == set(ROSTER)
    assert {progress.tick_end_ms for progress in last.values()} == {run.end_ms}
    assert sum(progress.events for progress in last.values()) == sum(summary.events.values())
    again = tell(run)
    assert (again.closed, sum(again.events.values())) == (True, 0)
    assert_whole(run)


def test_a_paced_run_tells_the_same(broker: str) -> None:
    run = options(broker, ticks=30)
    make_topics(run)
    with Ticking(run, speed=20 * DAYS_A_SECOND):
        assert tell(run).closed
    assert_whole(run)


def test_a_source_that_was_stopped_goes_on_exactly_there(broker: str) -> None:
    run = options(broker, ticks=200)
    make_topics(run)
    closed, starts = False, 0
    while not closed:
        stop, day, starts = threading.Event(), 1 + 60 * starts, starts + 1

        def progressed(progress: Progress, stop: threading.Event = stop, day: int = day) -> None:
            if progress.tick_end_ms >= START_MS + day * DAY_MS:
                stop.set()

        with Ticking(run, speed=None if starts > 2 else 200 * DAYS_A_SECOND):
            closed = tell(run, progressed, stop).closed
    assert starts > 3
    assert_whole(run)


CHILD = """
import sys
from tests.integration.source_log import options, tell
tell(options(sys.argv[1], prefix=sys.argv[2], ticks=60), lambda progress: print(progress.tick_end_ms, flush=True))
"""


def test_a_killed_source_goes_on_at_the_next_seq(broker: str) -> None:
    run = options(broker, ticks=60)
    make_topics(run)
    with Ticking(run, speed=15 * DAYS_A_SECOND):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, broker, run.prefix], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) > START_MS + 10 * DAY_MS:
                    os.kill(child.pid, signal.SIGKILL)
                    break
        assert child.returncode == -signal.SIGKILL
        summary = tell(run)
    assert summary.closed
    assert 0 < summary.events["payments"] < 4 * 2 * 60 * 39 // 2
    assert_whole(run)


def test_noise_in_a_partition_does_not_move_a_source(broker: str) -> None:
    run = options(broker, ticks=60)
    make_topics(run)
    stop = threading.Event()

    def progressed(progress: Progress) -> None:
        if progress.tick_end_ms > START_MS + 20 * DAY_MS:
            stop.set()

    with Ticking(run):
        assert not tell(run, progressed, stop).closed
    _put_noise(run)
    with Ticking(run):
        assert tell(run).closed
    assert_whole(run)


def _put_noise(run: Options) -> None:
    """Bytes that are no record, a datum cut short, and a payment with a seq from far ahead."""
    known = next(
        value
        for record in records(run, "payments", 1)
        for name, value in [wire.decode(record.value)]
        if name == "payment"
    )
    alien = wire.encode("payment", {**known, "seq": 10**9, "payment_id": NOISE}, catalog.ids())
    producer = KafkaProducer(bootstrap_servers=run.broker)
    for value in (b"noise", alien[:9], alien):
        producer.send(run.topic("payments"), key=bytes(8), value=value, partition=1)
    producer.close()


def test_sources_of_a_process_each_start_at_once_and_open_the_run_once(broker: str) -> None:
    run = options(broker, ticks=90)
    make_topics(run)
    with Ticking(run), ThreadPoolExecutor(4) as pool:
        each = [pool.submit(tell, replace(run, sources=(source,))) for source in ROSTER]
        assert all(future.result().closed for future in each)
    assert_whole(run)
    decided = [wire.decode(record.value)[1] for record in records(run, "policies")]
    levers = [(found["lever"], found["effective_from"]) for found in decided if found["origin"] == "TOPOLOGY"]
    assert levers == [(policy.lever, policy.effective_ms) for policy in run.topology.policies]
    assert read_run(broker, run.prefix) == Run.of(run)


def test_one_run_wins_a_prefix_and_the_other_is_told_which(broker: str) -> None:
    first = options(broker, seed=1)
    second = replace(first, seed=2)
    make_topics(first)
    with ThreadPoolExecutor(4) as pool:
        futures = {pool.submit(open_run, run): run for run in (first, second, first, second)}
    lost = {future for future in futures if future.exception()}
    held = read_run(broker, first.prefix)
    assert held is not None
    assert {futures[future].seed for future in lost} == {1, 2} - {held.seed}
    assert len(lost) == 2
    loser = second if held.seed == 1 else first
    with pytest.raises(OtherRunError, match=rf"hold another run \(seed {held.seed}, topology test.*--prefix"):
        tell(loser)
    assert open_run(first if held.seed == 1 else second) == held


def test_missing_topics_are_named(broker: str) -> None:
    run = options(broker)
    with pytest.raises(TopicMissingError, match=rf"topic {run.prefix}runs is not there: create the topics first"):
        open_run(run)


def test_a_topic_with_another_number_of_partitions_is_refused(broker: str) -> None:
    run = options(broker)
    make_topics(run)
    wide = replace(run.topology, scale=replace(run.topology.scale, shards=3))
    with pytest.raises(TopicMissingError, match="has 2 partitions, the topology has 3 shards"):
        tell(replace(run, topology=wide))


def test_a_batch_the_broker_refuses_ends_the_source_with_its_reason(broker: str) -> None:
    run = options(broker, ticks=60)
    make_topics(run, settings={"max.message.bytes": "2000"})
    with Ticking(run), pytest.raises(SendError, match=r"did not take a batch of \d+ bytes .*payments/.*TooLarge"):
        tell(run)
