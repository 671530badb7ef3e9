"""`jinliu bench`: what an event costs, part by part, on this machine, beside stock Faust doing the same job.

Every entry has a broker and a data directory of its own, checks the result it timed, and ends what it started. CPU per
event is the steady figure; events per second depend on what else runs on the machine.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from jinliu.bench import emitting, folding, latency, pipeline, stock
from jinliu.bench.errors import BenchError
from jinliu.bench.figures import say

Entry = Callable[[int, int], dict[str, Any]]

ENTRIES: Mapping[str, Entry] = {
    "fold": folding.fold,
    "fold-small": folding.fold_small,
    "fold-loans": folding.fold_loans,
    "emit": emitting.emit,
    "pipeline": pipeline.pipeline,
    "latency": latency.latency,
    "stock-faust": stock.each,
    "stock-faust-batched": stock.batched,
}
"""Name to the entry, which is called with (events, seconds)."""


def run(names: tuple[str, ...], events: int, seconds: int) -> dict[str, Any]:
    """Measure the entries named (none: all), in the order of `ENTRIES`.

    Parameters
    ----------
    events : int
        Events of the larger entries; the smaller ones scale with it.
    seconds : int
        Length of the paced entry.

    Returns
    -------
    dict
        Entry name to its figures: `cpu_us_per_event` and `events_per_s` in each, and what explains them; where `fold`
        was measured too, `times_fold` in the stock entries: their CPU per event over its.

    Raises
    ------
    BenchError
        For an unknown entry, an entry that does not end in time, or one whose result is wrong.
    """
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        raise BenchError(f"no bench entry {unknown[0]!r}; there are {', '.join(ENTRIES)}")
    found: dict[str, Any] = {}
    former = signal.signal(signal.SIGTERM, _exit)
    try:
        for name, entry in ENTRIES.items():
            if not names or name in names:
                say(f"{name} ...")
                found[name] = entry(events, seconds)
                figures = found[name]
                say(f"{name}: {figures['cpu_us_per_event']:g} CPU-us/event, {figures['events_per_s']:,} events/s")
    finally:
        signal.signal(signal.SIGTERM, former)
    return compared(found)


def _exit(number: int, _: object) -> None:
    """SIGTERM ends the bench as Ctrl-C does: its broker and children with it."""
    raise SystemExit(128 + number)


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """The same figures, with the ratio to `fold` in the entries of stock Faust."""
    if "fold" in found:
        for name, figures in found.items():
            if name.startswith("stock-"):
                figures["times_fold"] = round(figures["cpu_us_per_event"] / found["fold"]["cpu_us_per_event"], 1)
    return found


def show(found: Mapping[str, Any]) -> None:
    """Print the figures as a table."""
    table = Table("entry", "CPU-us/event", "events/s", "and", title="Bench", title_justify="left")
    for name, figures in found.items():
        more = ", ".join(f"{key} {_text(value)}" for key, value in figures.items() if key not in table_columns())
        table.add_row(name, f"{figures['cpu_us_per_event']:g}", f"{figures['events_per_s']:,}", more)
    Console().print(table)


def table_columns() -> tuple[str, str]:
    """What every entry has."""
    return "cpu_us_per_event", "events_per_s"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_text(each)}" for key, each in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) else str(value)
