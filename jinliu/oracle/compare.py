"""Expected rows against found rows.

Integers are equal or they are not; doubles may differ by the rounding of one division.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RELATIVE = 1e-12
KEPT = 200
"""Differences that are spelled out; all are counted."""
ABSENT = "absent"
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one row that is not what it should be.

    `field` is "row" where the whole row is missing or too many.
    """

    metric: str
    row: str
    field: str
    expected: Any
    found: Any


@dataclass(slots=True)
class Verdict:
    """What was compared and what differed. `different` counts rows, `differences` names fields (the first 200).

    Nothing is said about `unread` records of the raw topics, which no worker had read yet, and about `unmerged`
    windows: closed by the shards, their final rows not written yet.
    """

    compared: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)
    records: int = 0
    unread: int = 0
    unmerged: int = 0

    @property
    def equal(self) -> bool:
        """Whether everything that was compared agreed."""
        return self.different == 0

    def as_dict(self) -> dict[str, Any]:
        """The shape of `jinliu verify --json`."""
        named = [
            {"metric": d.metric, "row": d.row, "field": d.field, "expected": d.expected, "found": d.found}
            for d in self.differences
        ]
        return {
            "compared": self.compared,
            "different": self.different,
            "unread": self.unread,
            "unmerged": self.unmerged,
            "differences": named,
        }

    def _differ(self, items: list[Difference]) -> None:
        self.different += 1
        self.differences += items[: max(0, KEPT - len(self.differences))]


def same(expected: Any, found: Any) -> bool:
    """Equality of two values of a field: exact, but for doubles."""
    if expected is None or found is None:
        return expected is found
    if isinstance(expected, float) or isinstance(found, float):
        if isinstance(expected, str) or isinstance(found, str):
            return False
        return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=0.0)
    return bool(expected == found)


def describe(names: Iterable[str], key: Key) -> str:
    """A row's name: `window=day window_start=1640995200000 channel=ALIPAY`."""
    return " ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))


def compare(
    verdict: Verdict,
    metric: str,
    key: tuple[str, ...],
    expected: Mapping[Key, Mapping[str, Any]],
    found: Mapping[Key, Mapping[str, Any]],
) -> None:
    """Hold all rows of a metric against each other and enter them in the verdict."""
    for name in sorted(expected.keys() | found.keys(), key=_order):
        row = describe(key, name)
        verdict.compared += 1
        verdict.metrics[metric] = verdict.metrics.get(metric, 0) + 1
        if name not in found:
            verdict._differ([Difference(metric, row, "row", dict(expected[name]), ABSENT)])
        elif name not in expected:
            verdict._differ([Difference(metric, row, "row", ABSENT, dict(found[name]))])
        else:
            wrong = [
                Difference(metric, row, part, value, found[name].get(part, ABSENT))
                for part, value in expected[name].items()
                if part not in found[name] or not same(value, found[name][part])
            ]
            if wrong:
                verdict._differ(wrong)


def _order(key: Key) -> tuple[tuple[bool, str, float, str], ...]:
    """A total order of keys that hold strings, integers, booleans and nulls."""
    return tuple((v is None, type(v).__name__, v if isinstance(v, int | float) else 0, str(v)) for v in key)
