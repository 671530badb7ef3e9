"""`metrics.paid-so-far`: what has been paid since the run began, by channel. A user's own metric, for tests."""

from collections.abc import Iterator
from dataclasses import dataclass

from streams.alarm import Alarm
from streams.measures import count, total
from streams.metric import Merged, Metric, Window
from streams.rollup import Rollup
from streams.rows import Row, doc


@dataclass(slots=True, kw_only=True)
class PaidRow(Row):
    """Payments of one channel up to the end of the window, and in it."""

    channel: str = doc("Channel.")
    payments: int = doc("Payments in the window.")
    payments_so_far: int = doc("Payments since the run began.")
    paid_so_far_fen: int = doc("Their amounts, fen.")


NOW = Rollup(name="now", topic="payments", keys=("channel",), measures={"payments": count()})
SO_FAR = Rollup(
    name="so-far",
    topic="payments",
    keys=("channel",),
    measures={"payments": count(), "paid": total("amount_fen")},
    cumulative=True,
)


def derive(window: Window, merged: Merged) -> Iterator[PaidRow]:
    now, so_far = merged["now"], merged["so-far"]
    for i, channel in enumerate(so_far.symbols("channel")):
        if so_far["payments"][i]:
            yield PaidRow(
                channel=str(channel),
                payments=int(now["payments"][i]),
                payments_so_far=int(so_far["payments"][i]),
                paid_so_far_fen=int(so_far["paid"][i]),
            )


METRIC = Metric(
    name="paid-so-far",
    rollups=(NOW, SO_FAR),
    row=PaidRow,
    key=("window", "window_start", "channel"),
    derive=derive,
    windows=("hour", "2h", "6h"),
    alarms=(
        Alarm(
            rule="much-paid",
            field="payments_so_far",
            above=11,
            institution="channel",
            where={"window": ("hour", "2h")},
            unless={"window": "6h"},
            text="{channel} paid {value:.0f} times up to the window of {window_start}, above {limit:.0f}.",
        ),
    ),
    proof="""
        SELECT '{window}' AS window, window_start, channel,
            count(*) FILTER (WHERE {w} = window_start)::BIGINT AS payments,
            count(*)::BIGINT AS payments_so_far, sum(amount_fen)::BIGINT AS paid_so_far_fen
        FROM windows JOIN payments ON event_time < window_end GROUP BY ALL
    """,
)
