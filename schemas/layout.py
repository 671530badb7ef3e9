"""The fields of an Avro record as the columnar kernels see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.errors import UnsupportedSchema

Type = Literal["long", "int", "enum", "boolean", "double", "string", "fixed"]
_PLAIN: dict[str, Type] = {"long": "long", "int": "int", "boolean": "boolean", "double": "double", "string": "string"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `count` symbols of an enum, `size` bytes of a fixed; nullable means the union ["null", type]."""

    name: str
    type: Type
    nullable: bool = False
    count: int = 0
    size: int = 0


def fields(parsed: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of a parsed record in wire order; raises UnsupportedSchema naming one that cannot be a column."""
    if parsed.get("type") != "record":
        raise UnsupportedSchema(f"schema {parsed.get('name')!r} is a {parsed.get('type')!r}, not a record")
    named: dict[str, Mapping[str, Any]] = {}
    return tuple(_field(parsed["name"], field, named) for field in parsed["fields"])


def _field(record: str, field: Mapping[str, Any], named: dict[str, Mapping[str, Any]]) -> Field:
    name, kind = field["name"], field["type"]
    nullable = False
    if isinstance(kind, list):
        if len(kind) != 2 or kind[0] != "null":
            raise UnsupportedSchema(f'{record}.{name}: of unions only ["null", type] can be a column')
        nullable, kind = True, kind[1]
    if isinstance(kind, str) and kind in named:
        kind = named[kind]
    plain = kind if isinstance(kind, str) else kind["type"]
    if plain in _PLAIN:
        return Field(name, _PLAIN[plain], nullable)
    if isinstance(kind, dict) and plain in ("enum", "fixed"):
        named[kind["name"]] = kind
        if kind.get("namespace"):
            named[f"{kind['namespace']}.{kind['name']}"] = kind
        return _sized(record, name, kind, nullable)
    raise UnsupportedSchema(f"{record}.{name}: Avro type {plain!r} cannot be a column")


def _sized(record: str, name: str, kind: Mapping[str, Any], nullable: bool) -> Field:
    if kind["type"] == "fixed":
        return Field(name, "fixed", nullable, size=int(kind["size"]))
    count = len(kind["symbols"])
    if count > 127:
        raise UnsupportedSchema(f"{record}.{name}: {count} symbols do not fit an int8 column")
    return Field(name, "enum", nullable, count=count)
