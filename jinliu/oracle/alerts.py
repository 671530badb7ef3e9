"""Alerts about loans: those that the log of `loans` calls for, and those on topic `alerts`.

An alert is committed in one transaction with the accounts of its shard, whose `upto` lies behind the event it is about:
a refused event is counted dead, one above the cap folded or late, so the accounts change with either. The end up to
which alerts are read is settled after the accounts were (look 5 of `jinliu.oracle.moment`), hence no alert about an
event below `reached` is missing there. One about an event at or behind it belongs to what is not judged yet, and is
left out. Exactly once: an alert that lies there twice is one too many.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jinliu.oracle import found
from jinliu.oracle.columns import Bool, Int64
from jinliu.oracle.compare import Key
from jinliu.oracle.decode import HEADER
from jinliu.oracle.loanrules import Kind, Loans, Product
from jinliu.oracle.log import Log
from schemas import catalog

Caps = Sequence[tuple[int, float]]
"""From when (UTC ms) a platform may fund which share of a joint loan, by time; before the first, any."""
ALERTS = "alerts"
"""The topic, and the name under which its records are compared."""
ALERT = "alert"
ORDER, CAP = "loan-order", "loan-cap"
RULES = frozenset({ORDER, CAP})
KEY = ("rule", "topic", "shard", "offset", "copy")
"""What names an alert; `copy` is 0, and 1 for one that lies there a second time."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A record of topic `alerts` but for its text. event_time: UTC ms.

    value, limit: for CAP the platform's share of the amount and the cap; for ORDER as a `Breach` has them.
    """

    rule: str
    event_time: int
    topic: str
    shard: int
    offset: int
    subject: str
    institution: str
    value: float | None = None
    limit: float | None = None


def above_cap(told: Loans, time: Int64, accepted: Bool, caps: Caps) -> Iterator[tuple[int, float, float]]:
    """(row, share, cap) of accepted joint loans paid out whose platform puts in more than the cap of their time.

    time: of the events, UTC ms. accepted: bool[n].
    """
    joint = np.flatnonzero(accepted & (told.kind == Kind.FUNDED) & (told.product == Product.JOINT))
    since = [moment for moment, _ in caps]
    for row in joint.tolist():
        at = bisect_right(since, int(time[row])) - 1
        part, amount = int(told.platform_fen[row]), int(told.amount[row])
        if at >= 0 and part * 10**8 > round(caps[at][1] * 10**8) * amount:  # 0.57 * 100 is below 57 in floats
            yield row, part / amount, caps[at][1]


def expected(alerts: Iterable[Alert]) -> dict[Key, dict[str, Any]]:
    """What should lie on the topic, by KEY."""
    return copied((asdict(alert) for alert in alerts), KEY)


def told(log: Log, ends: Mapping[int, int], number: int) -> list[dict[str, Any]]:
    """All alerts on the topic below `ends`. number: schema id of an alert; a stranger's record is passed over with a
    warning.
    """
    rows = []
    head, schema = b"\x00" + number.to_bytes(4, "big"), catalog.schema(ALERT).parsed
    for key, value in found.records(log, ALERTS, ends):
        if value is None or value[:HEADER] != head:
            found.stranger(ALERTS, key, "it has not the Confluent header of an alert")
            continue
        rows += [row for _, row in found.keyed({key: value}, ALERTS, schema)]
    return rows


def lying(
    alerts: Iterable[Mapping[str, Any]], topics: Iterable[str], reached: Mapping[tuple[str, int], int]
) -> dict[Key, dict[str, Any]]:
    """Those by the rules of loans, about events of the topics that were reached, by KEY.

    reached: (topic, shard) -> first offset that is not judged.
    """
    judged = frozenset(topics)
    rows = (row for row in alerts if row["rule"] in RULES and row["topic"] in judged)
    return copied((row for row in rows if row["offset"] < reached.get((row["topic"], row["shard"]), 0)), KEY)


def copied(rows: Iterable[Mapping[str, Any]], key: Sequence[str]) -> dict[Key, dict[str, Any]]:
    """Rows by the fields of `key`, the last of which is the number of the copy: 0, 1, ... of those that have the
    others in common.
    """
    seen: Counter[Key] = Counter()
    out: dict[Key, dict[str, Any]] = {}
    for row in rows:
        name = tuple(row[part] for part in key[:-1])
        out[*name, seen[name]] = dict(row)
        seen[name] += 1
    return out
