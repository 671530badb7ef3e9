"""The broker's archive: classes loaded and linked, methods profiled; Kafka starts fast with it and is fast at once.

It is recorded while the broker does what it will do later: ready batches, transactions, committed readers. Without the
profiles, the first ten million events cost the broker twice the CPU (a young JVM interprets, counts and compiles).
"""

from __future__ import annotations

import os

from jinliu import jvm
from jinliu.bench.bed import one_to_one
from jinliu.bench.pipeline import everything

SECONDS = 16
"""Of the national peak, told and folded at full speed: some 2.3 million events."""


def prepare() -> None:
    """Record the archive, once. Raises BenchError when the run it is recorded in does not end."""
    archive = jvm.archive()
    if archive.is_file():
        return
    part = archive.with_suffix(f".part{os.getpid()}")
    try:
        everything(one_to_one(SECONDS), record=part)
        if part.is_file():
            part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
