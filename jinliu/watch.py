"""`jinliu watch`: the rows of a metric as they come."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from collections.abc import Collection
from typing import Any

from jinliu.live import day
from jinliu.settings import Settings
from jinliu.subscription import MetricReader, broker_of
from streams import metrics

HEAD = ("window", "window_start", "window_end", "status", "revision", "missing")


def watch(settings: Settings, metric: str, *, once: bool, final: bool, as_json: bool, stop: threading.Event) -> None:
    """Print rows, oldest first: one JSON document a line, or a line a person can read, without nulls and counts of 0.

    Raises SubscriptionError for an unknown metric, no broker, no run; or when the broker goes away.
    """
    with (
        broker_of(settings.broker, settings.data) as address,
        MetricReader([metric], address, settings.prefix, settings.registry) as reader,
    ):
        key = metrics.load()[metric].key
        for _, row in itertools.chain(reader.to_end(stop), () if once else reader.follow(stop)):
            _print(row, key, final, as_json)
            if stop.is_set():
                return


def _print(row: Any, key: Collection[str], final: bool, as_json: bool) -> None:
    fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if final and fields.get("status") == "PROVISIONAL":
        return
    if as_json:
        print(json.dumps(fields, ensure_ascii=False), flush=True)
        return
    head = ""
    if "window" in fields:
        head = f"{fields['window']} {day(fields['window_start'])} {fields['status'].lower()} r{fields['revision']}"
        if fields["missing"]:
            head += f" missing {fields['missing']:,}"
    in_head = HEAD if head else ()
    told = {
        name: value
        for name, value in fields.items()
        if name not in in_head and value is not None and (name in key or not _is_zero(value))
    }
    rest = "  ".join(f"{name} {_text(value)}" for name, value in told.items())
    print(f"{head}  {rest}".strip(), flush=True)


def _is_zero(value: Any) -> bool:
    """Whether a value is a count or amount of 0: wide rows have many."""
    return isinstance(value, int) and not isinstance(value, bool) and value == 0


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
