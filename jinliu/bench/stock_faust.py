"""The market-share job on stock Faust: what a columnar worker is measured against.

Run as a child process by `jinliu bench`: it folds the first `--events` payments of a topic into two tables (count and
amount by minute, channel and scene), event by event or in batches of `take(1000)`, and prints one JSON document with
its CPU seconds, counted from the first event folded to the last, and the result, which the parent holds against the
truth.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from io import BytesIO
from typing import Any

import fastavro
import faust

from jinliu.bench.stock import HEADER_BYTES, WINDOW_MS
from schemas import catalog


def cpu_seconds() -> float:
    """User and system CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Job:
    """Counts what was folded and ends the process when it was enough."""

    def __init__(self, events: int, counts: Any, amounts: Any) -> None:
        self.events, self.counts, self.amounts = events, counts, amounts
        payment = catalog.schema("payment")
        self.payment_id, self.payment = payment.id, fastavro.parse_schema(dict(payment.parsed))
        self.folded = 0
        self.wall = self.cpu = 0.0

    def read(self, value: bytes) -> tuple[str, int] | None:
        """Key of the table row and the amount, or None for a tick or a payment that did not succeed."""
        if self.folded == 0:
            self.wall, self.cpu = time.monotonic(), cpu_seconds()
        if int.from_bytes(value[1:HEADER_BYTES], "big") != self.payment_id or self.folded == self.events:
            return None
        self.folded += 1
        event: Any = fastavro.schemaless_reader(BytesIO(value[HEADER_BYTES:]), self.payment, None)
        if event["outcome"] != "SUCCESS":
            return None
        start = round(event["event_time"].timestamp() * 1000) // WINDOW_MS * WINDOW_MS
        return f"{start}|{event['channel']}|{event['scene']}", event["amount_fen"]

    def finish_when_done(self) -> None:
        """Print the result and leave, as soon as the wanted number of events is folded."""
        if self.folded < self.events:
            return
        result = {key: [self.counts[key], self.amounts[key]] for key in self.counts}
        report = {"events": self.folded, "wall_s": time.monotonic() - self.wall, "cpu_s": cpu_seconds() - self.cpu}
        report["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(report | {"result": result}), file=sys.__stdout__, flush=True)  # Faust logs what is printed
        os._exit(0)


def create_app(broker: str, topic: str, events: int, batch: int, datadir: str) -> faust.App:
    """The stock application: one topic, two tables with changelogs, default settings but for the session times."""
    app = faust.App(
        f"stock-faust-{os.getpid()}",
        broker=f"kafka://{broker}",
        store="memory://",
        datadir=datadir,
        topic_partitions=1,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    # In a batch Faust knows no current event to take the changelog's partition from.
    options: Any = {"default": int, "partitions": 1, "use_partitioner": batch > 1}
    counts, amounts = app.Table("payments", **options), app.Table("amount_fen", **options)
    job = Job(events, counts, amounts)

    async def each(stream: Any) -> None:
        async for value in stream:
            row = job.read(value)
            if row is not None:
                key, amount = row
                counts[key] += 1
                amounts[key] += amount
            job.finish_when_done()

    async def batched(stream: Any) -> None:
        async for values in stream.take(batch, within=1.0):
            folded: dict[str, list[int]] = {}
            for row in map(job.read, values):
                if row is not None:
                    cell = folded.setdefault(row[0], [0, 0])
                    cell[0] += 1
                    cell[1] += row[1]
            for key, (count, amount) in folded.items():
                counts[key] += count
                amounts[key] += amount
            job.finish_when_done()

    app.agent(source)(batched if batch > 1 else each)
    return app


def main() -> None:
    """Entry of the child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--datadir", required=True)
    options = parser.parse_args()
    app = create_app(options.broker, options.topic, options.events, options.batch, options.datadir)
    sys.argv = ["stock-faust", "--datadir", options.datadir, "worker", "-l", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()
