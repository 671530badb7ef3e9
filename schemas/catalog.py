"""Every schema by name: the .avsc files, their ids on the wire, and what a user's own metric adds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from schemas.errors import JinliuError, UnknownSchema

ROOT = Path(__file__).parent
EXTRA_ID_LEAST = 1 << 30

_extra: dict[str, Schema] = {}


@dataclass(frozen=True, slots=True)
class Schema:
    """One record schema: `name` is the stem of its file, `id` its id on the wire when no registry is given."""

    name: str
    fullname: str
    text: str
    parsed: Mapping[str, Any]
    id: int


def schema(name: str) -> Schema:
    """The schema of that name: a file of avsc/ or avsc/metrics/, or a registered extra. Raises UnknownSchema."""
    if name in _extra:
        return _extra[name]
    return _bundled(name)


def names() -> tuple[str, ...]:
    """Names of all schemas, in the order of their ids; extras last."""
    return (*sorted(_fixed_ids(), key=lambda name: _fixed_ids()[name]), *sorted(_extra))


def register_extra(name: str, text: str) -> Schema:
    """Adds a user's own record schema. Its id depends on its Parsing Canonical Form only, so every process agrees."""
    if name in _fixed_ids():
        raise JinliuError(f"schema {name!r} is part of jinliu; give your record another name")
    hashed = int.from_bytes(hashlib.sha256(canonical(text)).digest()[:8], "big")
    made = _made(name, text, EXTRA_ID_LEAST + hashed % EXTRA_ID_LEAST)
    present = _extra.get(name)
    if present is not None and canonical(present.text) != canonical(text):
        raise JinliuError(f"schema {name!r} is already registered with other fields")
    for other in _extra.values():
        if other.id == made.id and other.name != name:
            raise JinliuError(f"schemas {other.name!r} and {name!r} are the same; give their records different names")
    _extra[name] = made
    return made


def canonical(text: str) -> bytes:
    """Avro's Parsing Canonical Form (specification, "Transforming into Parsing Canonical Form"), UTF-8."""
    import fastavro.schema

    return fastavro.schema.to_parsing_canonical_form(json.loads(text)).encode()


def ids(registry_url: str | None = None) -> Mapping[str, int]:
    """Schema name to id on the wire: the fixed ids, or those the registry assigned. Raises RegistryError."""
    if registry_url is None:
        return {name: schema(name).id for name in names()}
    from schemas import registry

    return registry.register_all(registry_url, [schema(name) for name in names()])


@cache
def _fixed_ids() -> dict[str, int]:
    fixed: dict[str, int] = yaml.safe_load((ROOT / "ids.yaml").read_text(encoding="utf-8"))
    return fixed


@cache
def _bundled(name: str) -> Schema:
    fixed = _fixed_ids().get(name)
    if fixed is None:
        raise UnknownSchema(f"no schema is named {name!r}; known: {', '.join(names())}")
    for path in (ROOT / "avsc" / f"{name}.avsc", ROOT / "avsc" / "metrics" / f"{name}.avsc"):
        if path.is_file():
            return _made(name, path.read_text(encoding="utf-8"), fixed)
    raise UnknownSchema(f"schemas/ids.yaml names {name!r}, but schemas/avsc has no {name}.avsc")


def _made(name: str, text: str, number: int) -> Schema:
    parsed = json.loads(text)
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise JinliuError(f"schema {name!r} is not an Avro record")
    namespace = parsed.get("namespace", "")
    fullname = f"{namespace}.{parsed['name']}" if namespace else str(parsed["name"])
    return Schema(name, fullname, text, parsed, number)
