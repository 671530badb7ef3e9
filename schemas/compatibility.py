"""Whether a schema reads what an earlier one wrote: the `avro` package's rules for schema resolution.

Committed versions lie in schemas/history/<name>/<version>.avsc; the newest must read all of them (BACKWARD_TRANSITIVE).
"""

from __future__ import annotations

from pathlib import Path

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import Schema, parse

from schemas import catalog
from schemas.errors import IncompatibleSchema

HISTORY = Path(__file__).with_name("history")


def check(name: str, reader: str, writers: dict[str, str]) -> None:
    """Raises IncompatibleSchema, naming version and place, unless `reader` reads what each of `writers` wrote."""
    new = _parsed(reader)
    for version, text in writers.items():
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
        result = checker.get_compatibility(new, _parsed(text))
        if result.compatibility is not SchemaCompatibilityType.compatible:
            where = ", ".join(sorted(result.locations)) or "/"
            why = "; ".join(sorted(result.messages)) or "it is not compatible"
            raise IncompatibleSchema(f"schema {name!r} cannot read its version {version} at {where}: {why}")


def history(name: str) -> dict[str, str]:
    """Committed versions of a schema, oldest first: version to text."""
    paths = sorted((HISTORY / name).glob("*.avsc"), key=lambda path: int(path.stem))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def check_all() -> None:
    """Checks every schema of the catalog against its history, the last version of which must be the schema itself."""
    for name in catalog.names():
        schema, versions = catalog.schema(name), history(name)
        if schema.id >= catalog.EXTRA_ID_LEAST:
            continue
        if not versions or catalog.canonical([*versions.values()][-1]) != catalog.canonical(schema.text):
            raise IncompatibleSchema(
                f"schema {name!r} is not the last version in schemas/history/{name}; "
                f"copy it there as {len(versions) + 1}.avsc"
            )
        check(name, schema.text, versions)


def _parsed(text: str) -> Schema:
    return parse(text)
