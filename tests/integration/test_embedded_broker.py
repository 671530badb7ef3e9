"""The embedded broker: shared by who needs it, its data outliving kill -9, other processes left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

import topologies
from jinliu import topics
from jinliu.broker import BrokerError, EmbeddedBroker, abandoned, answers, free_port, running, shared
from tests.waiting import wait_until

PLACE = TopicPartition("policies", 0)


def tell(address: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    producer.send(PLACE.topic, value, partition=0).get(timeout=30)
    producer.close()


def told(address: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", group_id=None)
    consumer.assign([PLACE])
    end = consumer.end_offsets([PLACE])[PLACE]
    found: list[bytes] = []
    while consumer.position(PLACE) < end:
        found += [record.value for records in consumer.poll(500).values() for record in records]
    consumer.close()
    return found


def test_data_outlives_kill_9_and_a_stop(tmp_path: Path) -> None:
    world = topologies.load("small")
    first = EmbeddedBroker(tmp_path).start()
    assert topics.create(first.address, "", world) == len(list(topics.specs(world)))
    assert topics.create(first.address, "", world) == 0
    tell(first.address, b"one")
    first.kill()
    assert running(tmp_path) is None
    with shared(tmp_path) as address:
        assert address == first.address
        tell(address, b"two")
    assert running(tmp_path) is None
    assert not answers(address)
    with shared(tmp_path) as address:
        assert told(address) == [b"one", b"two"]
        states = {state.name: state for state in topics.states(address, "", world)}
        assert states["policies"].records == 2
        assert states["payments"].partitions == world.scale.shards


def test_one_broker_is_shared_and_ended_by_who_started_it(tmp_path: Path) -> None:
    with shared(tmp_path) as mine:
        with shared(tmp_path) as also, shared(tmp_path) as too:
            assert mine == also == too == running(tmp_path)
        assert running(tmp_path) == mine
        with pytest.raises(BrokerError, match=f"already, at {mine}"):
            EmbeddedBroker(tmp_path).start()
    assert running(tmp_path) is None


def test_two_that_start_at_once_share(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jinliu.broker import shared\n"
        "with shared(Path(sys.argv[1])) as address:\n    print(address, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    addresses = {child.stdout.readline().strip() for child in both if child.stdout is not None}
    assert addresses == {running(tmp_path)}
    for child in both:
        child.communicate("")
        assert child.returncode == 0
    assert running(tmp_path) is None


STARTER = (
    "import sys; from pathlib import Path; from jinliu.broker import EmbeddedBroker\n"
    "print(EmbeddedBroker(Path(sys.argv[1])).start().address, flush=True); sys.stdin.read()"
)


def started_and_orphaned(data: Path) -> str:
    """Address of a broker whose starter was killed just now."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        address = starter.stdout.readline().strip()
        assert answers(address)
        starter.send_signal(signal.SIGKILL)
    return address


def test_a_broker_ends_when_its_starter_was_killed(tmp_path: Path) -> None:
    address = started_and_orphaned(tmp_path)
    wait_until(lambda: not abandoned(tmp_path), "the broker to end", 30)
    assert not answers(address)


def test_a_broker_whose_starter_was_killed_is_replaced_at_once(tmp_path: Path) -> None:
    started_and_orphaned(tmp_path)
    orphan = json.loads((tmp_path / "broker" / "server.json").read_text())["pid"]
    with shared(tmp_path) as found:
        mine = json.loads((tmp_path / "broker" / "server.json").read_text())
        assert mine["pid"] != orphan
        assert mine["starter"] == os.getpid()
        assert running(tmp_path) == found
    assert running(tmp_path) is None


def test_a_stale_file_is_not_believed_and_its_process_left_alone(tmp_path: Path) -> None:
    with shared(tmp_path / "other") as other:
        bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        stale = {"pid": bystander.pid, "port": int(other.rpartition(":")[2]), "starter": os.getpid()}
        (tmp_path / "mine" / "broker").mkdir(parents=True)
        (tmp_path / "mine" / "broker" / "server.json").write_text(json.dumps(stale))
        assert running(tmp_path / "mine") is None
        with shared(tmp_path / "mine") as mine:
            assert mine != other
        assert bystander.poll() is None
        assert answers(other)
        bystander.communicate(b"")


def test_a_port_that_is_taken_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"127.0.0.1:{port}: address already in use"):
            EmbeddedBroker(tmp_path, port=port).start()
    port = free_port()
    broker = EmbeddedBroker(tmp_path, port=port).start()
    assert broker.address == f"127.0.0.1:{port}"
    broker.stop()


def test_a_broken_log_is_an_error_with_the_last_words(tmp_path: Path) -> None:
    with shared(tmp_path):
        pass
    (tmp_path / "broker" / "log" / "meta.properties").write_text("version=1\nnode.id=2\n")
    with pytest.raises(BrokerError, match=r"ended with code 1: .*server\.log"):
        EmbeddedBroker(tmp_path).start()
