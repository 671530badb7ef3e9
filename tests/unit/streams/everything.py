"""A metric with every kind of measure, and its sums once more in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.measures import count, distinct, histogram, largest, overlap, smallest, total
from streams.metric import Merged, Metric, Window
from streams.packing import unpack_into
from streams.partials import Partial
from streams.plan import TopicPlan
from streams.rollup import Rollup
from streams.rows import Row, doc

EDGES = (10, 50, 200)
KEYED = Rollup(
    name="keyed",
    topic="payments",
    keys=("channel", "flagged"),
    where={"scene": ("DINING", "TRAVEL")},
    measures={
        "payments": count(),
        "outcomes": count(by="outcome"),
        "amount": total("amount_fen", times="weight"),
        "good": total("amount_fen", where={"outcome": "SUCCESS", "flagged": False}),
        "latency": histogram("latency_ms", EDGES, times="weight"),
        "slowest": largest("latency_ms"),
        "fastest": smallest("latency_ms"),
    },
)
PEOPLE = Rollup(
    name="people",
    topic="payments",
    keys=("payer_bank",),
    measures={
        "payers": distinct("payer_id"),
        "qr_payers": distinct("payer_id", where={"instrument": "QR"}),
        "weighed": distinct("payer_id", times="weight", where={"outcome": "SUCCESS"}),
        "several": overlap("payer_id", by="channel"),
    },
)
SO_FAR = Rollup(
    name="so-far",
    topic="payments",
    keys=("channel",),
    where={"outcome": "SUCCESS"},
    measures={
        "paid": total("amount_fen"),
        "ever": distinct("payer_id"),
        "most": largest("latency_ms"),
        "mixed": overlap("payer_id", by="instrument", times="weight", where={"flagged": False}),
    },
    cumulative=True,
)


@dataclass(slots=True, kw_only=True)
class EverythingRow(Row):
    """One row a window."""

    payments: int = doc("Payments in dining and travel.")
    payers: int = doc("Distinct payers, summed over banks.")


def derive(window: Window, merged: Merged) -> Iterator[EverythingRow]:
    yield EverythingRow(payments=int(merged["keyed"]["payments"].sum()), payers=int(merged["people"]["payers"].sum()))


METRIC = Metric(
    name="everything",
    row=EverythingRow,
    key=("window", "window_start"),
    rollups=(KEYED, PEOPLE, SO_FAR),
    derive=derive,
    windows=("day", "4d", "year"),
    proof="SELECT 'not proved here, held against `sums`'",
)


def sums(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the first two rollups hold after these events: measure -> cell (names) -> value."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in KEYED.measures}
    slow: dict[Any, int] = {}
    fast: dict[Any, int] = {}
    people: dict[str, dict[Any, set[int]]] = {"payers": {}, "qr_payers": {}}
    paid = [event for event in events if event["outcome"] == "SUCCESS"]
    weighed = _people(paid, "payer_bank", least=1)
    several = _people(events, "payer_bank", by="channel")
    for event in events:
        people["payers"].setdefault((event["payer_bank"],), set()).add(event["payer_id"])
        if event["instrument"] == "QR":
            people["qr_payers"].setdefault((event["payer_bank"],), set()).add(event["payer_id"])
        if event["scene"] not in ("DINING", "TRAVEL"):
            continue
        cell, value = (event["channel"], event["flagged"]), event["latency_ms"]
        found["payments"][cell] += 1
        found["outcomes"][*cell, event["outcome"]] += 1
        found["amount"][cell] += event["amount_fen"] * event["weight"]
        if event["outcome"] == "SUCCESS" and not event["flagged"]:
            found["good"][cell] += event["amount_fen"]
        found["latency"][*cell, sum(value >= edge for edge in EDGES)] += event["weight"]
        slow[cell], fast[cell] = max(slow.get(cell, value), value), min(fast.get(cell, value), value)
    sets = {name: {cell: len(ids) for cell, ids in cells.items()} for name, cells in people.items()}
    plain = {name: {cell: n for cell, n in cells.items() if n} for name, cells in found.items()}
    counted = {"weighed": weighed, "several": {(bank,): n for (bank, what), n in several.items() if what == 0}}
    return plain | {"slowest": _not_zero(slow), "fastest": _not_zero(fast)} | sets | counted


def _people(taken: Sequence[dict[str, Any]], key: str, by: str = "seq", least: int = 2) -> dict[Any, int]:
    """Of each cell of a key, as (cell, 0) how many people have `least` or more different values of `by`, as (cell, 1)
    the sum of their weights, each the bitwise or of theirs.
    """
    weight: Counter[int] = Counter()
    for event in taken:
        weight[event["payer_id"]] |= event["weight"]
    seen: dict[Any, set[Any]] = {}
    for event in taken:
        seen.setdefault((event[key], event["payer_id"]), set()).add(event[by])
    found: Counter[Any] = Counter()
    for (cell, person), values in seen.items():
        if len(values) >= least:
            found[cell, 0] += 1
            found[cell, 1] += weight[person]
    return dict(found)


def so_far(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the cumulative rollup holds after these events, those of all windows up to its own."""
    paid: Counter[Any] = Counter()
    ever: dict[Any, set[int]] = {}
    most: dict[Any, int] = {}
    for event in events:
        if event["outcome"] == "SUCCESS":
            cell = (event["channel"],)
            paid[cell] += event["amount_fen"]
            ever.setdefault(cell, set()).add(event["payer_id"])
            most[cell] = max(most.get(cell, 0), event["latency_ms"])
    unflagged = [event for event in events if event["outcome"] == "SUCCESS" and not event["flagged"]]
    return {
        "paid": _not_zero(dict(paid)),
        "ever": {c: len(ids) for c, ids in ever.items()},
        "most": _not_zero(most),
        "mixed": _people(unflagged, "channel", by="instrument"),
    }


def unpacked(plan: TopicPlan, partials: Sequence[Partial]) -> dict[str, Any]:
    """The same out of the partials of one window."""
    found: dict[str, Any] = {}
    for partial in partials:
        layout = next(bound.layout for bound in plan.rollups if bound.name == partial.rollup)
        row = np.zeros(layout.width, np.int64)
        unpack_into(layout, row, partial.folded)
        for name, measure in layout.rollup.measures.items():
            axes: list[tuple[Any, ...]] = list(layout.symbols)
            if measure.kind in ("distinct", "overlap"):
                axes += [(0, 1)] if measure.times else []
            elif measure.by is not None:
                axes.append(layout.columns[measure.by].symbols or ())
            if measure.edges:
                axes.append(tuple(range(len(measure.edges) + 1)))
            cells = layout.view(row, name)
            found[name] = {
                tuple(axis[i] for axis, i in zip(axes, place, strict=True)): int(cells[place])
                for place in np.ndindex(cells.shape)
                if cells[place]
            }
    return found


def _not_zero(cells: dict[Any, int]) -> dict[Any, int]:
    return {cell: value for cell, value in cells.items() if value}
