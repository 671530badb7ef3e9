"""Client of a Confluent-compatible schema registry: registers every schema under its record's name, learns its id."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from schemas.catalog import Schema
from schemas.errors import RegistryError

TIMEOUT_S = 10.0
_TYPE = "application/vnd.schemaregistry.v1+json"
_COMPATIBILITY = "BACKWARD_TRANSITIVE"
_INCOMPATIBLE = 409
_MOST_ANSWER = 1 << 20


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
