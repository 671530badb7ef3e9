"""Client of a Confluent-compatible schema registry: registers every schema under its record's name, learns its id."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from schemas.catalog import Schema
from schemas.errors import JinliuError, RegistryError

TIMEOUT_S = 10.0
URL_HEADER, IDS_HEADER = "registry", "schema-ids"
_TYPE = "application/vnd.schemaregistry.v1+json"
_COMPATIBILITY = "BACKWARD_TRANSITIVE"
_INCOMPATIBLE = 409
_MOST_ANSWER = 1 << 20


class OtherRegistryError(JinliuError):
    """A run was opened with the schema ids of another registry."""


def register_all(url: str, schemas: Iterable[Schema]) -> dict[str, int]:
    """Schema name to the id that the registry at `url` gave it. Registering a schema again gives the same id.

    The subject is the record's full name (RecordNameStrategy), compatibility BACKWARD_TRANSITIVE. Raises RegistryError.
    """
    base = _checked(url)
    assigned: dict[str, int] = {}
    for schema in schemas:
        subject = quote(schema.fullname, safe="")
        answer = _ask(base, "POST", f"/subjects/{subject}/versions", {"schema": schema.text, "schemaType": "AVRO"})
        number = answer.get("id")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 31:
            raise RegistryError(f"the schema registry at {base} gave {schema.fullname} no usable id: {answer}")
        assigned[schema.name] = number
        _ask(
            base, "PUT", f"/config/{subject}", {"compatibility": _COMPATIBILITY}
        )  # some registries want the subject first
    return assigned


def told(url: str | None, ids: Mapping[str, int]) -> list[tuple[str, bytes]]:
    """Headers of a run record, which say what the run's other records were written with: registry and schema ids.

    Headers, since a reader with other ids cannot read the record itself.
    """
    return [(URL_HEADER, (url or "").encode()), (IDS_HEADER, json.dumps(dict(ids), sort_keys=True).encode())]


def tells(headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether these headers are those of a run record that says which ids it uses."""
    return any(name == IDS_HEADER for name, _ in headers)


def refuse_other(
    headers: Iterable[tuple[str, bytes | None]], url: str | None, ids: Mapping[str, int], where: str
) -> None:
    """Nothing where the run at `where` was opened with the schema ids `ids`; a header that is not ours says nothing.

    The ids decide and not the address: a registry has one name inside a container's network and another outside.
    Raises OtherRegistryError.
    """
    found = dict(headers)
    try:
        theirs = json.loads(found.get(IDS_HEADER) or b"{}")
        differ = any(theirs.get(name, number) != number for name, number in ids.items())
    except (ValueError, AttributeError):
        return
    if differ:
        uses = (found.get(URL_HEADER) or b"").decode(errors="replace")
        uses_text, to_do = (
            (f"the schema registry {uses}", f"give --registry {uses}") if uses else ("no schema registry", "give none")
        )
        mine = f"the registry {url}" if url else "no registry"
        raise OtherRegistryError(
            f"{where} holds a run that uses {uses_text}; this command has {mine}, whose schema ids are others: "
            f"{to_do} (--registry, JINLIU_REGISTRY), or use another --prefix or --data directory"
        )


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RegistryError(f"{url!r} is no registry address; give one such as http://localhost:8081")
    return url.rstrip("/")


def _ask(base: str, method: str, path: str, body: dict[str, str]) -> dict[str, object]:
    headers = {"Content-Type": _TYPE, "Accept": f"{_TYPE}, application/json"}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer = json.loads(response.read(_MOST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            detail = error.read(2_000).decode(errors="replace")
        if error.code == _INCOMPATIBLE:
            raise RegistryError(
                f"the schema registry at {base} has an incompatible version ({path}): {detail}"
            ) from error
        raise RegistryError(f"the schema registry at {base} refused {method} {path}: {error.code} {detail}") from error
    except (OSError, ValueError) as error:
        raise RegistryError(f"the schema registry at {base} gave no answer to {method} {path}: {error}") from error
    if not isinstance(answer, dict):
        raise RegistryError(f"the schema registry at {base} answered {method} {path} with {answer!r}")
    return answer
