"""How `jinliu verify` looks to a person: progress while it reads, then what was compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SHOWN = 20
STAGES = {"reading": "reading the raw topics", "proving": "recomputing the metrics"}


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Any], None]]:
    """A function that takes the oracle's progress and draws it on standard error."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bars:
        tasks: dict[str, Any] = {}

        def tell(found: Any) -> None:
            if found.stage not in tasks:
                tasks[found.stage] = bars.add_task(STAGES.get(found.stage, found.stage), total=found.total)
            bars.update(tasks[found.stage], completed=found.done, total=found.total)

        yield tell


def show(verdict: Any) -> None:
    """What was compared, and each difference (the first twenty)."""
    console = Console(highlight=False)
    document = verdict.as_dict()
    console.print(f"{document['compared']:,} rows compared, {document['different']:,} different", markup=False)
    if verdict.unread or verdict.unmerged:
        console.print(
            f"left out: {verdict.unread:,} raw records that no worker has read yet, {verdict.unmerged:,} windows not "
            "merged yet; let `jinliu up` or `jinliu process` go on, then verify again",
            markup=False,
        )
    for each in document["differences"][:SHOWN]:
        console.print(
            f"  {each['metric']} {each['row']}: {each['field']} is {each['found']}, expected {each['expected']}",
            markup=False,
        )
    if len(document["differences"]) > SHOWN:
        console.print(f"  ... and {len(document['differences']) - SHOWN:,} more", markup=False)
