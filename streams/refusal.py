"""Range rules: which events of a topic can be no event of this run, judged over whole columns before the ledger walks
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.kernels import compiled
from streams.nativecode import HEADER, NUMBA_TYPE

UInt8 = npt.NDArray[np.uint8]
Refuse = Callable[[Mapping[str, Any], npt.NDArray[np.int64]], UInt8]
FIRST_CODE = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """An event is refused for `reason` when `test` holds: an expression over `x` (its value in `column`) and the limits
    shard, shards, start, end (of the span, ms) and people (persons in the world)."""

    column: str
    dtype: str
    test: str
    reason: str


def outside_span() -> Rule:
    return Rule("event_time", "int64", "x < start or x >= end", "event_time lies outside the span of the run")


def outside(column: str, least: int, most: int, dtype: str) -> Rule:
    return Rule(column, dtype, f"x < {least} or x > {most}", f"{column} is not between {least} and {most}")


def unknown(column: str) -> Rule:
    """A string that its vocabulary does not know."""
    return Rule(column, "int16", "x < 0", f"{column} is not known to the topology")


def foreign_person(column: str) -> Rule:
    """A person who does not exist or belongs to another shard."""
    return Rule(column, "int64", "x < 0 or x >= people or x % shards != shard", f"{column} is no person of this shard")


def foreign_code(column: str) -> Rule:
    """An institution whose place in the topology belongs to another shard."""
    return Rule(column, "int16", "x % shards != shard", f"{column} belongs to another shard")


def rules_pass(rules: Sequence[Rule]) -> Refuse:
    """The rules as one compiled pass: (event columns, int64[5] limits) -> uint8[n], 0 or 32 + the number of the first
    rule that refuses.
    """
    run = compiled(source(rules), "refuse")
    columns = tuple(dict.fromkeys(rule.column for rule in rules))

    def refuse(events: Mapping[str, Any], limits: npt.NDArray[np.int64]) -> UInt8:
        out = np.empty(len(events["seq"]), np.uint8)
        run(*[events[name] for name in columns], limits, out)
        return out

    return refuse


def source(rules: Sequence[Rule]) -> str:
    """The pass as Python text."""
    columns = {rule.column: rule.dtype for rule in rules}
    types = "".join(f"ro({NUMBA_TYPE[dtype]}), " for dtype in columns.values())
    tests = []
    for number, rule in enumerate(rules):
        tests.append(f"        x = np.int64(c_{rule.column}[i])")
        tests.append(f"        if {rule.test}:\n            out[i] = {FIRST_CODE + number}\n            continue")
    body = "\n".join(tests)
    return f"""{HEADER}

@njit(t.void({types}ro(t.int64), rw(t.uint8)), nogil=True, cache=True)
def refuse({"".join(f"c_{name}, " for name in columns)}limits, out):
    shard, shards, start, end, people = limits[0], limits[1], limits[2], limits[3], limits[4]
    for i in range(out.shape[0]):
        out[i] = 0
{body}
"""
