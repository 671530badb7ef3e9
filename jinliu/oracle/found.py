"""What stands on compacted topics: the newest record of each key, read committed."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinliu.oracle import plain
from jinliu.oracle.decode import HEADER, bare
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import Log
from schemas import catalog


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


def newest(log: Log, topic: str, ends: Mapping[int, int] | None = None) -> dict[bytes, bytes]:
    """Key -> newest value over all partitions, below `ends` where given; deleted keys are left out."""
    if ends is None:
        ends = {partition: end for partition, (first, end) in log.extents(topic).items() if end > first}
    out: dict[bytes, bytes] = {}
    for key, value in records(log, topic, ends):
        if value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


def keyed(
    values: Mapping[bytes, bytes], topic: str, schema: Mapping[str, Any]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """(key, row) of values that all have one Avro schema. Raises OracleError naming an unreadable row."""
    parsed = bare(schema)
    for key, value in values.items():
        try:
            yield key, plain.datum(parsed, value[HEADER:])
        except plain.MalformedError as error:
            raise OracleError(f"topic {topic}: the row {key!r} does not match its schema: {error}") from error


def rows(
    log: Log, topic: str, schema: Mapping[str, Any], ends: Mapping[int, int] | None = None
) -> Iterator[dict[str, Any]]:
    """The newest rows of a topic whose records all have one Avro schema, below `ends` where given.

    Raises OracleError naming an unreadable row.
    """
    return (row for _, row in keyed(newest(log, topic, ends), topic, schema))


def run(log: Log, ids: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The run record; the sources' progress shares its topic. Raises OracleError where nothing has run."""
    number = (catalog.ids(None) if ids is None else ids)["run"].to_bytes(4, "big")
    parsed = bare(catalog.schema("run").parsed)
    for key, value in newest(log, "runs").items():
        if value[1:HEADER] == number:
            try:
                return plain.datum(parsed, value[HEADER:])
            except plain.MalformedError as error:
                raise OracleError(f"topic runs: the record {key!r} does not match its schema: {error}") from error
    raise OracleError("topic runs holds no run: nothing was produced on this broker under this prefix")
