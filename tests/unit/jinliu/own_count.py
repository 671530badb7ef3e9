"""`metrics.how-many`: how many payments a window has, which is also the key of its only row, so that each provisional
row takes the one before back. A user's own metric, for tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from streams.measures import count
from streams.metric import Merged, Metric, Window
from streams.rollup import Rollup
from streams.rows import Row, doc


@dataclass(slots=True, kw_only=True)
class HowManyRow(Row):
    """A window with so many payments."""

    payments: int = doc("Payments in the window.")


PAID = Rollup(name="paid", topic="payments", keys=(), measures={"payments": count()})


def derive(window: Window, merged: Merged) -> Iterator[HowManyRow]:
    if payments := int(merged["paid"]["payments"]):
        yield HowManyRow(payments=payments)


METRIC = Metric(
    name="how-many",
    rollups=(PAID,),
    row=HowManyRow,
    key=("window", "window_start", "payments"),
    derive=derive,
    windows=("hour", "6h"),
    proof="SELECT '{window}' AS window, {w} AS window_start, count(*)::BIGINT AS payments FROM payments GROUP BY 2",
)
