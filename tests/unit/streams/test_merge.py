"""The merge is a function of the newest partials: order, repetition and rebuilding change nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streams import metrics
from streams.errors import DefinitionError, SumOverflow
from streams.merge import Done, MergeState
from streams.metric import totalled
from streams.partials import FINAL, PARTIAL_PARTITIONS, Partial
from tests.unit.streams import everything, world
from tests.unit.streams.chunks import DAY, plan_for

METRIC = everything.METRIC
PLAN = plan_for([METRIC], windows={"everything": ("day", "4d")})


def partials() -> list[Partial]:
    draw = random.Random(5)
    return world.partials_of(PLAN, [world.told(PLAN, shard, draw, world.random_payment, 6) for shard in (0, 1)], 7)


PARTIALS = partials()
ROWS = world.final_rows(METRIC, {"payments": PLAN}, PARTIALS)


def test_each_window_has_its_rows_with_status_and_revision() -> None:
    assert [(row.window, row.window_start // DAY) for row in ROWS] == [
        ("4d", 0),
        ("4d", 4),
        *(("day", n) for n in range(8)),
    ]
    assert {row.status for row in ROWS} == {FINAL}
    last = {(p.rollup, p.shard, p.window, p.window_start): p.revision for p in PARTIALS}
    for row in ROWS:
        mine = [n for (_, _, window, start), n in last.items() if (window, start) == (row.window, row.window_start)]
        assert row.revision == sum(mine)


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_shards_and_repetition_give_the_same_rows(seed: int) -> None:
    draw = random.Random(seed)
    merge, rows = MergeState(METRIC, {"payments": PLAN}), []
    queues = [[p for p in PARTIALS if p.shard == shard] for shard in (0, 1)]
    while any(queues):
        queue = draw.choice([queue for queue in queues if queue])
        partial = queue.pop(0)
        merge.put(Partial.of(METRIC.name, partial.value()))
        if draw.random() < 0.3:
            merge.put(partial)
        if draw.random() < 0.2:
            rows += merge.take(provisional=draw.random() < 0.5)
    rows += merge.take()
    newest: dict[Any, Any] = {}
    for row in rows:
        former = newest.get(METRIC.key_of(row))
        assert former is None or (former.status != FINAL and former.revision < row.revision)
        newest[METRIC.key_of(row)] = row
    assert [newest[METRIC.key_of(row)] for row in ROWS] == ROWS
    assert merge.open == 0


def test_windows_of_a_partition_are_merged_apart() -> None:
    rows = []
    for partition in range(PARTIAL_PARTITIONS):
        mine = [partial for partial in PARTIALS if partial.partition == partition]
        rows += world.final_rows(METRIC, {"payments": PLAN}, mine)
    assert sorted(map(METRIC.key_of, rows)) == sorted(map(METRIC.key_of, ROWS))


def test_an_older_partial_and_one_of_a_closed_window_change_nothing() -> None:
    merge = MergeState(METRIC, {"payments": PLAN})
    place = [p for p in PARTIALS if p.window == "day" and p.index == 0]
    for partial in place:
        merge.put(partial)
    assert len(merge.take()) == 1
    for partial in place:
        merge.put(partial)
    assert merge.take() == []


def test_missing_counts_once_for_rollups_of_one_topic() -> None:
    merge = MergeState(METRIC, {"payments": PLAN})
    for partial in PARTIALS:
        if partial.window == "day" and partial.index == 1 and partial.status == FINAL:
            merge.put(replace(partial, status="INCOMPLETE", missing={"alipay": 3, "banks": 0}))
    (row,) = merge.take()
    assert (row.status, row.missing) == ("INCOMPLETE", 6)


def test_what_has_no_rollups_cannot_be_merged() -> None:
    with pytest.raises(DefinitionError, match="nothing to merge"):
        MergeState(metrics.load()["accounting"], {})


def test_two_rows_of_a_window_with_one_key_are_refused() -> None:
    twice = replace(METRIC, derive=lambda *said: (row for row in [*everything.derive(*said)] * 2))
    merge = MergeState(twice, {"payments": PLAN})
    place = [p for p in PARTIALS if p.window == "day" and p.index == 0]
    for partial in place:
        merge.put(partial)
    start = place[0].window_start
    said = f"metric 'everything': derive yields two rows with the key window 'day', window_start {start}"
    with pytest.raises(DefinitionError, match=said):
        merge.take()


def test_totals_over_cells_do_not_wrap() -> None:
    cells = np.full((2, 2), 2**62)
    with pytest.raises(SumOverflow):
        totalled(cells, 0, 1)
    assert totalled(np.array([[1, 2], [3, 4]]), 0, 1).tolist() == [[1, 2, 3], [3, 4, 7], [4, 6, 10]]


def test_what_is_done_is_remembered_in_bounds() -> None:
    merge = MergeState(METRIC, {"payments": PLAN}, partition=1)
    for partial in PARTIALS:
        if partial.partition == 1:
            merge.put(partial)
            merge.take(provisional=False)
    assert merge.open == 0
    assert {name: done.floor for name, done in merge.done.items()} == {"day": 9, "4d": 3}
    assert not any(done.above for done in merge.done.values())
    assert not any(merge.put(partial) for partial in PARTIALS if partial.partition == 1)


def test_done_in_any_order_is_the_set_of_what_was_added() -> None:
    draw = random.Random(2)
    for step, first in ((1, 0), (2, 0), (2, 1)):
        every = list(range(first, 60, step))
        order, done = draw.sample(every, len(every)), Done(first, step)
        for n, index in enumerate(order):
            assert [i for i in every if i in done] == sorted(order[:n])
            done.add(index)
        assert not done.above
        assert done.floor == every[-1] + step
