"""One process at a time tells a source: the one that holds `policies` in the source's consumer group.

Kafka's group coordinator is the judge. The cooperative assignor leaves the partition with whoever has it, so a second
copy gets nothing; a process that was stopped past its session is dropped by the coordinator and finds that out on its
next check. What it had still in flight then carries the same rows under the same sequence numbers as its successor's:
duplicates.
"""

import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import TopicPartition

from producers.errors import AlreadyRunningError, OwnershipLostError, ProducerError
from producers.logs import partitions
from producers.options import POLICIES, Options

SESSION_S = 6.0
HEARTBEAT_S = 1.5
CLAIM_S = 20.0
"""How long to wait for the partition: a broker delays a group's first assignment by up to 3 s."""
CHECK_S = 0.2


class StoppedClaimingError(ProducerError):
    """The process was told to stop before the source was its own: no fault of anybody."""


class Ownership:
    """Holds one source for this process, from `claim` to `close`. Not thread-safe."""

    def __init__(self, options: Options, source: str) -> None:
        self.source = source
        self._broker = options.broker
        self._group = options.group(source)
        self._place = TopicPartition(options.topic(POLICIES), 0)
        self._client_id = f"jinliu-{source}-{os.getpid()}-{secrets.token_hex(3)}"
        self._consumer: Any = None
        self._checked = 0.0

    def claim(self, stop: threading.Event | None = None) -> None:
        """Become the source's one process. Raises AlreadyRunningError while another is, StoppedClaimingError
        on `stop`, ProducerError without an answer."""
        stop = stop or threading.Event()
        admin = KafkaAdminClient(bootstrap_servers=self._broker, client_id=self._client_id)
        try:
            self._wait_until_free(admin, stop)
            self._consumer = KafkaConsumer(
                self._place.topic,
                bootstrap_servers=self._broker,
                client_id=self._client_id,
                group_id=self._group,
                session_timeout_ms=round(SESSION_S * 1000),
                heartbeat_interval_ms=round(HEARTBEAT_S * 1000),
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            try:
                # The assignor gives nothing of a topic whose metadata has not come yet.
                partitions(self._consumer, self._place.topic)
                self._join(admin, stop)
            except ProducerError:
                self.close()
                raise
        finally:
            admin.close()

    def _wait_until_free(self, admin: Any, stop: threading.Event) -> None:
        """A process that was killed stays a member until its session runs out."""
        deadline = time.monotonic() + SESSION_S + 2 * HEARTBEAT_S
        while members := self._members(admin):
            if time.monotonic() > deadline:
                raise self._already(members)
            if stop.wait(CHECK_S):
                raise StoppedClaimingError(f"source {self.source} was stopped before it began")

    def _join(self, admin: Any, stop: threading.Event) -> None:
        deadline = time.monotonic() + CLAIM_S
        while self._place not in self._consumer.assignment():
            self._consumer.poll(timeout_ms=100, max_records=1)
            if stop.is_set():
                raise StoppedClaimingError(f"source {self.source} was stopped before it began")
            if self._place in self._consumer.assignment():
                break
            others = {name: holds for name, holds in self._members(admin).items() if name != self._client_id}
            if any(others.values()):
                raise self._already(others)
            if time.monotonic() > deadline:
                raise ProducerError(f"group {self._group} gave source {self.source} no partition within {CLAIM_S:g} s")
        # Membership is all that is wanted of this consumer; the log is read by another.
        self._consumer.pause(self._place)

    def _members(self, admin: Any) -> dict[str, bool]:
        """Client id of each member of the group, and whether it holds the partition."""
        try:
            found: Mapping[str, Any] = admin.describe_groups([self._group])[self._group]
        except (KeyError, kafka.errors.CoordinatorLoadInProgressError, kafka.errors.CoordinatorNotAvailableError):
            return {}
        return {member["client_id"]: bool(_holds(member)) for member in found.get("members", ())}

    def _already(self, members: Mapping[str, bool]) -> AlreadyRunningError:
        return AlreadyRunningError(
            f"source {self.source} is already running (client {', '.join(sorted(members))} in group {self._group} at "
            f"{self._broker}): stop that process first, or give this one another --prefix"
        )

    def check(self) -> None:
        """Keep the membership alive; at most every 0.2 s. Raises OwnershipLostError when the source went elsewhere."""
        now = time.monotonic()
        if now - self._checked < CHECK_S:
            return
        self._checked = now
        self._consumer.poll(timeout_ms=0, max_records=1)
        if self._place not in self._consumer.assignment():
            raise OwnershipLostError(
                f"source {self.source} went to another process, or this one or the broker was silent for over "
                f"{SESSION_S:g} s"
            )

    def close(self) -> None:
        """Leave the group, so that a successor need not wait."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _holds(member: Mapping[str, Any]) -> bool:
    assignment = member.get("member_assignment")
    if not isinstance(assignment, Mapping):
        return bool(assignment)
    return any(topic["partitions"] for topic in assignment.get("assigned_partitions", ()))
