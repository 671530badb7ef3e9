"""The engine and a broker that dies: the worker goes on where its last transaction ends, by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jinliu.broker import EmbeddedBroker
from tests.integration.faultworker import Worker
from tests.integration.smallworld import DAYS, Log, create_topics
from tests.integration.test_engine import finish, tell


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "kafka")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def worker(own_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Worker]:
    create_topics(own_broker.address, "o.")
    worker = Worker(own_broker.address, "o.", tmp_path / "worker")
    yield worker
    worker.clean_up()


def test_killed_broker(own_broker: EmbeddedBroker, worker: Worker) -> None:
    log = Log(own_broker.address, "o.")
    log.open()
    tell(log, 0, 8)
    worker.until(lambda: worker.status.get("events", 0) > 0, "first events folded")
    tell(log, 8, 10)
    own_broker.kill()
    own_broker.start()
    tell(log, 10, DAYS)
    log.close()
    finish(log, worker)
