"""The full stack as a user brings it up: scaled, killed, stopped, ended, with and without a schema registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml
from kafka import KafkaAdminClient

import topologies
from jinliu import topics
from jinliu.oracle import verify
from jinliu.settings import settings
from jinliu.subscription import MetricReader
from producers.digest import digest
from producers.economy import Economy
from producers.generator import Generator
from producers.options import Options
from schemas import catalog
from schemas.eventtopics import EVENT_TOPICS
from tests.integration.composed import ROOT, Composed, composed
from tests.integration.source_log import records, told
from tests.waiting import wait_until

pytestmark = pytest.mark.containers
SEED = 11
A_DAY_IN_FIVE_SECONDS = "17280"
"""Slow enough that the run is still being told when the second `up` comes back."""


@pytest.fixture(autouse=True)
def only_what_the_test_says(engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the developer's shell would win over those of the test."""
    for name in [*os.environ]:
        if name.startswith(("JINLIU_", "COMPOSE_")):
            monkeypatch.delenv(name)


def run_options(stack: Composed, first: str, last: str) -> Options:
    """The run of a stack, as its sources were told."""
    said = settings(topology=stack.world.name, seed=SEED, from_=first, to=last, broker=stack.address)
    return said.source_options(stack.address)


def assignments(stack: Composed) -> list[set[tuple[str, int]]]:
    """What the consumer group gave each member that has something."""
    admin = KafkaAdminClient(bootstrap_servers=stack.address)
    try:
        group = admin.describe_groups(["jinliu"])["jinliu"]
    finally:
        admin.close()
    held = [
        {
            (given["topic"], number)
            for given in member["member_assignment"]["assigned_partitions"]
            for number in given["partitions"]
        }
        for member in group["members"]
        if member["member_assignment"]
    ]
    return [each for each in held if each]


def shared_by(stack: Composed, members: int) -> bool:
    """Whether so many processors hold all shards of the event topics and the partials, each one once."""
    held = assignments(stack)
    wanted = {
        (spec.name, number)
        for spec in topics.specs(stack.world)
        if spec.name in EVENT_TOPICS or spec.name.startswith("partials.")
        for number in range(spec.partitions)
    }
    return len(held) == members and sum(map(len, held)) == len(wanted) and set().union(*held) == wanted


def assert_exact(stack: Composed, run: Options) -> None:
    """The log holds the very bytes that this machine's generator makes, and the metrics are proved."""
    found = {
        f"{source}/{topic}/{shard}": hashlib.sha256(told_bytes).hexdigest()
        for topic in EVENT_TOPICS
        for shard in range(run.topology.scale.shards)
        for source, told_bytes in told(run, topic, shard).items()
    }
    assert found == digest(run.topology, run.seed, run.start_ms, run.end_ms)
    verdict = verify(stack.address, "", stack.world, registry=stack.registry)
    assert verdict.as_dict()["differences"] == []
    assert verdict.compared > 500
    with MetricReader(["market-share", "accounting"], stack.address, registry=stack.registry) as reader:
        rows = list(reader.to_end())
    shares = [row for name, row in rows if name == "market-share"]
    newest = {(row.window, row.window_start, row.channel, row.scene): row.status for row in shares}
    assert Counter(newest.values()) == {"FINAL": len(newest)}
    books = {(row.topic, row.shard, row.source): row for name, row in rows if name == "accounting"}
    assert sum(row.folded for row in books.values()) == sum(row.received for row in books.values())
    assert sum(row.received for row in books.values()) == events_told(run)


def events_told(run: Options) -> int:
    """Events by the control totals of the ticks that the generators make, not by the log."""
    economy = Economy(run.topology, run.seed, ())
    total = 0
    for source in run.sources:
        generator = Generator(run.topology, run.seed, source, run.start_ms, run.end_ms, economy)
        for topic in generator.topics:
            for shard in range(run.topology.scale.shards):
                total += int(generator.block(topic, shard, 0, run.ticks, 1).counts.sum())
    return total


def test_three_processors_share_the_shards_and_stay_exact_through_kill_and_stop(tmp_path: Path) -> None:
    first, last = "2018-03-01", "2018-04-15"
    span = {"JINLIU_TOPOLOGY": "china", "JINLIU_SEED": str(SEED), "JINLIU_FROM": first, "JINLIU_TO": last}
    with composed(tmp_path, JINLIU_SPEED=A_DAY_IN_FIVE_SECONDS, **span) as stack:
        stack.up(processors=3)
        wait_until(lambda: shared_by(stack, 3), "three processors to share the shards")
        stack.compose("kill", "processor")
        before, _ = stack.told_ms()
        wait_until(lambda: stack.told_ms()[0] > before, "sources to go on without processors")
        stack.up(processors=3)
        wait_until(lambda: shared_by(stack, 3), "three processors to share the shards again")
        assert not stack.told_ms()[1]

        stack.compose("stop")
        ours = {name: state for name, state in stack.states().items() if "-broker-" not in name}
        assert ours == dict.fromkeys(ours, ("exited", 0))
        stack.up(processors=3, JINLIU_SPEED="max")
        stack.run_to_the_end()
        assert_exact(stack, run_options(stack, first, last))


def test_a_stack_whose_span_is_told_stays_well_and_can_be_watched(tmp_path: Path) -> None:
    first, last = "2018-04-01", "2018-04-21"
    span = {"JINLIU_TOPOLOGY": "small", "JINLIU_SEED": str(SEED), "JINLIU_FROM": first, "JINLIU_TO": last}
    with composed(tmp_path, JINLIU_SPEED="max", **span) as stack:
        stack.run_to_the_end()
        assert {state for state, _ in stack.states().values()} == {"healthy"}
        assert "and closed" in stack.said("alipay")
        stack.compose("stop")
        stack.up()
        assert {state for state, _ in stack.states().values()} == {"healthy"}
        assert_exact(stack, run_options(stack, first, last))
        rows = watch(stack)
        assert {row["status"] for row in rows} >= {"FINAL"}
        assert {row["channel"] for row in rows} >= {"ALIPAY", "WECHAT_PAY", "UNIONPAY"}


def watch(stack: Composed) -> list[dict[str, Any]]:
    """What `jinliu watch` prints on the host."""
    command = [sys.executable, "-m", "jinliu", "watch", "market-share", "--once", "--json", "--broker", stack.address]
    if stack.registry:
        command += ["--registry", stack.registry]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_registry_gives_the_ids_and_any_client_of_it_can_read(tmp_path: Path) -> None:
    first, last = "2018-04-01", "2018-04-14"
    span = {"JINLIU_TOPOLOGY": "small", "JINLIU_SEED": str(SEED), "JINLIU_FROM": first, "JINLIU_TO": last}
    with composed(tmp_path, profile="registry", JINLIU_SPEED="max", **span) as stack:
        stack.run_to_the_end()
        run = run_options(stack, first, last)
        seen = read_with_registry(stack, run)
        assert seen.keys() == {"jinliu.Payment", "jinliu.Operation", "jinliu.Loan", "jinliu.Tick"}
        assert seen.total() - seen["jinliu.Tick"] == events_told(run)
        assert set(stack.ids().values()) != set(catalog.ids(None).values())
        assert verify(stack.address, "", stack.world, registry=stack.registry).as_dict()["differences"] == []
        assert watch(stack)

        ids = stack.ids()
        stack.compose("restart", "registry")
        stack.up()
        assert stack.ids() == ids
        assert read_with_registry(stack, run) == seen


def read_with_registry(stack: Composed, run: Options) -> Counter[str]:
    """Records by full name, decoded with what the registry says of their ids and nothing of ours."""
    schemas: dict[int, Any] = {}
    seen: Counter[str] = Counter()
    for topic in EVENT_TOPICS:
        for record in (each for shard in range(run.topology.scale.shards) for each in records(run, topic, shard)):
            zero, number = record.value[0], int.from_bytes(record.value[1:5], "big")
            assert zero == 0
            if number not in schemas:
                with urllib.request.urlopen(f"{stack.registry}/schemas/ids/{number}", timeout=10) as answer:
                    schemas[number] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
            body = io.BytesIO(record.value[5:])
            assert fastavro.schemaless_reader(body, schemas[number], None)["seq"] >= 0
            assert body.read() == b""
            seen[schemas[number]["name"]] += 1
    return seen


def test_the_compose_file_names_one_service_a_source() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    sources = {source.name for source in topologies.load("china").sources}
    assert services.keys() == {"broker", "clock", "processor", "registry"} | sources
    for source in sources:
        assert services[source]["command"][-1] == source
