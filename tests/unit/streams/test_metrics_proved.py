"""Every bundled metric against its own proof: rows out of partials equal the SQL over the same events, field by
field.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streams import metrics
from streams.metric import Metric
from streams.plan import TopicPlan
from streams.rows import as_dict
from tests.unit.streams import lending, world
from tests.unit.streams.chunks import DAY, WORLD, plan_for
from tests.unit.streams.lending import LENDING_WORLD

GIVEN_BY_THE_MERGE = ("window_end", "status", "revision", "missing", "missing_sources")
Told = Callable[[TopicPlan, int, random.Random, int], list[dict[str, Any]]]
TOLD: dict[str, Told] = {
    "payments": lambda plan, shard, draw, a_tick: world.told(plan, shard, draw, world.random_payment, a_tick),
    "operations": lambda plan, shard, draw, a_tick: world.told(plan, shard, draw, world.random_operation, a_tick),
    "loans": lambda plan, shard, draw, a_tick: lending.told(plan, shard, draw, 4 * a_tick),
}
WINDOWS = ("day", "month", "year")
PROVED = [metric for metric in metrics.load().values() if metric.proof]


@pytest.mark.parametrize("metric", PROVED, ids=lambda metric: metric.name)
@pytest.mark.parametrize("a_tick", [2, 25])
def test_rows_equal_the_proof(metric: Metric, a_tick: int) -> None:
    start = int(datetime(2022, 1, 20, tzinfo=UTC).timestamp() * 1000)
    draw = random.Random(f"{metric.name} {a_tick}")
    plans, partials, events = {}, [], {}
    for topic in metric.topics():
        plan = plans[topic] = plan_for(
            [metric], topic, (start, start + 20 * DAY, DAY), windows={metric.name: WINDOWS}, world=LENDING_WORLD
        )
        logs = [TOLD[topic](plan, shard, draw, a_tick) for shard in range(plan.shards)]
        partials += world.partials_of(plan, logs)
        events[topic] = [record for log in logs for record in log if "tick" not in record]
    rows = world.final_rows(metric, plans, partials)
    assert {row.status for row in rows} == {"FINAL"}
    assert len(rows) == len({metric.key_of(row) for row in rows})
    for window in WINDOWS:
        expected = {metric_key(metric, row): row for row in proved(metric, plans, window, events)}
        found = {metric.key_of(row): without(as_dict(row)) for row in rows if row.window == window}
        assert found.keys() == expected.keys()
        for key, row in found.items():
            assert row == expected[key], key


def proved(
    metric: Metric, plans: Mapping[str, TopicPlan], window: str, events: Mapping[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    column = f"window_start_{window}"
    with duckdb.connect() as connection:
        for topic, told in events.items():
            table = plans[topic].windows(window)
            placed = [event | {column: table.start(table.index(event["event_time"]))} for event in told]
            if topic == "loans":
                placed = [lending.with_nulls(event) for event in placed]
            connection.register(topic, pa.Table.from_pylist(placed))
        ids = [
            {"id": name, "certified_ms": _certified(name), "index": index, "kind": LENDING_WORLD.kinds[name]}
            for index, name in enumerate(LENDING_WORLD.institutions)
        ]
        schema = {"id": pa.string(), "certified_ms": pa.int64(), "index": pa.int64(), "kind": pa.string()}
        connection.register("institutions", pa.Table.from_pylist(ids, pa.schema(schema)))
        calendar = [{"window_start": table.start(i), "window_end": table.end(i)} for i in range(table.count)]
        connection.register("windows", pa.Table.from_pylist(calendar))
        scale = {"person_weight": WORLD.person_weight, "weight": WORLD.weight, "shards": WORLD.shards}
        connection.register("topology", pa.Table.from_pylist([scale]))
        result = connection.execute(metric.proof.format(window=window, w=column))
        names = [item[0] for item in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _certified(name: str) -> int | None:
    day = LENDING_WORLD.certified.get(name)
    return day and int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def metric_key(metric: Metric, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in metric.key)


def without(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in GIVEN_BY_THE_MERGE}
