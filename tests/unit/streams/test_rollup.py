"""What a rollup may read of which column, and extremes at the ends of int64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streams.errors import DefinitionError
from streams.measures import Measure, count, distinct, histogram, largest, smallest, total
from streams.metric import Merged, Metric, Window
from streams.packing import unpack_into
from streams.plan import event_columns
from streams.rollup import Column, Rollup, bind
from streams.rows import Row
from streams.shard import ShardState
from tests.unit.streams.chunks import ROSTER, payment, plan_for, rows, tick

GREATEST = 2**63 - 1
COLUMNS = {
    "colour": Column("int8", ("RED", "BLUE")),
    "payer": Column("int64", person=True),
    "payee": Column("int64"),
    "fen": Column("int64"),
    "score": Column("float64"),
    "mood": Column("int8", ("GOOD", "BAD"), nullable=True),
    "refund": Column("int64", nullable=True),
    "guest": Column("int64", nullable=True, person=True),
}


def rollup(measure: Measure, **changes: Any) -> Rollup:
    return Rollup(**({"name": "r", "topic": "things", "keys": (), "measures": {"m": measure}} | changes))


MISREAD = [
    (
        rollup(count(), keys=("mood",)),
        "^metric 'x', rollup 'r': 'mood' may be null, which `keys` would .* only a `total`",
    ),
    (rollup(count(), where={"mood": "GOOD"}), "^metric 'x', rollup 'r': 'mood' may be null, which `where`"),
    (rollup(count(where={"mood": "BAD"})), "rollup 'r', measure 'm': 'mood' may be null, which `where`"),
    (rollup(count(by="mood")), "measure 'm': 'mood' may be null, which `by`"),
    (rollup(total("fen", by="mood")), "measure 'm': 'mood' may be null, which `by`"),
    (rollup(total("fen", where={"mood": "BAD"})), "measure 'm': 'mood' may be null, which `where`"),
    (rollup(largest("refund")), "'refund' may be null, which `largest`"),
    (rollup(smallest("refund")), "'refund' may be null, which `smallest`"),
    (rollup(histogram("refund", (1, 2))), "'refund' may be null, which `histogram`"),
    (rollup(histogram("fen", (1, 2), times="refund")), "'refund' may be null, which `histogram`"),
    (rollup(distinct("guest")), "'guest' may be null, which `distinct`"),
    (rollup(total("score")), "measure 'm': 'score' is a double, which `total` would cut .* int and long"),
    (rollup(total("fen", times="score")), "'score' is a double, which `total`"),
    (rollup(largest("score")), "'score' is a double, which `largest`"),
    (rollup(smallest("score")), "'score' is a double, which `smallest`"),
    (rollup(histogram("score", (1, 2))), "'score' is a double, which `histogram`"),
    (rollup(histogram("fen", (1, 2), times="score")), "'score' is a double, which `histogram`"),
    (rollup(distinct("payee")), "measure 'm': `distinct` .* 'payee' is not; only 'payer' is allowed"),
    (rollup(distinct("colour")), "'colour' is not; only 'payer' is allowed"),
]


@pytest.mark.parametrize(("wrong", "message"), MISREAD, ids=[message for _, message in MISREAD])
def test_a_column_that_its_use_would_misread_is_refused(wrong: Rollup, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        bind(wrong, COLUMNS, 100, "x")


def test_without_a_person_field_nobody_is_counted() -> None:
    columns = {name: column for name, column in COLUMNS.items() if not column.person}
    with pytest.raises(DefinitionError, match=r"^rollup 'r', measure 'm': .* topic 'things' has none"):
        bind(rollup(distinct("payee")), columns, 100)


@pytest.mark.parametrize(
    "measure",
    [
        total("refund"), total("refund", times="fen"), total("fen", times="refund", by="colour"), distinct("payer"),
        largest("payee"), histogram("fen", (1, 2), times="payee"),
    ],
)  # fmt: skip
def test_what_is_read_as_it_is_meant_is_bound(measure: Measure) -> None:
    assert bind(rollup(measure, keys=("colour",)), COLUMNS, 100).width > 0


def test_columns_know_whether_they_are_null_and_whose_they_are() -> None:
    payments = event_columns("payment", {"source": ROSTER})
    operations = event_columns("operation", {"source": ROSTER})
    assert [name for name, column in payments.items() if column.person] == ["payer_id"]
    assert not any(column.nullable for column in payments.values())
    assert [name for name, column in operations.items() if column.nullable] == ["amount_fen", "days"]
    assert not any(column.person for column in operations.values())


EXTREMES = Rollup(
    name="extremes",
    topic="payments",
    keys=("scene",),
    measures={"most": largest("payee_id"), "least": smallest("payee_id")},
)


def derive(window: Window, merged: Merged) -> Iterator[Row]:
    yield Row()


METRIC = Metric(
    name="m", row=Row, key=("window",), rollups=(EXTREMES,), derive=derive, windows=("day",), proof="SELECT 1"
)


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ([GREATEST], GREATEST - 1, GREATEST - 1),
        ([GREATEST - 1], GREATEST - 1, GREATEST - 1),
        ([GREATEST, 5], 5, GREATEST - 1),
        ([5, GREATEST], 5, GREATEST - 1),
        ([-GREATEST - 1, GREATEST], -GREATEST - 1, GREATEST - 1),
        ([-GREATEST - 1], -GREATEST - 1, -GREATEST - 1),
        ([0], 0, 0),
        ([-1, 0], -1, 0),
        ([0, 1], 0, 1),
    ],
)
def test_extremes_at_the_ends_of_int64_are_held_and_end_nothing(told: list[int], least: int, most: int) -> None:
    plan = plan_for([METRIC])
    state = ShardState(plan, 0)
    events = [payment(seq=1 + i, payee_id=value) for i, value in enumerate(told)]
    log = [*(tick(name, 0, 0, 0, kind="OPEN") for name in ROSTER), *events]
    state.fold(rows(plan, log), 0, len(log) - 1)
    (partial,) = state.take().partials
    layout = plan.rollups[0].layout
    row = np.zeros(layout.width, np.int64)
    unpack_into(layout, row, partial.folded)
    dining = layout.symbols[0].index("DINING")
    assert (layout.view(row, "least")[dining], layout.view(row, "most")[dining]) == (least, most)
    assert np.count_nonzero(row) == 2
