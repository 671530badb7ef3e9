"""What stands on compacted topics: the newest record of each key, read committed."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from jinliu.oracle import plain
from jinliu.oracle.decode import HEADER, bare
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import Log
from schemas import catalog

logger = logging.getLogger(__name__)


def records(
    log: Log, topic: str, ends: Mapping[int, int], first: Mapping[int, int] | None = None
) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of the committed records below `ends`, by partition; from `first` on where that names one."""
    for partition, end in ends.items():
        start = (first or {}).get(partition, 0)
        if end <= start:
            continue
        for chunk in log.read(topic, partition, end, keys=True, first=start):
            for key, value in zip(chunk.keys, chunk.values, strict=True):
                yield key or b"", value


def newest(
    log: Log, topic: str, ends: Mapping[int, int] | None = None, number: int | None = None
) -> dict[bytes, bytes]:
    """Key -> newest value over all partitions, below `ends` where given; deleted keys are left out.

    number: schema id of the topic's records; a value with another is a stranger's and passed over.
    """
    if ends is None:
        ends = {partition: end for partition, (first, end) in log.extents(topic).items() if end > first}
    head = None if number is None else b"\x00" + number.to_bytes(4, "big")
    out: dict[bytes, bytes] = {}
    for key, value in records(log, topic, ends):
        if value is None:
            out.pop(key, None)
        elif head is None or value[:HEADER] == head:
            out[key] = value
        else:
            stranger(topic, key, "it has not the Confluent header of a row of this topic")
    return out


def stranger(topic: str, key: bytes | None, why: object) -> None:
    """Warn of a record that is passed over."""
    logger.warning("topic %s: the record with key %r is no row and was passed over: %s", topic, (key or b"")[:80], why)


def keyed(
    values: Mapping[bytes, bytes], topic: str, schema: Mapping[str, Any]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """(key, row) of values that all have one Avro schema; what does not read as that is passed over with a warning."""
    parsed = bare(schema)
    for key, value in values.items():
        try:
            yield key, plain.datum(parsed, value[HEADER:])
        except plain.MalformedError as error:
            stranger(topic, key, error)


def rows(
    log: Log, topic: str, schema: Mapping[str, Any], number: int, ends: Mapping[int, int] | None = None
) -> Iterator[dict[str, Any]]:
    """The newest rows of a topic whose records have the Avro schema with this id, below `ends` where given.

    A stranger's record is passed over with a warning: a row that it stands in place of is then missing.
    """
    return (row for _, row in keyed(newest(log, topic, ends, number), topic, schema))


def run(log: Log, ids: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The run record: the first on topic `runs` whose key no tombstone behind it took back, as everybody reads it.

    The sources' progress shares the topic. Raises OracleError where nothing has run.
    """
    number = (catalog.ids(None) if ids is None else ids)["run"]
    parsed = bare(catalog.schema("run").parsed)
    found: dict[bytes | None, dict[str, Any]] = {}
    for key, value in _whole(log, "runs"):
        if value is None:
            found.pop(key, None)
        elif value[:HEADER] == b"\x00" + number.to_bytes(4, "big"):
            try:
                found.setdefault(key, plain.datum(parsed, value[HEADER:]))
            except plain.MalformedError as error:
                stranger("runs", key, error)
    for first in found.values():
        return first
    raise OracleError(
        "topic runs holds no run: nothing was produced on this broker under this prefix (`jinliu topics` lists); give "
        "the --data, or the --broker and --prefix, of a run"
    )


def _whole(log: Log, topic: str) -> Iterator[tuple[bytes | None, bytes | None]]:
    """(key, value) of every committed record of a topic, by partition; no key is another one than the empty key."""
    for partition, (first, end) in log.extents(topic).items():
        if end > first:
            for chunk in log.read(topic, partition, end, keys=True):
                yield from zip(chunk.keys, chunk.values, strict=True)
