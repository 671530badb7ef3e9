"""A run's own topics, read by the oracle's client and decoders: alerts, accounts, and the steps of loans."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jinliu.oracle import found
from jinliu.oracle.alerts import ALERT, ALERTS
from jinliu.oracle.decode import HEADER, Decoder
from jinliu.oracle.log import Log
from jinliu.oracle.moment import ACCOUNTING
from jinliu.report.beside import Int64, Steps
from jinliu.report.facts import UncoveredError
from schemas import catalog
from streams import metrics as bundled
from streams.rows import avro

LOANS, LOAN, TICK = "loans", "loan", "tick"
STRETCHES, STRETCH = 5, 40_000
"""Of each partition that many stretches of that many records are looked at, spread over all of it from its first to its
last; all of it where it is shorter."""
OFFER = ("amount_fen", "fee_fen", "rate_ppm", "months", "apr_ppm")
ABSENT = -1


class RawTopics:
    """Those of a run (`jinliu.report.beside.Raw`). ids: record -> schema id on the wire. roster: topic -> sources."""

    def __init__(self, log: Log, ids: Mapping[str, int], roster: Mapping[str, Any]) -> None:
        self._log, self._ids, self._roster = log, ids, roster

    def alerts(self) -> Mapping[str, int]:
        """Rule -> how many alerts by it stand on topic `alerts`."""
        return self._alerts

    @cached_property
    def _alerts(self) -> Counter[str]:
        head, counts = b"\x00" + self._ids[ALERT].to_bytes(4, "big"), Counter[str]()
        ends = {partition: end for partition, (_, end) in self._log.extents(ALERTS).items()}
        schema = catalog.schema(ALERT).parsed
        for key, value in found.records(self._log, ALERTS, ends):
            if value is None or value[:HEADER] != head:
                found.stranger(ALERTS, key, "it has not the Confluent header of an alert")
                continue
            counts.update(row["rule"] for _, row in found.keyed({key: value}, ALERTS, schema))
        return counts

    def dead(self, topic: str) -> int:
        """Records of an event topic that were refused, by the accounts."""
        return sum(row["dead"] for row in self._accounts if row["topic"] == topic)

    @cached_property
    def _accounts(self) -> list[dict[str, Any]]:
        schema = avro(ACCOUNTING, bundled.load()[ACCOUNTING].row)
        return list(found.rows(self._log, f"metrics.{ACCOUNTING}", schema, self._ids[ACCOUNTING]))

    def steps(self) -> Steps:
        """Steps of loans. Raises UncoveredError where nobody tells any."""
        if not self._roster.get(LOANS):
            raise UncoveredError(f"no source of the run tells {LOANS}")
        return self._steps

    @cached_property
    def _steps(self) -> Steps:
        decoder = Decoder({name: (self._ids[name], catalog.schema(name).text) for name in (LOAN, TICK)})
        read, of = 0, 0
        offers: list[dict[str, Int64]] = []
        referrals: Counter[tuple[str, str]] = Counter()
        for partition, (first, end) in self._log.extents(LOANS).items():
            of += end - first
            for start, stop in stretches(first, end):
                for chunk in self._log.read(LOANS, partition, stop, first=start):
                    read += len(chunk.values)
                    rows = decoder.decode(chunk.values).rows[LOAN]
                    offers.append(_offers(rows.filter(pc.equal(rows.column("kind"), "OFFERED"))))
                    referred = rows.filter(pc.equal(rows.column("kind"), "REFERRED"))
                    referrals.update(
                        zip(referred.column("product").to_pylist(), referred.column("actor").to_pylist(), strict=True)
                    )
        none = [dict.fromkeys(OFFER, np.empty(0, np.int64))]
        return Steps(
            read, of, {name: np.concatenate([part[name] for part in offers or none]) for name in OFFER}, referrals
        )


def _offers(rows: pa.RecordBatch) -> dict[str, Int64]:
    return {name: rows.column(name).fill_null(ABSENT).to_numpy(zero_copy_only=False).astype(np.int64) for name in OFFER}


def stretches(first: int, end: int) -> list[tuple[int, int]]:
    """[start, stop) of the offsets to look at in [first, end)."""
    if end - first <= STRETCHES * STRETCH:
        return [(first, end)] if end > first else []
    starts = np.linspace(first, end - STRETCH, STRETCHES).astype(np.int64).tolist()
    return [(start, start + STRETCH) for start in starts]
