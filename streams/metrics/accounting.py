"""`metrics.accounting`: in = folded + late + duplicate + dead, per topic, shard and source.

The engine writes these rows itself, from the books of each shard, in the transaction that holds what they count.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.metric import Metric
from streams.rows import doc


@dataclass(slots=True, kw_only=True)
class AccountingRow:
    """What became of the records of one source in one shard of an event topic, since the beginning of the log."""

    topic: str = doc("Event topic, without prefix.")
    shard: int = doc("Its partition.")
    source: str = doc("Source of the run's roster; empty for records that name none of it.")
    received: int = doc("Records other than ticks: folded + late + duplicate + dead.")
    folded: int = doc("Events that are in the metrics.")
    late: int = doc("Events behind the floor: their windows were closed.")
    duplicate: int = doc("Events whose seq had been seen.")
    dead: int = doc("Records (ticks too) that went to the dead-letter topic.")
    ticks: int = doc("Ticks read, those seen before included.")
    missing: int = doc("Sequence numbers never seen.")
    upto: int = doc("First offset of the partition that had not been read when this row was written.")


METRIC = Metric(name="accounting", row=AccountingRow, key=("topic", "shard", "source"))
