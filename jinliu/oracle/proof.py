"""DuckDB over the accepted events.

Each metric's `proof` SQL, window by window, gives the rows that should have been found.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from jinliu.oracle.errors import OracleError

MEMORY = "1200MB"


@dataclass(frozen=True, slots=True)
class Institution:
    """A row of the table `institutions`: `certified_ms` is null where its interface never was certified; `kind` is
    such as state-bank.
    """

    id: str
    certified_ms: int | None
    index: int
    kind: str = ""


class Proof:
    """A DuckDB database with the views of the accepted events and the tables of the world."""

    def __init__(
        self,
        files: Mapping[str, Sequence[Path]],
        institutions: Sequence[Institution],
        world: tuple[int, int, int],
        spill: Path,
    ):
        """files: topic -> Parquet files. world: person_weight, weight, shards."""
        self._db = duckdb.connect(":memory:")
        self._db.execute(f"SET memory_limit = '{MEMORY}'")
        self._db.execute(f"SET temp_directory = '{spill}'")
        self._db.execute("SET preserve_insertion_order = false")
        for topic, paths in files.items():
            names = ", ".join(f"'{path}'" for path in paths)
            self._db.execute(f'CREATE VIEW "{topic}" AS SELECT * FROM read_parquet([{names}])')
        self._db.execute('CREATE TABLE institutions (id VARCHAR, certified_ms BIGINT, "index" BIGINT, kind VARCHAR)')
        if institutions:
            self._db.executemany(
                "INSERT INTO institutions VALUES (?, ?, ?, ?)",
                [(i.id, i.certified_ms, i.index, i.kind) for i in institutions],
            )
        self._db.execute("CREATE TABLE topology (person_weight BIGINT, weight BIGINT, shards BIGINT)")
        self._db.execute("INSERT INTO topology VALUES (?, ?, ?)", world)

    def rows(
        self,
        metric: str,
        sql: str,
        window: str,
        calendar: Sequence[tuple[int, int]],
        needed: Collection[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """The rows of a metric for the windows called `window`, whose starts and ends, `calendar`, are the table
        `windows` of the SQL. needed: fields that the SQL must give.

        Raises OracleError naming the metric where its SQL fails, and the fields that it leaves out.
        """
        edges = pa.table({"window_start": [a for a, _ in calendar], "window_end": [b for _, b in calendar]})
        self._db.register("windows", edges.cast(pa.schema([("window_start", pa.int64()), ("window_end", pa.int64())])))
        text = sql.format(window=window, w=f'"window_start_{window}"')
        try:
            cursor = self._db.execute(text)
        except duckdb.Error as error:
            raise OracleError(f"the proof of metric {metric!r} does not run: {error}") from error
        names = [column[0] for column in cursor.description]
        lacking = [name for name in needed if name not in names]
        if lacking:
            raise OracleError(
                f"the proof of metric {metric!r} says nothing of {', '.join(lacking)}: its SQL must give every field "
                "of a row, under the field's name, or that field is not proved"
            )
        while block := cursor.fetchmany(50_000):
            for row in block:
                yield {name: plain(value) for name, value in zip(names, row, strict=True)}

    def close(self) -> None:
        """Drop the database."""
        self._db.close()


def plain(value: Any) -> Any:
    """DuckDB's exact decimals and huge integers as Python's int."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
