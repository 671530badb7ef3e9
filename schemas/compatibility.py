"""Whether a schema reads what an earlier one wrote: the `avro` package's rules for schema resolution.

`python -m schemas.compatibility` checks every schema and commits what is new to the history.
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
        if not versions or [*versions.values()][-1] != schema.text:
            raise IncompatibleSchema(
                f"schema {name!r} is not the last version in schemas/history; run python -m schemas.compatibility"
            )
        check(name, schema.text, versions)


def extend() -> list[Path]:
    """Adds every changed schema to its history and returns the new files. Raises IncompatibleSchema before writing it.

    A change of documentation alone replaces the last version: on the wire it is the same.
    """
    written: list[Path] = []
    for name in catalog.names():
        schema, versions = catalog.schema(name), history(name)
        last = [*versions.values()][-1] if versions else None
        if schema.id >= catalog.EXTRA_ID_LEAST or last == schema.text:
            continue
        check(name, schema.text, versions)
        same = last is not None and catalog.canonical(last) == catalog.canonical(schema.text)
        path = HISTORY / name / f"{len(versions) + (0 if same else 1)}.avsc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schema.text, encoding="utf-8")
        written.append(path)
    return written


def _parsed(text: str) -> Schema:
    return parse(text)


if __name__ == "__main__":
    for new in extend():
        print(f"{new.relative_to(HISTORY)} added")
