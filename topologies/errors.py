"""What a user is told about a world that does not read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import JinliuError


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: file name as given, line and column from 1 (line 0: the file as a whole)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, at which field (dotted path, may be empty), what, and what is allowed instead."""

    place: Place
    field: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        field = f" {self.field}:" if self.field else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.place}:{field} {self.what}{allowed}"


class TopologyError(JinliuError):
    """A world, an overlay or a lever's value is not right. `problems` holds all that was found, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.place)))
        lines = [str(problem) for problem in self.problems]
        head = [f"{len(lines)} problems"] if len(lines) > 1 else []
        super().__init__("\n  ".join(head + lines))
