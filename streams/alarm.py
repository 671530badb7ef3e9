"""Limits that a metric watches: declared beside its rows, raised by the merge, judged by the proof."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streams.errors import DefinitionError

Value: TypeAlias = str | int | bool | None
Wanted: TypeAlias = Mapping[str, "Value | tuple[Value, ...]"]
NUMBERS = (int, float, int | None, float | None)
WINDOW = ("window", "window_start")
RULE = re.compile("[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A closed row whose `field` is told and greater than `above` raises an alert; each such row its own.

    rule: name of the alert. where: field -> value, or tuple of values, one of which the row must have, in all of these
    fields; unless: the same for what excuses it, in any of them. institution: the field that names whose doing it is.
    text: a sentence for `str.format`, which knows `value`, `limit` and, as text, `window`, `window_start` and the
    other key fields of the row.
    """

    rule: str
    field: str
    above: float
    institution: str
    text: str
    where: Wanted = dataclasses.field(default_factory=dict)
    unless: Wanted = dataclasses.field(default_factory=dict)

    def value(self, row: Any) -> float | None:
        """What the row tells above the limit, None where it raises nothing."""
        seen = getattr(row, self.field)
        if seen is None or not seen > self.above:
            return None
        if not all(_is(row, name, wanted) for name, wanted in self.where.items()):
            return None
        if any(_is(row, name, excused) for name, excused in self.unless.items()):
            return None
        return float(seen)

    def check(self, metric: str, hints: Mapping[str, Any], key: Iterable[str]) -> None:
        """Raises DefinitionError for what a metric with these row fields (their types) and key cannot mean."""
        if not RULE.fullmatch(self.rule):
            raise DefinitionError(
                f"metric {metric!r}: alarm {self.rule!r}: a rule's name is lower-case letters and digits with single "
                "hyphens between them, such as fee-spike"
            )
        for name in (self.field, self.institution, *self.where, *self.unless):
            if name not in hints:
                raise DefinitionError(f"metric {metric!r}: alarm {self.rule!r}: the row has no field {name!r}")
        if hints[self.field] not in NUMBERS or hints[self.institution] is not str:
            raise DefinitionError(
                f"metric {metric!r}: alarm {self.rule!r}: {self.field!r} must be an int or float, perhaps null, and "
                f"{self.institution!r} a str"
            )
        try:
            self.sentence(self.above, dict.fromkeys((*WINDOW, *key), ""))
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise DefinitionError(
                f"metric {metric!r}: alarm {self.rule!r}: its text does not read ({type(error).__name__}: {error}); it "
                f"may name value, limit, {', '.join(key)}"
            ) from error

    def sentence(self, value: float, key: Mapping[str, str]) -> str:
        """The text of an alert. key: the row's key fields as text."""
        return self.text.format(value=float(value), limit=float(self.above), **key)


def _is(row: Any, name: str, wanted: Value | tuple[Value, ...]) -> bool:
    return getattr(row, name) in (wanted if isinstance(wanted, tuple) else (wanted,))
