"""One process a source, held by Kafka's own group coordinator."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from producers.errors import AlreadyRunningError, PolicyError
from producers.movelever import move_lever
from producers.options import Options
from producers.progress import Progress
from producers.run import Summary
from tests.integration.source_log import Ticking, assert_whole, make_topics, options, tell
from tests.unit.producers.fake_world import DAY_MS, START_MS

DAYS_A_SECOND = 86_400.0


class Running:
    """A source in a thread, from its first day on; leaving the context stops it."""

    def __init__(self, run: Options) -> None:
        self.stop = threading.Event()
        self._begun = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.result: Future[Summary] = self._pool.submit(tell, run, self._progressed, self.stop)

    def __enter__(self) -> "Running":
        assert self._begun.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._pool.shutdown()

    def _progressed(self, progress: Progress) -> None:
        if progress.tick_end_ms > START_MS:
            self._begun.set()


def test_a_second_copy_is_refused_and_the_first_goes_on(broker: str) -> None:
    run = options(broker, ticks=200)
    make_topics(run)
    with Ticking(run, speed=DAYS_A_SECOND), Running(run) as first:
        with pytest.raises(AlreadyRunningError, match=r"source alipay is already running .* stop that process first"):
            tell(run)
        assert not first.result.done()
        first.stop.set()
        assert not first.result.result().closed
    with Ticking(run):
        assert tell(run).closed
    assert_whole(run)


def test_a_source_that_loses_its_place_to_nobody_claims_it_again(broker: str) -> None:
    run = options(broker, ticks=300)
    make_topics(run)
    with Ticking(run, speed=10 * DAYS_A_SECOND), Running(run) as first:
        _remove(run, "unionpay")
        assert first.result.result(120).closed
    assert_whole(run)


def _remove(run: Options, source: str) -> None:
    """What the coordinator does with a member that was silent for its session."""
    admin = KafkaAdminClient(bootstrap_servers=run.broker)
    try:
        group = run.group(source)
        members = admin.describe_groups([group])[group]["members"]
        admin.remove_group_members(group, [MemberToRemove(member_id=member["member_id"]) for member in members])
    finally:
        admin.close()


def test_a_lever_moved_live_holds_from_its_day_on_and_after_a_restart(broker: str) -> None:
    run = options(broker, ticks=300)
    make_topics(run)
    with Ticking(run, speed=DAYS_A_SECOND), Running(run):
        with pytest.raises(PolicyError, match=r"route cannot move at .* choose a later day"):
            move_lever(run, "route", "DIRECT", START_MS)
        with pytest.raises(PolicyError, match="no lever 'taxes' in topology test; it has federated, route"):
            move_lever(run, "taxes", 1)
        with pytest.raises(PolicyError, match="day's start"):
            move_lever(run, "route", "DIRECT", START_MS + 250 * DAY_MS + 1)
        with pytest.raises(PolicyError, match="the run ends"):
            move_lever(run, "route", "DIRECT", run.end_ms)
        soon = move_lever(run, "route", "DIRECT")
        later = move_lever(run, "federated", False, START_MS + 250 * DAY_MS)
    with Ticking(run):
        assert tell(run).closed
    assert START_MS < soon.effective_ms < later.effective_ms
    assert_whole(run, [soon, later])
