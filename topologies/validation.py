"""From a document to a model, with every problem told in terms of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from topologies.allowed import Kind, keys, meant, reach, words
from topologies.document import Document, Loc, canonical, shown
from topologies.errors import Problem, TopologyError

M = TypeVar("M", bound=BaseModel)
KEY = "[key]"  # pydantic's last step of a path when the key itself is wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path below the model that found it."""

    loc: Loc
    what: str
    allowed: str


def refuse(findings: Iterable[Finding]) -> None:
    """To be called by a model's validator: raises when there are findings, all of them at once."""
    found = tuple(findings)
    if found:
        text = "; ".join(f"{'.'.join(map(str, one.loc))} {one.what}; allowed: {one.allowed}" for one in found)
        raise PydanticCustomError("findings", "{text}", {"text": text, "findings": found})


def validated(model: type[M], document: Document) -> M:
    """The model of a document. Raises TopologyError naming file, line, field and what is allowed, for all problems."""
    try:
        return model.model_validate(canonical(document.data))
    except ValidationError as error:
        problems = [problem for detail in _telling(error.errors()) for problem in _problems(model, document, detail)]
        raise TopologyError(problems) from error


def _telling(details: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without what only follows from another: contents of a refused key, a list emptied by its refused items."""
    refused = [detail["loc"][:-1] for detail in details if detail["loc"][-1:] == (KEY,)]
    for detail in details:
        loc = detail["loc"]
        follows = loc[-1:] != (KEY,) and any(loc[: len(key)] == key for key in refused)
        emptied = detail["type"] == "too_short" and any(
            len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details
        )
        if not follows and not emptied:
            yield detail


def _problems(model: type[BaseModel], document: Document, detail: ErrorDetails) -> list[Problem]:
    loc = _written(document, detail["loc"])
    if detail["type"] == "findings":
        findings: tuple[Finding, ...] = detail["ctx"]["findings"]
        return [
            Problem(document.place((*loc, *one.loc)), document.field((*loc, *one.loc)), one.what, one.allowed)
            for one in findings
        ]
    kind = reach(Kind.of(model), loc)
    allowed = words(kind) if kind is not None else ""
    what = f"{shown(detail['input'])} is not allowed"
    if detail["loc"][-1:] == (KEY,):
        parent = reach(Kind.of(model), loc[:-1])
        what, allowed = f"the key {what}", words(Kind.of(get_args(parent.annotation)[0])) if parent is not None else ""
    elif detail["type"] == "missing":
        what = "is missing"
    elif detail["type"] == "extra_forbidden":
        parent = reach(Kind.of(model), loc[:-1])
        known = [key for option in (parent.options if parent else []) if option.model for key in keys(option.model)]
        what, allowed = f"unknown key{meant(str(loc[-1]), known)}", ", ".join(known)
    elif detail["type"] in ("value_error", "assertion_error"):
        what, allowed = str(detail["ctx"]["error"]), ""
    elif detail["type"] == "refused":
        what = detail["msg"]
    return [Problem(document.place(loc), document.field(loc), what, allowed)]


def _written(document: Document, loc: tuple[str | int, ...]) -> Loc:
    """pydantic's path without the steps it adds itself: the member of a union it tried, `[key]`."""
    here: Any = document.data
    path: list[str | int] = []
    for n, key in enumerate(loc):
        last = n == len(loc) - 1
        if isinstance(here, dict):
            match = next((name for name in here if str(key) in (str(name), repr(name))), None)  # a date: its repr
            if match is None and (not last or key == KEY):
                continue
            here = here.get(match) if match is not None else None
            path.append(str(key if match is None else match))
        elif isinstance(here, list) and isinstance(key, int):
            here = here[key] if key < len(here) else None
            path.append(key)
    return tuple(path)
