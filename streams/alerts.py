"""Limits crossed and rules broken: records of topic `alerts`, in the transaction that holds what they are of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas import wire
from streams.partials import PROVISIONAL
from streams.transaction import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.metric import Metric

TOPIC = "alerts"
DAY_MS = 86_400_000
OF_A_ROW = -1
"""Stands in place of an offset where an alert is of a metric's row."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A record `alert`, field by field: event_time in UTC ms; topic, shard and offset say where the event lies.

    Of a metric's row they are the window's end, the metric's topic, 0 and OF_A_ROW; rule, subject and event_time name
    it.
    """

    rule: str
    event_time: int
    topic: str
    shard: int
    offset: int
    subject: str
    institution: str
    value: float | None
    limit: float | None
    text: str

    def record(self, topic: str, ids: Mapping[str, int]) -> Record:
        """The record of the topic of alerts with this full name."""
        return Record(topic, 0, self.rule.encode(), wire.encode("alert", asdict(self), ids))


def raised(metric: Metric, row: Any) -> Iterator[Alert]:
    """The alerts that a row raises by the metric's alarms; none while its window is open."""
    if row.status == PROVISIONAL:
        return
    for alarm in metric.alarms:
        value = alarm.value(row)
        if value is None:
            continue
        window = {"window": row.window, "window_start": _moment(row.window_start)}
        others = {name: _text(getattr(row, name)) for name in metric.key if name not in window}
        yield Alert(
            rule=alarm.rule,
            event_time=row.window_end,
            topic=f"metrics.{metric.name}",
            shard=0,
            offset=OF_A_ROW,
            subject=" ".join((metric.name, *window.values(), *others.values())),
            institution=str(getattr(row, alarm.institution)),
            value=value,
            limit=float(alarm.above),
            text=alarm.sentence(value, window | others),
        )


def _moment(time_ms: int) -> str:
    """The date, with the time where it is not midnight."""
    return str(np.datetime64(time_ms, "ms").astype("datetime64[ms]" if time_ms % DAY_MS else "datetime64[D]"))


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
