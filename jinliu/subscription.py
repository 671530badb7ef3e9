"""Reading metric topics from Python: typed rows, committed ones only."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import fastavro
from kafka.structs import TopicPartition

from jinliu import broker as embedded
from jinliu.settings import remembered
from producers.errors import ProducerError
from producers.logs import LogConsumer, Record
from schemas import catalog
from schemas.errors import JinliuError
from streams import metrics

log = logging.getLogger("jinliu.subscription")

POLL_MS = 200
ANSWER_S = 5.0
SILENT_S = 30.0
"""How long a broker may be away while its rows are read: one that comes back sooner is read on."""
STUCK_S = 60.0
"""How long a broker that answers may give nothing of what it says it has."""
LOOK_S, ASK_S = 1.0, 2.0
"""How often a silent broker is looked at, and how long it is asked for the ends of topics, deaf to signals."""
HEADER_BYTES = 5


class SubscriptionError(JinliuError):
    """A metric cannot be subscribed to."""


class _Patience:
    """With a broker that gives nothing: how long it has been away, or has owed what it has."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self.given()

    def given(self) -> None:
        """Something came."""
        self._looked = time.monotonic()
        self._away_since: float | None = None
        self._owes_since: float | None = None

    def check(self, wanted: str = "", trouble: str = "") -> None:
        """Nothing came. wanted: what should come, where anything should; trouble: what is known of why it does not.

        Raises SubscriptionError when the broker has been away for `SILENT_S`, or owed what is wanted for `STUCK_S`.
        """
        if time.monotonic() - self._looked < LOOK_S:
            return
        there = _answers(self._broker, LOOK_S)
        # Counted from the first look in vain: the process may have been stopped, or busy with its rows, before that.
        now = self._looked = time.monotonic()
        self._away_since = None if there else self._away_since or now
        self._owes_since = self._owes_since or now
        why = f" ({trouble})" if trouble else ""
        if self._away_since and now - self._away_since > SILENT_S:
            raise SubscriptionError(
                f"the Kafka broker at {self._broker} has not answered for {SILENT_S:.0f} s{why}; start it again, then "
                "this command"
            )
        if wanted and now - self._owes_since > STUCK_S:
            raise SubscriptionError(
                f"the Kafka broker at {self._broker} answers, but has not given {wanted} for {STUCK_S:.0f} s{why}"
            )


class MetricReader:
    """The rows of some metric topics from their beginning, in log order per topic.

    What somebody else wrote there is passed over with a warning that names it. A tombstone says that a provisional row
    was taken back, no later than its window's final rows come; it is passed over, too.

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
        self._broker = broker
        try:
            self._consumer = LogConsumer(broker, "jinliu-subscribe", "read_committed")
        except ProducerError as error:
            raise _absent(error) from error
        try:
            self._places = list(self._found())
        except BaseException:
            self._consumer.close()
            raise
        self._consumer.assign(self._places)

    def _found(self) -> Iterator[TopicPartition]:
        """The partitions to read. Raises SubscriptionError where a topic is not there."""
        try:
            there = self._consumer.topics()
        except ProducerError as error:
            raise _absent(error) from error
        for topic, (name, _, _) in self._rows.items():
            if topic not in there:
                raise SubscriptionError(
                    f"metric {name} has no topic {topic} at {self._broker}: start a run first (jinliu up), or check "
                    "--prefix"
                )
            for number in sorted(there[topic]):
                yield TopicPartition(topic, number)

    def poll(self, timeout_ms: int = POLL_MS) -> list[tuple[str, Any]]:
        """(metric, row) of what has arrived since the last call; waits for the first up to `timeout_ms`."""
        return [
            found
            for records in self._consumer.poll(timeout_ms, max_records=5000).values()
            for record in records
            for found in self._read(record)
        ]

    def _read(self, record: Record) -> Iterator[tuple[str, Any]]:
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

    def to_end(self, stop: threading.Event | None = None) -> Iterator[tuple[str, Any]]:
        """(metric, row) up to where the topics end now, or until `stop` is set.

        Raises SubscriptionError when the broker goes away meanwhile, or does not give what it has.
        """
        stop, patience = stop or threading.Event(), _Patience(self._broker)
        left = self._ends(stop, patience)
        while left and not stop.is_set():
            before = [self._consumer.position(place) for place in left]
            yield from self.poll()
            if before == [self._consumer.position(place) for place in left]:
                (topic, number), end = next(iter(left.items()))
                patience.check(f"{topic} partition {number} to offset {end}", self._consumer.trouble)
                continue
            patience.given()
            left = {place: end for place, end in left.items() if self._consumer.position(place) < end}

    def _ends(self, stop: threading.Event, patience: _Patience) -> dict[TopicPartition, int]:
        """Partitions that hold more than was read, and where they end now; none once `stop` is set."""
        while not stop.is_set():
            try:
                ends = self._consumer.end_offsets(self._places, ASK_S)
            except ProducerError as error:
                patience.check("the ends of its topics", str(error))
                continue
            return {place: end for place, end in ends.items() if self._consumer.position(place) < end}
        return {}

    def follow(self, stop: threading.Event | None = None) -> Iterator[tuple[str, Any]]:
        """(metric, row) as they come, until `stop` is set. Raises SubscriptionError when the broker goes away."""
        stop, patience = stop or threading.Event(), _Patience(self._broker)
        while not stop.is_set():
            if found := self.poll():
                yield from found
                patience.given()
            else:
                patience.check(trouble=self._consumer.trouble)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _absent(error: ProducerError) -> SubscriptionError:
    return SubscriptionError(f"{error}; is it up, and is the address right?")


def _answers(broker: str, timeout_s: float) -> bool:
    """Whether one of these servers answers."""
    return any(embedded.answers(server.strip(), timeout_s) for server in broker.split(","))


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
        if not _answers(broker, ANSWER_S):
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
    prefix: str | None = None,
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
    prefix, registry : str
        What stands before the run's topic names, and the URL of its schema registry, if any; a data directory knows its
        own.

    Raises
    ------
    SubscriptionError
        For an unknown metric, no broker, no run; or when the broker goes away.

    Examples
    --------
    >>> for row in jinliu.subscribe("market-share"):  # doctest: +SKIP
    ...     if row.status == "FINAL" and row.window == "day":
    ...         print(row.window_start, row.channel, row.scene, row.share)
    """
    held = remembered(Path(data)) if broker is None else {}
    before, ids_of = held.get("prefix", "") if prefix is None else prefix, registry or held.get("registry")
    with broker_of(broker, Path(data)) as address, MetricReader([metric], address, before, ids_of) as reader:
        for _, row in reader.to_end():
            yield row
        for _, row in reader.follow() if follow else ():
            yield row
