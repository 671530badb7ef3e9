"""The broker's archive: classes loaded and linked, methods profiled; Kafka starts fast with it and is fast at once.

It is recorded while the broker does what it will do later: ready batches, transactions, committed readers. Without the
profiles, the first ten million events cost the broker twice the CPU (a young JVM interprets, counts and compiles).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinliu import jvm
from jinliu.bed import bed, one_to_one
from jinliu.subscription import MetricReader

SECONDS = 16
"""Of the national peak, told and folded at full speed: some 2.3 million events."""


def prepare() -> None:
    """Record the archive, once. Raises BedError when the run it is recorded in does not end."""
    archive = jvm.archive()
    if archive.is_file():
        return
    part = archive.with_suffix(f".part{os.getpid()}")
    try:
        _rehearse(part)
        if part.is_file():
            part.replace(archive)
    finally:
        part.unlink(missing_ok=True)


def _rehearse(record: Path) -> None:
    """Tell a span and fold it at once; the broker's JVM writes its archive to `record` as it ends."""
    received: dict[Any, int] = {}
    with bed(one_to_one(SECONDS), record) as made:
        made.worker()
        told = made.fill()

        def folded() -> bool:
            for _, row in reader.poll(10):
                received[row.topic, row.shard, row.source] = row.received
            return sum(received.values()) == told

        with MetricReader(["accounting"], made.address) as reader:
            made.until("the worker to fold everything", folded)
