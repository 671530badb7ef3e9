"""Alerts about metric rows: those that the expected rows call for by the metrics' alarms, and those on topic `alerts`.

The merge writes the alerts of a closed row in the transaction that holds the row and the position, so they come exactly
once, as the row does; one that lies there twice is one too many. Judged are the windows that are closed below
`reached` and not `unmerged`: their rows were committed before look 1 of `jinliu.oracle.moment`, and their alerts with
them, hence below the end that is settled for topic `alerts` later. Alerts of other windows of the run say nothing yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime, timedelta
from typing import Any

from jinliu.oracle.alerts import copied
from jinliu.oracle.compare import Key
from streams.metric import Metric

KEY = ("rule", "subject", "event_time", "copy")
"""What names an alert of a row; `copy` is 0, and 1 for one that lies there a second time."""
WINDOW = ("window", "window_start")
DAY_MS = 86_400_000
Place = tuple[str, int]


def expected(metric: Metric, rows: Iterable[Mapping[str, Any]], judged: Set[Place]) -> Iterator[dict[str, Any]]:
    """The alerts that expected rows call for, but for their text. judged: windows (name, start in UTC ms)."""
    for row in rows:
        if (row["window"], row["window_start"]) not in judged:
            continue
        for alarm in metric.alarms:
            seen = row[alarm.field]
            met = all(row[name] in _several(wanted) for name, wanted in alarm.where.items())
            excused = any(row[name] in _several(wanted) for name, wanted in alarm.unless.items())
            if seen is None or not seen > alarm.above or excused or not met:
                continue
            yield {
                "rule": alarm.rule,
                "event_time": row["window_end"],
                "topic": f"metrics.{metric.name}",
                "shard": 0,
                "offset": -1,
                "subject": " ".join(
                    (
                        _window(metric, (row["window"], row["window_start"])),
                        *("-" if row[name] is None else str(row[name]) for name in metric.key if name not in WINDOW),
                    )
                ),
                "institution": row[alarm.institution],
                "value": float(seen),
                "limit": float(alarm.above),
            }


def lying(
    metric: Metric, alerts: Iterable[Mapping[str, Any]], places: Iterable[Place], judged: Set[Place]
) -> Iterator[Mapping[str, Any]]:
    """Of the alerts on the topic those by the metric's alarms, but for windows of the run that are not judged.

    places: all windows of the run that the metric has.
    """
    rules = {alarm.rule for alarm in metric.alarms}
    open_yet = {_window(metric, place) for place in places if place not in judged}
    for alert in alerts:
        mine = alert["topic"] == f"metrics.{metric.name}" and alert["rule"] in rules
        if mine and " ".join(alert["subject"].split(" ")[:3]) not in open_yet:
            yield alert


def keyed(alerts: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """By KEY."""
    return copied(alerts, KEY)


def _several(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _window(metric: Metric, place: Place) -> str:
    """How the subject of an alert begins: metric, window and start."""
    name, start = place
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start)
    text = moment.strftime("%Y-%m-%d") if start % DAY_MS == 0 else moment.isoformat("T", "milliseconds")[:-6]
    return f"{metric.name} {name} {text}"
