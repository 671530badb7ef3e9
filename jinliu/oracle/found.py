"""What stands on compacted topics: the newest record of each key, read committed."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinliu.oracle import plain
from jinliu.oracle.decode import HEADER, bare
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import Log
from schemas import catalog


def newest(log: Log, topic: str) -> dict[bytes, bytes]:
    """Key -> newest value over all partitions; deleted keys are left out."""
    out: dict[bytes, bytes] = {}
    for partition, (first, end) in log.extents(topic).items():
        if end <= first:
            continue
        for chunk in log.read(topic, partition, end, keys=True):
            for key, value in zip(chunk.keys, chunk.values, strict=True):
                if value is None:
                    out.pop(key or b"", None)
                else:
                    out[key or b""] = value
    return out


def rows(log: Log, topic: str, schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The newest rows of a topic whose records all have one Avro schema.

    Raises OracleError naming an unreadable row.
    """
    parsed = bare(schema)
    for key, value in newest(log, topic).items():
        try:
            yield plain.datum(parsed, value[HEADER:])
        except plain.MalformedError as error:
            raise OracleError(f"topic {topic}: the row {key!r} does not match its schema: {error}") from error


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
