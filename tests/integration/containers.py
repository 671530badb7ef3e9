"""Kafka in a container, by testcontainers: the same broker that `compose.yaml` runs."""

from __future__ import annotations

import contextlib
import gc
import os
import warnings
from collections.abc import Iterator

from jinliu.broker import answers, free_port
from tests.waiting import wait_until

IMAGE = os.environ.get("JINLIU_KAFKA_IMAGE", "apache/kafka:4.1.1")
PORT = 9092
START_LIMIT_S = 120.0
ENVIRONMENT = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
    "KAFKA_LISTENERS": f"PLAINTEXT://:19092,CONTROLLER://:9093,HOST://:{PORT}",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_LOG_RETENTION_MS": "-1",
    "KAFKA_HEAP_OPTS": "-Xmx512m",
}


def engine_missing() -> str:
    """Why containers cannot be used here, or ""."""
    with warnings.catch_warnings():
        # The client leaves its socket open where nobody answers: it is collected here, not within some test.
        warnings.simplefilter("ignore", ResourceWarning)
        why = _asked()
        gc.collect()
    return why


def _asked() -> str:
    import docker
    import docker.errors

    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers: {error}"
    try:
        client.ping()
    except (docker.errors.APIError, OSError) as error:
        return f"no Docker engine answers: {error}"
    finally:
        client.close()
    return ""


@contextlib.contextmanager
def kafka_container() -> Iterator[str]:
    """Address of a broker in a container of its own, on a fixed free port, which is the advertised one."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.core.container import DockerContainer
    port = free_port()
    address = f"127.0.0.1:{port}"
    container = DockerContainer(IMAGE).with_bind_ports(PORT, port)
    for name, value in ENVIRONMENT.items():
        container = container.with_env(name, value)
    container = container.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://localhost:19092,HOST://{address}")
    with container:
        wait_until(lambda: answers(address), f"Kafka in the container {IMAGE} to answer at {address}", START_LIMIT_S)
        yield address
