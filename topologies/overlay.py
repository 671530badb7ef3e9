"""One document laid over another, every value keeping the place where it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topologies.document import Document, Loc, identity
from topologies.errors import Place, Problem, TopologyError


@dataclass(frozen=True, slots=True)
class _View:
    """A value inside a document."""

    document: Document
    loc: Loc
    value: Any

    def under(self, key: Any) -> _View:
        """The value of a mapping's key or at a list's index."""
        step = key if isinstance(self.value, list) else str(key)
        return _View(self.document, (*self.loc, step), self.value[key])

    def named(self) -> dict[str, _View] | None:
        """The items of a list by their id or name; None when some have none."""
        names = [identity(item) for item in self.value]
        return None if None in names else {str(name): self.under(n) for n, name in enumerate(names)}

    def twice(self) -> Problem | None:
        """The first item of a list whose name another had before."""
        names = [identity(item) for item in self.value]
        for n, name in enumerate(names):
            if name is not None and name in names[:n]:
                loc = (*self.loc, n)
                return Problem(self.document.place(loc), self.document.field(loc), f"{name} stands twice", "each once")
        return None


def merged(base: Document, over: Document) -> Document:
    """`over` laid over `base`: mappings key by key, lists of things with an id (or name) by that, all else replaced.

    What `over` marks `!replace` replaces as a whole. Raises TopologyError when two things of a list have one name.
    """
    places: dict[Loc, Place] = {}
    data = _laid((_View(base, (), base.data), _View(over, (), over.data)), (), places)
    return Document(data, places)


def _laid(sides: tuple[_View, ...], to: Loc, places: dict[Loc, Place]) -> Any:
    """The value of one or two sides, bottom first, put at path `to` of the result."""
    top = sides[-1]
    places[to] = top.document.place(top.loc)
    if top.loc in top.document.replaced or type(sides[0].value) is not type(top.value):
        sides = (top,)
    if isinstance(top.value, dict):
        keys = {str(key): key for side in sides for key in side.value}
        return {
            key: _laid(tuple(side.under(key) for side in sides if key in side.value), (*to, text), places)
            for text, key in keys.items()
        }
    if isinstance(top.value, list):
        return [_laid(item, (*to, n), places) for n, item in enumerate(_items(sides))]
    return top.value


def _items(sides: tuple[_View, ...]) -> list[tuple[_View, ...]]:
    """The items of lists, paired by name where every item of every side has one of its own, else those on top."""
    twice = [problem for side in sides if (problem := side.twice()) is not None]
    if twice:
        raise TopologyError(twice)
    tables = [table for side in sides if (table := side.named()) is not None]
    if len(tables) < len(sides) or not all(tables):
        return [(sides[-1].under(n),) for n in range(len(sides[-1].value))]
    names = dict.fromkeys(name for table in tables for name in table)
    return [tuple(table[name] for table in tables if name in table) for name in names]
