"""YAML read so that every value still knows its file and line.

Only plain data comes in: no tags of YAML but `!replace`, no merge keys, no key twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from topologies.errors import Place, Problem, TopologyError

Loc = tuple[str | int, ...]
REPLACE = "!replace"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads china.yaml in 10 ms instead of 140
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_ALLOWED_TAGS = f"plain YAML, and {REPLACE} before a mapping or list of an overlay"


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and where each piece stands.

    data : mappings, lists and scalars as YAML's safe types.
    places : path -> place; a path is the keys (as text) and list indices from the root, which is ().
    replaced : paths an overlay marks `!replace`.
    """

    data: Any
    places: dict[Loc, Place]
    replaced: frozenset[Loc] = frozenset()

    def place(self, loc: Iterable[str | int]) -> Place:
        """Place of a path, or of its nearest ancestor that is written down."""
        path = tuple(loc)
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]

    def field(self, loc: Iterable[str | int]) -> str:
        """Dotted path for a reader, an item of a list by its id where it has one: `institutions.lan-hai.weight`."""
        parts: list[str] = []
        here = self.data
        for key in loc:
            step = _step(here, key)
            named = isinstance(key, int) and isinstance(step, dict) and identity(step)
            parts.append(named or (f"[{key}]" if isinstance(key, int) else str(key)))
            here = step
        return ".".join(parts).replace(".[", "[")


def _step(here: Any, key: str | int) -> Any:
    if isinstance(here, dict):
        return next((value for name, value in here.items() if str(name) == str(key)), None)
    if isinstance(here, list) and isinstance(key, int) and key < len(here):
        return here[key]
    return None


def identity(item: Any) -> str | None:
    """What names an item of a list: its `id`, else its `name`."""
    if not isinstance(item, dict):
        return None
    found = item.get("id", item.get("name"))
    return found if isinstance(found, str) else None


def read(path: Path, shown: str | None = None) -> Document:
    """Read one YAML file; messages call it `shown`. Raises TopologyError, with the line, where it is not YAML."""
    file = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TopologyError([Problem(Place(file), "", f"cannot be read: {error.strerror}", "a YAML file")]) from error
    except UnicodeDecodeError as error:
        raise TopologyError(
            [Problem(Place(file), "", f"is not UTF-8: {error.reason}", "a YAML file in UTF-8")]
        ) from error
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """The document of a text; as `read`."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        begun = (
            f"{error.context} begun in line {error.context_mark.line + 1}"
            if error.context and error.context_mark
            else error.context
        )
        what = ", ".join(part for part in (begun, error.problem) if part)
        raise TopologyError(
            [Problem(place, "", f"not YAML: {what}", "indented `key: value`, spaces and no tabs")]
        ) from error
    except yaml.YAMLError as error:
        raise TopologyError([Problem(Place(file), "", f"not YAML: {error}", "printable text")]) from error
    if not isinstance(node, yaml.MappingNode):
        raise TopologyError([Problem(Place(file, 1, 1), "", "is no mapping", "`key: value` at the top")])
    build = _Builder(file)
    data = build.value(node, (), ())
    if build.problems:
        raise TopologyError(build.problems)
    return Document(data, build.places, frozenset(build.replaced))


class _Builder:
    """Plain data from YAML nodes, noting places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Loc, Place] = {(): Place(file, 1, 1)}
        self.replaced: set[Loc] = set()
        self.problems: list[Problem] = []
        self._scalars = SafeConstructor()

    def value(self, node: yaml.Node, loc: Loc, above: tuple[int, ...]) -> Any:
        """The value of a node at a path; `above` holds the nodes it lies in, to stop at an alias of one of them."""
        if id(node) in above:
            return self._wrong(node, loc, "holds itself through an alias", "data of finite depth")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            self._tag(node, loc, "seq")
            return [self._child(item, (*loc, n), item, (*above, id(node))) for n, item in enumerate(node.value)]
        return self._scalar(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc, above: tuple[int, ...]) -> dict[Any, Any]:
        self._tag(node, loc, "map")
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self._wrong(
                    key_node,
                    loc,
                    "has a key that is no text, number or date",
                    "plain keys; `over:` instead of merge keys",
                )
                continue
            key = self._scalar(key_node, loc)
            path = (*loc, str(key))
            if any(str(key) == str(other) for other in found):
                self._wrong(key_node, path, f"stands twice, first in line {self.places[path].line}", "each key once")
                continue
            found[key] = self._child(value_node, path, key_node, above)
        return found

    def _child(self, node: yaml.Node, loc: Loc, start: yaml.Node, above: tuple[int, ...]) -> Any:
        # A scalar's own place; a mapping's or list's is its key's, where one looks for what is missing inside.
        mark = (node if isinstance(node, yaml.ScalarNode) else start).start_mark
        self.places[loc] = Place(self.file, mark.line + 1, mark.column + 1)
        return self.value(node, loc, above)

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        if node.tag not in _SCALARS:
            return self._wrong(node, loc, f"has the tag {node.tag}", _ALLOWED_TAGS)
        try:
            return self._scalars.construct_object(node, deep=True)
        except (ConstructorError, ValueError) as error:
            return self._wrong(
                node,
                loc,
                f"{node.value!r} is not what it looks like: {error}",
                "a date such as 2018-06-30, a number, text",
            )

    def _tag(self, node: yaml.Node, loc: Loc, kind: str) -> None:
        if node.tag == REPLACE:
            self.replaced.add(loc)
        elif node.tag != f"tag:yaml.org,2002:{kind}":
            self._wrong(node, loc, f"has the tag {node.tag}", _ALLOWED_TAGS)

    def _wrong(self, node: yaml.Node, loc: Loc, what: str, allowed: str) -> None:
        place = Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
        self.problems.append(Problem(place, ".".join(map(str, loc)), what, allowed))


def canonical(value: Any) -> Any:
    """The same data, mappings in the order of their keys' text: nothing can depend on how a file orders them."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


def shown(value: Any) -> str:
    """A value as its file would spell it, cut where it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, date | int | float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
