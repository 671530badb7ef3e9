"""Reading metric topics from Python: typed rows, committed ones only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import fastavro
import kafka.errors
from kafka import KafkaConsumer, TopicPartition

from jinliu import broker as embedded
from jinliu.settings import remembered
from schemas import catalog
from schemas.errors import JinliuError
from streams import metrics

log = logging.getLogger("jinliu.subscription")

POLL_MS = 200
ANSWER_S = 5.0
HEADER_BYTES = 5


class SubscriptionError(JinliuError):
    """A metric cannot be subscribed to."""


class MetricReader:
    """The rows of some metric topics from their beginning, in log order per topic.

    What somebody else wrote there is passed over with a warning that names it.

    Parameters
    ----------
    names : sequence of str
        Metrics, such as `market-share`.
    broker : str
        Bootstrap servers.

    Raises
    ------
    SubscriptionError
        For an unknown metric, a broker that does not answer, or topics that are not there.
    """

    def __init__(self, names: Sequence[str], broker: str, prefix: str = "", registry: str | None = None) -> None:
        known = metrics.load()
        for name in names:
            if name not in known:
                raise SubscriptionError(f"no metric {name!r}; there are {', '.join(known)}")
        ids = catalog.ids(registry)
        self._rows = {prefix + f"metrics.{name}": (name, known[name].row, ids[name]) for name in names}
        self._schemas = {name: fastavro.parse_schema(_plain(catalog.schema(name).parsed)) for name in names}
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=broker,
                group_id=None,
                client_id="jinliu-subscribe",
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )
        except kafka.errors.KafkaError as error:
            raise SubscriptionError(
                f"no Kafka broker answers at {broker}: {error}; is it up, and is the address right?"
            ) from error
        there = self._consumer.topics()
        places = []
        for topic, (name, _, _) in self._rows.items():
            if topic not in there:
                self._consumer.close()
                raise SubscriptionError(
                    f"metric {name} has no topic {topic} at {broker}: start a run first (jinliu up), or check --prefix"
                )
            places += [
                TopicPartition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]
        self._consumer.assign(places)
        self._consumer.seek_to_beginning(*places)
        self._places = places

    def poll(self, timeout_ms: int = POLL_MS) -> list[tuple[str, Any]]:
        """(metric, row) of what has arrived since the last call; waits for the first up to `timeout_ms`."""
        return [
            found
            for records in self._consumer.poll(timeout_ms, max_records=5000).values()
            for record in records
            for found in self._read(record)
        ]

    def _read(self, record: Any) -> Iterator[tuple[str, Any]]:
        if record.value is None:
            return
        name, row, schema_id = self._rows[record.topic]
        try:
            body = _body(record.value, schema_id, self._schemas[name])
        except Exception as error:  # whatever a stranger's bytes make the decoder raise
            log.warning(
                "%s partition %d offset %d is no row of metric %s and was passed over: %s; who else writes there?",
                record.topic, record.partition, record.offset, name, str(error) or type(error).__name__,
            )  # fmt: skip
            return
        yield name, row(**body)

    def to_end(self) -> Iterator[tuple[str, Any]]:
        """(metric, row) up to where the topics end now."""
        ends = self._consumer.end_offsets(self._places)
        while any(self._consumer.position(place) < ends[place] for place in self._places):
            yield from self.poll()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _body(value: bytes, schema_id: int, schema: Any) -> dict[str, Any]:
    """The fields of a row. Raises ValueError, or whatever the decoder does, for bytes that are none."""
    if len(value) < HEADER_BYTES or value[0] != 0:
        raise ValueError(f"{len(value)} bytes without the Confluent header")
    if (found := int.from_bytes(value[1:HEADER_BYTES], "big")) != schema_id:
        raise ValueError(f"schema id {found}, not {schema_id}")
    stream = BytesIO(value[HEADER_BYTES:])
    body: Any = fastavro.schemaless_reader(stream, schema, None)
    if left := len(stream.read()):
        raise ValueError(f"{left} bytes behind the row")
    return dict(body)


def _plain(schema: Any) -> Any:
    """The schema without logical types: times stay the integers that the row classes hold."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    return schema


@contextlib.contextmanager
def broker_of(broker: str | None, data: Path) -> Iterator[str]:
    """The broker named, or the data directory's: the one that runs there, else one started for the while.

    Raises
    ------
    SubscriptionError
        When no broker is named and the directory holds no run, or the broker named does not answer.
    """
    if broker is not None:
        if not any(embedded.answers(server.strip(), ANSWER_S) for server in broker.split(",")):
            raise SubscriptionError(f"no Kafka broker answers at {broker}; is it up, and is the address right?")
        yield broker
        return
    if not (data / "broker").is_dir():
        raise SubscriptionError(
            f"{data} holds no run: start one with `jinliu up --data {data}`, or name a broker with --broker HOST:PORT"
        )
    with embedded.shared(data) as address:
        yield address


def subscribe(
    metric: str,
    *,
    broker: str | None = None,
    data: str | Path = ".jinliu",
    prefix: str = "",
    registry: str | None = None,
    follow: bool = True,
) -> Iterator[Any]:
    """Typed rows of a metric, oldest first.

    Parameters
    ----------
    metric : str
        Name, such as `market-share`; the rows are instances of that metric's row class, with its fields and units.
    broker, data : str
        Bootstrap servers, or else the data directory of an embedded run (its broker is started if it is down).
    follow : bool
        Go on waiting for rows at the end of the topic, for ever; else stop there.
    registry : str
        URL of the schema registry that the run uses, if any; a data directory knows its own.

    Raises
    ------
    SubscriptionError
        For an unknown metric, no broker, no run.

    Examples
    --------
    >>> for row in jinliu.subscribe("market-share"):  # doctest: +SKIP
    ...     if row.status == "FINAL" and row.window == "day":
    ...         print(row.window_start, row.channel, row.scene, row.share)
    """
    chosen = registry or (remembered(Path(data)).get("registry") if broker is None else None)
    with broker_of(broker, Path(data)) as address, MetricReader([metric], address, prefix, chosen) as reader:
        for _, row in reader.to_end():
            yield row
        while follow:
            for _, row in reader.poll():
                yield row
