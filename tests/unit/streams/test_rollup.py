"""What a rollup may read of which column, and extremes at the ends of int64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streams.errors import DefinitionError
from streams.foldkernel import fold_pass
from streams.measures import Measure, count, distinct, histogram, largest, overlap, smallest, total
from streams.metric import Folded, Merged, Metric, Window
from streams.openwindows import BoundRollup, OpenWindows
from streams.packing import unpack_into
from streams.plan import event_columns
from streams.rollup import Column, Rollup, bind
from streams.rows import Row
from streams.shard import ShardState
from streams.windows import nested
from tests.unit.streams.chunks import DAY, ROSTER, payment, plan_for, rows, tick

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
    (rollup(overlap("payee", by="colour")), "measure 'm': `overlap` .* 'payee' is not; only 'payer' is allowed"),
    (rollup(overlap("payer", by="fen")), "measure 'm': 'fen' has no closed set"),
    (rollup(overlap("payer", by="mood")), "measure 'm': 'mood' may be null, which `by`"),
    (rollup(distinct("payer", times="refund")), "'refund' may be null, which `distinct`"),
    (rollup(overlap("payer", by="colour", times="score")), "'score' is a double, which `overlap`"),
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
        distinct("payer", times="fen"), overlap("payer", by="colour"), largest("payee"),
        histogram("fen", (1, 2), times="payee"),
    ],
)  # fmt: skip
def test_what_is_read_as_it_is_meant_is_bound(measure: Measure) -> None:
    assert bind(rollup(measure, keys=("colour",)), COLUMNS, 100).width > 0


def test_columns_know_whether_they_are_null_and_whose_they_are() -> None:
    payments = event_columns("payment", {"source": ROSTER}, {}, "payer_id")
    operations = event_columns("operation", {"source": ROSTER}, {}, None)
    assert [name for name, column in payments.items() if column.person] == ["payer_id"]
    assert not any(column.nullable for column in payments.values())
    assert [name for name, column in operations.items() if column.nullable] == ["amount_fen", "days", "count"]
    assert not any(column.person for column in operations.values())


def test_an_integer_with_narrow_bounds_is_a_key() -> None:
    columns = COLUMNS | {"month": Column("int32", tuple(range(-2, 4)), low=-2)}
    aged = Rollup(
        name="aged",
        topic="things",
        keys=("month", "colour"),
        where={"month": (-1, 0, 3)},
        measures={
            "n": count(),
            "fen": total("fen"),
            "by_month": total("fen", by="month"),
            "old": count(where={"month": 3}),
        },
    )
    layout = bind(aged, columns, 100)
    windows = OpenWindows(BoundRollup("m", layout, nested(("day",), 0, DAY, DAY)), fold_pass(layout), 1)
    events = {
        "event_time": np.zeros(5, np.int64),
        "month": np.array([-2, -1, 0, 3, 3], np.int32),
        "colour": np.array([0, 1, 1, 0, 0], np.int8),
        "fen": np.array([1, 2, 4, 8, 16], np.int64),
    }
    windows.fold(np.ones(5, np.uint8), events, 0)
    folded = Folded(layout)
    folded.add(windows.close(DAY)[0].packed)
    assert folded.symbols("month") == (-2, -1, 0, 1, 2, 3)
    assert folded["n"].tolist() == [[0, 0], [0, 1], [0, 1], [0, 0], [0, 0], [2, 0]]
    assert folded["fen"].sum(axis=1).tolist() == [0, 2, 4, 0, 0, 24]
    assert folded["by_month"][5, 0].tolist() == [0, 0, 0, 0, 0, 24]
    assert folded["old"].tolist()[5] == [2, 0]


def test_which_integers_are_keys() -> None:
    found = event_columns("payment", {"source": ROSTER}, {"weight": (1, 100), "amount_fen": (0, 10**10)}, None)
    assert found["weight"].symbols == tuple(range(1, 101))
    assert (found["weight"].low, found["weight"].code(7)) == (1, 7)
    assert found["amount_fen"].symbols is None
    assert found["latency_ms"].symbols is None


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
