"""What a proof of a stack that runs, or was stopped anywhere, may expect and must find.

Five looks at the log, in this order:

1. `merged`: how far each partition of `partials.<metric>` is merged, by the merge's own position;
2. `ends`: where the metric topics end; rows behind are not looked at;
3. `accounts`, and from them `reached`: how far the workers have read each event partition; what lies behind is not
   judged;
4. `unmerged`: the windows of which a closing partial lies at or behind the merge position of look 1;
5. `alerts`: where topic `alerts` ends (`jinliu.oracle.alerts`, `jinliu.oracle.alarms`).

Each look reads up to a settled end: all that was written before the look, once every transaction open then is over.
Thus of a transaction that any look has shown a part of, every later look at another topic shows all, and so does the
same topic read up to an end settled later.

No row in the snapshot is too many. A row of a closed window that ends below `ends` was derived from committed partials;
each of them is in one transaction with its shard's accounts, which look 3, being later, shows: `reached` covers what
closed the window, so it is expected. Its values are final, so it can be compared whatever was written since.

No row is missing that should be there, unless its window is `unmerged`. A window is expected when the events below
`reached` close it in every shard. The accounts that say so were committed together with or behind the partials that
close it, so look 4 would show all of these. Either one of them lies at or behind the merge position, then the window is
in `unmerged`; or all lie below it, then their rows are in the transaction that wrote the position or in an earlier one,
for the merge writes the rows of a closed window no later than the position behind its last partial. Look 2, later than
look 1, shows them, and compaction keeps them: a closed row is the last of its key, a closing partial too.

No row of a window that is closed and not `unmerged` is still PROVISIONAL, whatever its key: its last partial lies
below the merge position, so the closed rows lie below `ends`, behind every provisional one, and no merge opens a window
again. A provisional row whose key none of them has was derived from a part of the window and is not from the whole: a
ranking, a stock that came to nothing. The merge takes it back by a tombstone no later than with the closed rows, so one
that stands is one too many.

The accounts are read once, the rows compared being those that `reached` comes from. An end may cut a transaction of
which the first records are committed and below it; so the topic is read on to a second, later end, and rows that belong
to what was reached (no greater `upto`) replace those they follow.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinliu.oracle import found, plain
from jinliu.oracle.alerts import ALERTS
from jinliu.oracle.decode import HEADER, bare
from jinliu.oracle.errors import OracleError
from jinliu.oracle.log import Log
from schemas import catalog
from streams import metrics as bundled
from streams.metric import Metric
from streams.rows import avro

ACCOUNTING = "accounting"
OPEN_STATUS = "PROVISIONAL"
POSITION = b"position"
PARTIAL = "partial"
Ends = Mapping[int, int]
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """ends: metric -> partition of its topic -> offset. accounts: rows of `metrics.accounting`. reached: (topic, shard)
    -> first offset not read. unmerged: metric -> windows (name, start in UTC ms) that no merge has closed yet. alerts:
    partition of topic `alerts` -> offset. ids: record name -> schema id.
    """

    ids: Mapping[str, int]
    ends: Mapping[str, Ends]
    accounts: tuple[Mapping[str, Any], ...]
    reached: Mapping[tuple[str, int], int]
    unmerged: Mapping[str, frozenset[Place]]
    alerts: Ends


def look(log: Log, metrics: Mapping[str, Metric], ids: Mapping[str, int]) -> Moment:
    """Take the looks. ids: record name -> schema id. Raises OracleError where no worker has read anything."""
    merging = [name for name, metric in metrics.items() if metric.rollups]
    merged = {name: _merged(log, name) for name in merging}
    topics = {name: f"metrics.{name}" for name in metrics}
    settled = log.settled(list(topics.values()))
    accounts = _accounts(log, ids[ACCOUNTING])
    reached: dict[tuple[str, int], int] = {}
    for row in accounts:
        place = (row["topic"], row["shard"])
        reached[place] = max(row["upto"], reached.get(place, 0))
    ends = log.settled([*(f"partials.{name}" for name in merging), ALERTS])
    return Moment(
        ids=ids,
        ends={name: settled[topic] for name, topic in topics.items()},
        accounts=accounts,
        reached=reached,
        unmerged={
            name: frozenset(_closing(log, f"partials.{name}", merged[name], ends[f"partials.{name}"], ids))
            for name in merging
        },
        alerts=ends.get(ALERTS, {}),
    )


def _merged(log: Log, metric: str) -> dict[int, int]:
    """Partition of the partials -> first offset not merged. Raises OracleError for a position that is none."""
    topic = f"state.partials.{metric}"
    upto = {}
    for partition, end in log.settled([topic])[topic].items():
        text = found.newest(log, topic, {partition: end}).get(POSITION)
        if text is not None:
            upto[partition] = _upto(topic, partition, text)
    return upto


def _upto(topic: str, partition: int, text: bytes) -> int:
    try:
        upto = json.loads(text)["upto"]
    except (ValueError, KeyError, TypeError, RecursionError):
        upto = None
    if isinstance(upto, bool) or not isinstance(upto, int) or upto < 0:
        raise OracleError(
            f"topic {topic}, partition {partition}: the merge's position is damaged ({text[:60]!r}); "
            "run again under a new prefix or data directory"
        )
    return upto


def _accounts(log: Log, number: int) -> tuple[dict[str, Any], ...]:
    """The accounts as of the newest that is committed. Raises OracleError where there are none."""
    topic, metric = f"metrics.{ACCOUNTING}", bundled.load()[ACCOUNTING]
    schema = avro(metric.name, metric.row)
    first = log.settled([topic])[topic]
    rows = dict(found.keyed(found.newest(log, topic, first, number), topic, schema))
    if not rows:
        raise OracleError("metrics.accounting is empty: no worker has read anything yet, so there is nothing to prove")
    reached: dict[tuple[str, int], int] = {}
    for row in rows.values():
        place = (row["topic"], row["shard"])
        reached[place] = max(row["upto"], reached.get(place, 0))
    last = log.settled([topic])[topic]
    head = b"\x00" + number.to_bytes(4, "big")
    for key, value in found.records(log, topic, last, first):
        mine = value is not None and value[:HEADER] == head
        for _, row in found.keyed({key: value} if value is not None and mine else {}, topic, schema):
            if row["upto"] <= reached.get((row["topic"], row["shard"]), 0):
                rows[key] = row
    return tuple(rows.values())


def _closing(log: Log, topic: str, first: Ends, ends: Ends, ids: Mapping[str, int]) -> Iterator[Place]:
    """Windows of the partials from `first` to `ends` that close one; what is no partial is the merge's to refuse."""
    head, schema = b"\x00" + ids[PARTIAL].to_bytes(4, "big"), bare(catalog.schema(PARTIAL).parsed)
    known: set[Place] = set()
    for key, value in found.records(log, topic, ends, first):
        place = _place(key)
        if place is None or place in known or value is None or value[:HEADER] != head:
            continue
        try:
            partial = plain.datum(schema, value[HEADER:])
        except plain.MalformedError:
            continue
        if partial["status"] != OPEN_STATUS and (partial["window"], partial["window_start"]) == place:
            known.add(place)
            yield place


def _place(key: bytes) -> Place | None:
    """The window that a partial's key names: `rollup|shard|window|start`."""
    try:
        _, window, start = key.decode().rsplit("|", 2)
        return window, int(start)
    except ValueError:
        return None
