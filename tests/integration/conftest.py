"""Two real brokers for the same tests: the embedded one, and Apache Kafka in a container where Docker is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

import pytest

from jinliu import broker as embedded
from tests.integration.containers import engine_missing, kafka_container

EMBEDDED, CONTAINER = "embedded", "container"
BROKERS = [EMBEDDED, pytest.param(CONTAINER, marks=pytest.mark.containers)]
missing = cache(engine_missing)


def require_engine(covered: str) -> None:
    """Skip where no Docker engine is (`covered`: what is tested without it); in CI (`CI` is set) that is an error."""
    why = missing()
    if why and os.environ.get("CI"):
        pytest.fail(f"CI is set, so the tests on a container must run, but {why}", pytrace=False)
    if why:
        pytest.skip(f"{covered}; {why}")


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers."""
    require_engine("the stack runs without containers by jinliu up")


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker that the whole session shares: use topics of your own (a prefix).

    Without a Docker engine only the half of the tests on a container is skipped, and not even that in CI.
    """
    if request.param == EMBEDDED:
        with embedded.shared(tmp_path_factory.mktemp("kafka")) as address:
            yield address
        return
    require_engine("the same tests passed or failed on the embedded broker")
    with kafka_container() as address:
        yield address
