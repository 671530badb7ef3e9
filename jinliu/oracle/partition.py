"""One partition from the broker to a Parquet file of its accepted events, with what its ticks say about windows.

Each partition is judged on its own, so partitions go to as many processes as there are cores; memory holds one chunk
each.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jinliu.oracle import spans
from jinliu.oracle.accept import Acceptor, Ledger
from jinliu.oracle.alerts import Alert
from jinliu.oracle.decode import Decoder
from jinliu.oracle.log import KafkaLog, Log
from jinliu.oracle.rules import Rules

POOLED = 400_000
"""Records from which starting processes (0.7 s each) pays."""
PROCESSES_MAX = 4


@dataclass(frozen=True, slots=True)
class Task:
    """One partition to judge.

    `schemas`: record name -> (id on the wire, text), the events first. `columns`: what to keep.
    """

    rules: Rules
    shard: int
    end: int
    schemas: Mapping[str, tuple[int, str]]
    columns: frozenset[str]
    path: Path


@dataclass(frozen=True, slots=True)
class Judged:
    """What a partition's log amounts to.

    `closed`: window name -> window start -> {source: events known missing}. `lacking`: the same up to that window.
    `alerts`: that its events call for.
    """

    topic: str
    shard: int
    path: Path
    records: int
    ledgers: Mapping[str, Ledger]
    closed: Mapping[str, Mapping[int, Mapping[str, int]]]
    lacking: Mapping[str, Mapping[int, Mapping[str, int]]]
    alerts: tuple[Alert, ...]


def judge(task: Task, log: Log) -> Judged:
    """Read, decode, judge and store one partition."""
    acceptor = Acceptor(task.rules, task.shard)
    decoder = Decoder(task.schemas)
    writer, records = None, 0
    try:
        for chunk in log.read(task.rules.topic, task.shard, task.end):
            decoded = decoder.decode(chunk.values)
            events = decoded.rows[task.rules.record].filter(pa.array(acceptor.feed(decoded, chunk.offsets)))
            records += len(chunk.values)
            stored = _stored(task, events)
            writer = writer or _writer(task.path, stored.schema)
            writer.write_batch(stored)
        if writer is None:
            stored = _stored(task, decoder.decode([]).rows[task.rules.record])
            writer = _writer(task.path, stored.schema)
    finally:
        if writer is not None:
            writer.close()
    closed = {
        name: {calendar.windows[i].start: dict(calendar.missing.get(i, {})) for i in range(calendar.upto)}
        for name, calendar in acceptor.calendars.items()
    }
    lacking = {
        name: {calendar.windows[i].start: calendar.lacking(i) for i in range(calendar.upto)}
        for name, calendar in acceptor.calendars.items()
    }
    alerts = tuple(acceptor.alerts)
    return Judged(task.rules.topic, task.shard, task.path, records, acceptor.ledgers, closed, lacking, alerts)


def _stored(task: Task, events: pa.RecordBatch) -> pa.RecordBatch:
    """The columns a proof may ask for: the record's, the shard, and the start of each window."""
    times = events.column("event_time").to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    columns = {name: events.column(name) for name in events.schema.names if name in task.columns}
    columns["shard"] = pa.array(np.full(len(times), task.shard, np.int64))
    for name in task.rules.windows:
        columns[f"window_start_{name}"] = pa.array(spans.starts(name, times))
    return pa.RecordBatch.from_pydict(columns)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    few = [
        f.name
        for f in schema
        if pa.types.is_string(f.type) or f.name.startswith("window_start_") or f.name in ("shard", "weight")
    ]
    return pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=few, write_statistics=False)


def _judge_remotely(task: Task, broker: str, prefix: str) -> Judged:
    log = KafkaLog(broker, prefix)
    try:
        return judge(task, log)
    finally:
        log.close()


Progress = Callable[[int, int], None]


def judge_all(
    tasks: list[Task], log: Log, remote: tuple[str, str] | None, on_progress: Progress | None
) -> list[Judged]:
    """All partitions, largest first. remote: (broker, prefix) where processes may read for themselves.

    on_progress is told (records read, records in all) as partitions are done.
    """
    total = sum(task.end for task in tasks)
    tell = on_progress or (lambda done, of: None)
    tasks = sorted(tasks, key=lambda task: (-task.end, task.rules.topic, task.shard))
    judged: list[Judged] = []
    done = 0
    processes = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, PROCESSES_MAX
    )
    if remote is None or total < POOLED or processes < 2:
        for task in tasks:
            judged.append(judge(task, log))
            done += task.end
            tell(done, total)
        return judged
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: dict[Future[Judged], int] = {pool.submit(_judge_remotely, task, *remote): task.end for task in tasks}
        while waiting:
            ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                done += waiting.pop(future)
                judged.append(future.result())
            tell(done, total)
    return judged


@contextmanager
def workshop() -> Iterator[Path]:
    """A directory for the Parquet files (some 60 bytes an event), removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="jinliu-verify-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
