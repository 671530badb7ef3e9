"""Row classes of metrics and the Avro schemas generated from them.

`python -m streams.rows` writes schemas/avsc/metrics/<metric>.avsc; a test holds the committed files equal to the row
classes.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.errors import DefinitionError

STATUSES = ("PROVISIONAL", "FINAL", "INCOMPLETE")
AVRO = {int: "long", float: "double", str: "string", bool: "boolean"}
MS = {"type": "long", "logicalType": "timestamp-millis"}


def by_source(missing: Mapping[str, int]) -> str | None:
    """What is missing by source, as in `missing_sources`: by name, null when nothing is."""
    return ",".join(f"{source}={missing[source]}" for source in sorted(missing)) or None


def doc(text: str, **default: Any) -> Any:
    """A field of a row class with its documentation (and unit)."""
    return dataclasses.field(metadata={"doc": text}, **default)


@dataclass(slots=True, kw_only=True)
class Row:
    """First fields of every windowed row; the merge fills them in."""

    window: str = doc("Name of the tumbling window, such as `day`.", default="")
    window_start: int = doc("Start of the window, inclusive, simulated UTC milliseconds.", default=0)
    window_end: int = doc("End of the window, exclusive.", default=0)
    status: str = doc(
        "PROVISIONAL while the window is open; then FINAL, or INCOMPLETE when events are known missing.",
        default="PROVISIONAL",
    )
    revision: int = doc(
        "Grows with every change of this window; a merge that was taken over may write a row again.", default=0
    )
    missing: int = doc(
        "Events known missing from the window; 0 and INCOMPLETE when the number is not known.", default=0
    )
    missing_sources: str | None = doc(
        "The sources whose events are missing or do not agree with their control totals, each with how many are known "
        "missing, such as `alipay=3,banks=0`; null when nothing is.",
        default=None,
    )


def as_dict(row: Any) -> dict[str, Any]:
    """The fields of a row by name, in order."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def avro(name: str, row: type[Any]) -> dict[str, Any]:
    """The Avro record of a row class. name: the metric's, such as `market-share`; the record is `MarketShare`.

    int is long, `int | None` a nullable long, and so on for float, str and bool; window_start and window_end are
    timestamps, status an enumeration. Raises DefinitionError for a field of another type or without documentation.
    """
    hints = typing.get_type_hints(row)
    fields = []
    for field in dataclasses.fields(row):
        if "doc" not in field.metadata:
            raise DefinitionError(
                f"metric {name!r}: field {field.name!r} of {row.__name__} has no doc; declare it with streams.rows.doc"
            )
        fields.append(_field(name, field.name, hints[field.name], field.metadata["doc"]))
    text = (row.__doc__ or "").strip().split("\n\n")[0]
    record = "".join(part.capitalize() for part in name.split("-"))
    return {
        "type": "record",
        "name": record,
        "namespace": "jinliu.metrics",
        "doc": " ".join(text.split()),
        "fields": fields,
    }


def avsc(name: str, row: type[Any]) -> str:
    """The schema as the text of its file, one field a line."""
    record = avro(name, row)
    fields = ",\n".join("    " + json.dumps(field, ensure_ascii=False) for field in record.pop("fields"))
    head = json.dumps(record, ensure_ascii=False)
    return f'{head[:-1]}, "fields": [\n{fields}\n]}}\n'


def _field(metric: str, name: str, hint: Any, text: str) -> dict[str, Any]:
    if name in ("window_start", "window_end"):
        return {"name": name, "type": MS, "doc": text}
    if name == "status":
        return {"name": name, "type": {"type": "enum", "name": "Status", "symbols": list(STATUSES)}, "doc": text}
    if hint in AVRO:
        return {"name": name, "type": AVRO[hint], "doc": text}
    if (
        isinstance(hint, types.UnionType)
        and len(hint.__args__) == 2
        and hint.__args__[1] is type(None)
        and hint.__args__[0] in AVRO
    ):
        return {"name": name, "type": ["null", AVRO[hint.__args__[0]]], "default": None, "doc": text}
    raise DefinitionError(
        f"metric {metric!r}: field {name!r} is {hint}; use int, float, str or bool, or one of them | None"
    )


def write(directory: Path) -> list[Path]:
    """Write the schema of every bundled metric; returns the files."""
    from streams import metrics

    paths = []
    for name, metric in metrics.load().items():
        path = directory / f"{name}.avsc"
        path.write_text(avsc(name, metric.row), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    target = Path(__file__).resolve().parent.parent / "schemas" / "avsc" / "metrics"
    target.mkdir(parents=True, exist_ok=True)
    for written in write(target):
        print(written.relative_to(target.parent.parent.parent))
