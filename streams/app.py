"""The Faust app of a worker: one agent a topic, the rest is the engine's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import faust
from yarl import URL

from schemas import catalog
from streams import fetch, metrics
from streams.engine import Engine
from streams.folding import FoldTask, decoder_of
from streams.merging import MergeTask
from streams.plan import plans, told
from streams.runrecord import wait_for_run
from streams.telemetry import Telemetry
from streams.transport import transport_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from faust.types import StreamT

    from streams.fetch import Chunk
    from streams.options import Options
    from streams.task import Task
    from streams.transport import Consumer

HEARTBEAT_S = 1.5
COMMIT_OFFSETS_S = 2.0
"""How often the group's offsets follow the transactions; lag tools read them."""

BUFFERED_CHUNKS = 8
"""Chunks a topic may have waiting before its partitions are paused."""

CHUNKS_A_POLL = 8
"""Chunks taken from the fetcher at once: decoded columns in memory, so kept small."""


class App(faust.App):
    """A Faust app that knows its engine."""

    engine: Engine


def create_app(options: Options, run: Mapping[str, Any] | None = None) -> App:
    """The app of one worker, ready to start; `app.engine` owns its shards.

    run: the run record; None reads it from the topic `runs`, waiting until it is there.

    Raises:
        RunMismatchError: the topics hold a run of another topology.
    """
    run = wait_for_run(options) if run is None else run
    known = told(metrics.load(), run["roster"])  # before the ids: a metric of one's own gets its id when loaded
    ids = catalog.ids(options.registry)
    tasks: dict[str, Callable[[int], Task]] = {}
    decoders: dict[str, fetch.RowsDecoder] = {}
    by_topic = plans(options.topology, run, known)
    for name, plan in by_topic.items():
        topic = options.topic(name)
        decoders[topic] = decoder_of(plan, ids)
        tasks[topic] = partial(FoldTask, options, plan, ids)
    for metric in known.values():
        if metric.rollups:
            tasks[options.topic(f"partials.{metric.name}")] = partial(MergeTask, options, metric, by_topic, ids)
    fetch.install(decoders, raw=tasks.keys() - decoders.keys())
    return assembled(options, Engine(options, tasks, Telemetry()))


def assembled(options: Options, engine: Engine) -> App:
    """The app of one worker around its engine: settings, transport, and an agent for every topic the engine owns."""
    brokers = [URL(f"kafka://{server.strip()}") for server in options.broker.split(",")]
    options.datadir.mkdir(parents=True, exist_ok=True)
    app = App(
        options.group,
        broker=brokers,
        store="memory://",
        datadir=str(options.datadir / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=options.fetch_bytes,
        broker_max_poll_records=CHUNKS_A_POLL,
        broker_session_timeout=options.session_timeout_s,
        broker_heartbeat_interval=min(HEARTBEAT_S, options.session_timeout_s / 4),
        broker_commit_interval=COMMIT_OFFSETS_S,
        broker_check_crcs=True,
        stream_buffer_maxsize=BUFFERED_CHUNKS,
        stream_wait_empty=False,
        logging_config=None,
    )
    app.transport = transport_for(engine)(brokers, app)
    app.engine = engine

    async def own_what_is_assigned(*_: Any, **__: Any) -> None:
        engine.attach(cast("Consumer", app.consumer))
        await engine.take_over()

    app.on_rebalance_complete.connect(own_what_is_assigned, weak=False)
    for topic in sorted(engine.topics):
        _fold_topic(app, engine, topic)
    return app


def _fold_topic(app: App, engine: Engine, topic: str) -> None:
    async def fold(stream: StreamT[Chunk]) -> None:
        async for chunk in stream:
            await engine.fold(chunk)

    app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"), name=f"fold.{topic}")(fold)
