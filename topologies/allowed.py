"""What a field of a model allows, in words, read from its type and bounds: no message can disagree with the model."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Allowed:
    """Put into `Annotated[...]`: the words for a type whose rule is a function."""

    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A type with what was annotated to it."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, metadata: Sequence[Any] = ()) -> Kind:
        """Unwrap Annotated and Field."""
        found = list(metadata)
        while get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            found = more + found
            annotation = inner
        flat: list[Any] = []
        for item in found:
            flat += item.metadata if isinstance(item, FieldInfo) else [item]
        return cls(annotation, tuple(flat))

    @property
    def options(self) -> list[Kind]:
        """The members of a union, None left out; else itself."""
        if get_origin(self.annotation) in (Union, types.UnionType):
            return [Kind.of(arg, self.metadata) for arg in get_args(self.annotation) if arg is not type(None)]
        return [self]

    @property
    def model(self) -> type[BaseModel] | None:
        return self.annotation if isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel) else None

    def bound(self, kind: type, name: str) -> Any:
        return next((getattr(item, name) for item in self.metadata if isinstance(item, kind)), None)


def keys(model: type[BaseModel]) -> list[str]:
    """The keys a mapping for this model may have, as written in a file."""
    return [info.alias or name for name, info in model.model_fields.items()]


def reach(kind: Kind, loc: Sequence[str | int]) -> Kind | None:
    """The kind at a path below `kind`, or None where the path leaves the models."""
    if not loc:
        return kind
    for option in kind.options:
        inner = _below(option, loc[0])
        found = reach(inner, loc[1:]) if inner is not None else None
        if found is not None:
            return found
    return None


def _below(kind: Kind, key: str | int) -> Kind | None:
    if kind.model is not None:
        for name, info in kind.model.model_fields.items():
            if key in (name, info.alias):
                return Kind.of(info.annotation, info.metadata)
        return None
    args = get_args(kind.annotation)
    if get_origin(kind.annotation) is dict:
        return Kind.of(args[1])
    if get_origin(kind.annotation) in (tuple, list) and isinstance(key, int):
        return Kind.of(
            args[0] if get_origin(kind.annotation) is list or args[-1] is Ellipsis else args[min(key, len(args) - 1)]
        )
    return None


def words(kind: Kind) -> str:
    """What is allowed, as it completes "allowed: ..."."""
    said = [item.text for item in kind.metadata if isinstance(item, Allowed)]
    if said:
        return said[-1]
    if get_origin(kind.annotation) in (Union, types.UnionType):
        empty = ", or nothing" if type(None) in get_args(kind.annotation) else ""
        return ", or ".join(dict.fromkeys(words(option) for option in kind.options)) + empty
    if get_origin(kind.annotation) is Literal:
        values = [str(value) for value in get_args(kind.annotation)]
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    if kind.model is not None:
        return "a mapping with " + ", ".join(keys(kind.model))
    return _plain(kind)


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    date: "a date such as 2018-06-30",
    datetime: "a time such as 2018-06-30 12:00:00",
}


def _plain(kind: Kind) -> str:
    args = get_args(kind.annotation)
    origin = get_origin(kind.annotation)
    if origin is dict:
        return f"a mapping of {words(Kind.of(args[0]))} to {words(Kind.of(args[1]))}"
    if origin in (tuple, list):
        least, most = kind.bound(annotated_types.MinLen, "min_length"), kind.bound(annotated_types.MaxLen, "max_length")
        if origin is tuple and args[-1] is not Ellipsis:
            least = most = len(args)
        number = "" if not least else f" of {least}" if least == most else f" of at least {least}"
        return f"a list{number}, each {words(Kind.of(args[0]))}"
    return _WORDS.get(kind.annotation, "another value") + _range(kind)


def _range(kind: Kind) -> str:
    least, most = kind.bound(annotated_types.Ge, "ge"), kind.bound(annotated_types.Le, "le")
    above, below = kind.bound(annotated_types.Gt, "gt"), kind.bound(annotated_types.Lt, "lt")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    parts = [
        f"{text} {bound}"
        for text, bound in (("at least", least), ("above", above), ("at most", most), ("below", below))
        if bound is not None
    ]
    return " " + " and ".join(parts) if parts else ""


def meant(wrong: str, right: Sequence[str]) -> str:
    """A hint such as " (did you mean shards?)", or nothing."""
    close = get_close_matches(wrong, right, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
