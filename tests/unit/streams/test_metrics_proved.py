"""Every bundled metric against its own proof: rows out of partials equal the SQL over the same events, field by
field.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streams import metrics
from streams.metric import Metric
from streams.rows import as_dict
from tests.unit.streams import world
from tests.unit.streams.chunks import DAY, WORLD, plan_for

GIVEN_BY_THE_MERGE = ("window_end", "status", "revision", "missing", "missing_sources")
ONE = {"payments": world.random_payment, "operations": world.random_operation}
WINDOWS = ("day", "month")
PROVED = [metric for metric in metrics.load().values() if metric.proof]


@pytest.mark.parametrize("metric", PROVED, ids=lambda metric: metric.name)
@pytest.mark.parametrize("a_tick", [2, 25])
def test_rows_equal_the_proof(metric: Metric, a_tick: int) -> None:
    topic = metric.rollups[0].topic
    start = int(datetime(2022, 1, 20, tzinfo=UTC).timestamp() * 1000)
    plan = plan_for([metric], topic, (start, start + 20 * DAY, DAY), windows={metric.name: WINDOWS})
    draw = random.Random(f"{metric.name} {a_tick}")
    logs = [world.told(plan, shard, draw, ONE[topic], a_tick) for shard in range(plan.shards)]
    rows = world.final_rows(metric, {topic: plan}, world.partials_of(plan, logs))
    events = [record for log in logs for record in log if "tick" not in record]
    assert {row.status for row in rows} == {"FINAL"}
    assert len(rows) == len({metric.key_of(row) for row in rows})
    for window in WINDOWS:
        expected = {metric_key(metric, row): row for row in proved(metric, plan, topic, window, events)}
        found = {metric.key_of(row): without(as_dict(row)) for row in rows if row.window == window}
        assert found.keys() == expected.keys()
        for key, row in found.items():
            assert row == expected[key], key


def proved(metric: Metric, plan: Any, topic: str, window: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = plan.windows(window)
    column = f"window_start_{window}"
    with duckdb.connect() as connection:
        told = [event | {column: table.start(table.index(event["event_time"]))} for event in events]
        connection.register(topic, pa.Table.from_pylist(told))
        certified = {
            name: day and int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
            for name, day in WORLD.certified.items()
        }
        ids = [
            {"id": name, "certified_ms": certified[name], "index": index}
            for index, name in enumerate(WORLD.institutions)
        ]
        connection.register(
            "institutions",
            pa.Table.from_pylist(ids, pa.schema({"id": pa.string(), "certified_ms": pa.int64(), "index": pa.int64()})),
        )
        edges = plan.windows(window)
        calendar = [{"window_start": edges.start(i), "window_end": edges.end(i)} for i in range(edges.count)]
        connection.register("windows", pa.Table.from_pylist(calendar))
        scale = {"person_weight": WORLD.person_weight, "weight": WORLD.weight, "shards": WORLD.shards}
        connection.register("topology", pa.Table.from_pylist([scale]))
        result = connection.execute(metric.proof.format(window=window, w=column))
        names = [item[0] for item in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def metric_key(metric: Metric, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in metric.key)


def without(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in GIVEN_BY_THE_MERGE}
