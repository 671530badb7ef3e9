"""Range rules: which events of a topic can be no event of this run, judged over whole columns before the ledger walks
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.kernels import compiled
from streams import expression
from streams.errors import DefinitionError
from streams.nativecode import HEADER, NUMBA_TYPE

if TYPE_CHECKING:
    from schemas.eventrule import EventRule
    from streams.rollup import Column

UInt8 = npt.NDArray[np.uint8]
Refuse = Callable[[Mapping[str, Any], npt.NDArray[np.int64]], UInt8]
FIRST_CODE = 32
LIMITS = ("shard", "shards", "start", "end", "people")


@dataclass(frozen=True, slots=True)
class Rule:
    """An event is refused for `reason` when `test` holds: an expression over `columns` (name -> dtype) by their names,
    as int64, and over LIMITS: shard, shards, start and end (of the span, ms), people (how many the topic numbers)."""

    columns: Mapping[str, str]
    test: str
    reason: str


def outside_span() -> Rule:
    name = "event_time"
    return Rule({name: "int64"}, f"{name} < start or {name} >= end", f"{name} lies outside the span of the run")


def outside(column: str, least: int, most: int, dtype: str) -> Rule:
    test = f"{column} < {least} or {column} > {most}"
    return Rule({column: dtype}, test, f"{column} is not between {least} and {most}")


def unknown(column: str) -> Rule:
    """A string that its vocabulary does not know."""
    return Rule({column: "int16"}, f"{column} < 0", f"{column} is not known to the topology")


def foreign_person(column: str) -> Rule:
    """A person who does not exist or belongs to another shard."""
    test = f"{column} < 0 or {column} >= people or {column} % shards != shard"
    return Rule({column: "int64"}, test, f"{column} is no person of this shard")


def foreign_code(column: str) -> Rule:
    """An institution whose place in the topology belongs to another shard."""
    return Rule({column: "int16"}, f"{column} % shards != shard", f"{column} belongs to another shard")


def breaking(rule: EventRule, columns: Mapping[str, Column]) -> Rule:
    """An event that breaks a rule over several fields. Raises DefinitionError for an expression that cannot be
    meant."""
    when, must = expression.translated(rule.when, columns), expression.translated(rule.must, columns)
    read = {name: columns[name].dtype for name in (*when.columns, *must.columns)}
    return Rule(read, f"({when.text}) and not ({must.text})", rule.reason)


def rules_pass(rules: Sequence[Rule]) -> Refuse:
    """The rules as one compiled pass: (event columns, int64[5] limits) -> uint8[n], 0 or 32 + the number of the first
    rule that refuses.
    """
    run = compiled(source(rules), "refuse")
    columns = tuple(_columns(rules))

    def refuse(events: Mapping[str, Any], limits: npt.NDArray[np.int64]) -> UInt8:
        out = np.empty(len(events["seq"]), np.uint8)
        run(*[events[name] for name in columns], limits, out)
        return out

    return refuse


def source(rules: Sequence[Rule]) -> str:
    """The pass as Python text. Raises DefinitionError for a column that has the name of something else in it."""
    columns = _columns(rules)
    for name in columns:
        if name in (*LIMITS, "limits", "out", "i", "np", "t", "ro", "rw"):
            raise DefinitionError(f"a rule cannot read column {name!r}: its name is taken in the pass")
    assert FIRST_CODE + len(rules) <= 256, "verdicts are bytes"
    types = "".join(f"ro({NUMBA_TYPE[dtype]}), " for dtype in columns.values())
    tests = []
    loaded: set[str] = set()
    for number, rule in enumerate(rules):
        tests += [f"        {name} = np.int64(c_{name}[i])" for name in rule.columns if name not in loaded]
        loaded.update(rule.columns)
        tests.append(f"        if {rule.test}:\n            out[i] = {FIRST_CODE + number}\n            continue")
    body = "\n".join(tests)
    return f"""{HEADER}

@njit(t.void({types}ro(t.int64), rw(t.uint8)), nogil=True, cache=True)
def refuse({"".join(f"c_{name}, " for name in columns)}limits, out):
    {", ".join(LIMITS)} = {", ".join(f"limits[{i}]" for i in range(len(LIMITS)))}
    for i in range(out.shape[0]):
        out[i] = 0
{body}
"""


def _columns(rules: Sequence[Rule]) -> dict[str, str]:
    """What the rules read, with dtypes, in order of first use."""
    return {name: dtype for rule in rules for name, dtype in rule.columns.items()}
