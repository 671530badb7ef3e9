"""The engine's hooks in Faust's consumer, and the contract with the private names they use."""

from __future__ import annotations

import inspect
from collections import defaultdict
from importlib.metadata import version
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.fetch import Chunk
from streams.transport import Consumer, ConsumerThread, _Unread, transport_for

OURS, THEIRS = TP("events", 1), TP("changelog", 0)


class Owner:
    """An engine that owns nothing but remembers what it was asked."""

    topics = frozenset({"events"})

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def owner_of(self, tp: TP) -> object:
        return ("shard", tp)

    def committed_offset(self, tp: TP) -> int | None:
        return 41

    def positions(self) -> dict[TP, int]:
        return {OURS: 7}

    def assign(self, assigned: set[TP]) -> None:
        self.asked.append(("assign", assigned))

    def revoke(self, revoked: set[TP]) -> None:
        self.asked.append(("revoke", revoked))

    async def commit_loop(self) -> None:
        self.asked.append("commit_loop")

    async def finish(self) -> None:
        self.asked.append("finish")

    async def close(self) -> None:
        self.asked.append("close")


class Bare(Consumer):
    """A consumer without a broker or a thread: only the hooks."""

    def __init__(self) -> None:
        self.engine = Owner()  # type: ignore[misc]
        self.app = type("App", (), {"consumer_generation_id": 5})()
        self._acked = {OURS: [3, 4]}
        self._acked_index = {OURS: {3, 4}}
        self._committed_offset = defaultdict(lambda: None)
        self.sought: list[Any] = []

    async def seek_wait(self, partitions: Any) -> None:
        self.sought.append(dict(partitions))


def test_a_chunk_becomes_one_message_stamped_with_its_shard() -> None:
    chunk = Chunk("events", 1, first=10, last=19, nbytes=100, wall_ms=5000)
    message = Bare()._to_message(OURS, chunk)
    assert isinstance(message, ConsumerMessage)
    assert (message.offset, message.timestamp, message.generation_id) == (19, 5.0, 5)
    assert message.value is chunk  # type: ignore[comparison-overlap]
    assert chunk.owner == ("shard", OURS)


def test_the_group_offset_follows_the_transactions() -> None:
    consumer = Bare()
    assert consumer._new_offset(OURS) == 41
    assert consumer._acked[OURS] == []
    assert consumer._acked_index[OURS] == set()


def test_the_group_offset_of_a_shard_without_chunks_is_committed_too() -> None:
    consumer = Bare()
    consumer._acked = {THEIRS: [1]}
    assert set(consumer._filter_tps_with_pending_acks()) == {OURS, THEIRS}
    assert set(consumer._filter_tps_with_pending_acks({OURS})) == {OURS}


@pytest.mark.parametrize("accepted", [True, False])
def test_group_offsets_that_were_refused_are_committed_again(monkeypatch: pytest.MonkeyPatch, accepted: bool) -> None:
    async def stock(self: Any, offsets: dict[TP, int], start_new_transaction: bool = True) -> bool:
        self._committed_offset.update(offsets)  # as Faust's own does, whatever came of it
        return accepted

    monkeypatch.setattr(driver.Consumer, "_commit_offsets", stock)
    consumer = Bare()
    with pytest.raises(StopIteration):
        consumer._commit_offsets({OURS: 41}).send(None)
    assert consumer._should_commit(OURS, 41) is not accepted


def test_read_offsets_of_the_engine_are_not_kept() -> None:
    unread = _Unread(frozenset({"events"}))
    unread[OURS] = 100
    unread.update({OURS: 100})
    unread[THEIRS] = 7
    assert (unread[OURS], unread[THEIRS]) == (None, 7)


async def _stock(self: Any, *_: Any) -> None:
    self.engine.asked.append("stock")


@pytest.mark.parametrize("verb", ["revoke", "assign"])
def test_the_engine_hears_of_a_rebalance_before_faust(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    name = {"revoke": "on_partitions_revoked", "assign": "on_partitions_assigned"}[verb]
    monkeypatch.setattr(driver.Consumer, name, _stock)
    consumer = Bare()
    hook = getattr(consumer, name)
    with pytest.raises(StopIteration):
        hook({OURS}).send(None)
    assert consumer.engine.asked == [(verb, {OURS}), "stock"]  # type: ignore[attr-defined]


def test_the_consumer_is_moved_to_the_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.Consumer, "perform_seek", _stock)
    consumer = Bare()
    with pytest.raises(StopIteration):
        consumer.perform_seek().send(None)
    assert consumer.engine.asked == ["stock"]  # type: ignore[attr-defined]
    assert consumer.sought == [{OURS: 7}]


def test_the_last_transactions_come_before_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.Consumer, "on_stop", _stock)
    consumer = Bare()
    with pytest.raises(StopIteration):
        consumer.on_stop().send(None)
    assert consumer.engine.asked == ["finish", "stock", "close"]  # type: ignore[attr-defined]


def test_a_transport_belongs_to_its_engine() -> None:
    one, other = Owner(), Owner()
    assert transport_for(one).Consumer.engine is one  # type: ignore[attr-defined]
    assert transport_for(other).Consumer.engine is other  # type: ignore[attr-defined]


def test_contract_with_faust() -> None:
    """Every private name the hooks use; a new version of Faust must fail here, loudly."""
    assert version("faust-streaming") == "0.15.3"
    for name in (
        "_to_message",
        "_add_gap",
        "_new_offset",
        "_commit_offsets",
        "_should_commit",
        "_filter_tps_with_pending_acks",
        "_new_consumer_thread",
        "perform_seek",
        "on_partitions_revoked",
        "seek_wait",
    ):
        assert callable(getattr(driver.Consumer, name)), name
    thread = driver.AIOKafkaConsumerThread
    for name in ("_create_worker_consumer", "_commit", "_ensure_consumer", "call_thread", "assignment"):
        assert callable(getattr(thread, name)), name
    assert callable(GroupCoordinator.request_rejoin)
    made = inspect.getsource(faust_consumer.Consumer.__init__)
    assert "self._read_offset = defaultdict" in made
    assert "self._acked = defaultdict" in made
    assert "self._acked_index = defaultdict" in made
    drained = inspect.getsource(faust_consumer.Consumer._drain_messages)
    assert "self._read_offset.__getitem__" in drained
    assert "isolation_level=isolation_level" in inspect.getsource(thread._create_worker_consumer)
    assert list(inspect.signature(thread._commit).parameters) == list(
        inspect.signature(ConsumerThread._commit).parameters
    )


def test_aiokafka_still_takes_fetch_settings_from_the_attributes_that_are_set() -> None:
    source = inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    for name in ("_fetch_min_bytes", "_fetch_max_wait_ms", "_isolation_level"):
        assert f"=self.{name}," in source, f"aiokafka moved {name}: streams/transport.py sets it"
