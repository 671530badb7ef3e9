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


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker that the whole session shares: use topics of your own (a prefix).

    In CI (`CI` is set) a missing Docker engine is an error; elsewhere only that half of the tests is skipped.
    """
    if request.param == EMBEDDED:
        with embedded.shared(tmp_path_factory.mktemp("kafka")) as address:
            yield address
        return
    why = missing()
    if why and os.environ.get("CI"):
        pytest.fail(f"CI is set, so the tests on a container must run, but {why}", pytrace=False)
    if why:
        pytest.skip(f"the same tests passed or failed on the embedded broker; {why}")
    with kafka_container() as address:
        yield address
