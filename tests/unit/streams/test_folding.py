"""What a shard of an event topic puts into a transaction."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from schemas import catalog, wire
from streams import metrics
from streams.fetch import Chunk
from streams.folding import FoldTask, decoder_of
from streams.options import Options
from streams.partials import Partial
from streams.task import Batch
from streams.transaction import Record
from tests.unit.streams import world
from tests.unit.streams.chunks import payment, plan_for, rows, tick

METRIC = metrics.load()["market-share"]
PLAN = plan_for([METRIC], windows={"market-share": ("day",)})
IDS = catalog.ids()
OPTIONS = Options(broker="nowhere", topology=SimpleNamespace(), prefix="p.", provisional_ms=1000)  # type: ignore[arg-type]
OPEN = [tick(source, 0, 0, 0, kind="OPEN", shard=1) for source in PLAN.roster]
FIRST, SECOND = (payment(source="alipay", seq=seq, payer_id=1) for seq in (1, 2))
LOG = world.told(PLAN, 1, random.Random(2), world.random_payment, 5)


def task() -> FoldTask:
    return FoldTask(OPTIONS, PLAN, IDS, 1)


def chunk(records: list[Any], first: int) -> Chunk:
    return Chunk("p.payments", 1, first, first + len(records) - 1, 10, rows=rows(PLAN, records, first))


def taken(batch: Batch | None) -> dict[str, list[Record]]:
    """Records of a transaction by topic."""
    assert batch is not None
    found: dict[str, list[Record]] = {}
    for record in batch.records():
        found.setdefault(record.topic, []).append(record)
    return found


def test_a_transaction_holds_state_partials_dead_letters_and_accounting() -> None:
    folding = task()
    assert folding.fold(chunk([*LOG[:20], -1], 0)) == 21
    batch = folding.take(5000, final=False)
    found = taken(batch)
    assert batch is not None
    assert (batch.upto, batch.dead, folding.next_offset) == (21, 1, 21)
    assert set(found) == {"p.state.payments", "p.partials.market-share", "p.payments.dead", "p.metrics.accounting"}
    assert {record.partition for record in found["p.state.payments"]} == {1}
    for record in found["p.partials.market-share"]:
        assert record.value is not None
        partial = Partial.of("market-share", wire.decode(record.value)[1])
        assert record.key == partial.key
        assert record.partition == PLAN.windows("day").index(partial.window_start) % 2
        assert partial.shard == 1
    (letter,) = found["p.payments.dead"]
    assert (letter.partition, letter.key, letter.value) == (1, b"key", b"-1")
    assert dict(letter.headers) == {
        "reason": b"undecodable: not the Confluent wire format",
        "topic": b"p.payments",
        "partition": b"1",
        "offset": b"20",
        "timestamp": b"1000020",
        "trace": b"20",
    }
    accounts = [wire.decode(record.value)[1] for record in found["p.metrics.accounting"]]
    assert sum(row["received"] for row in accounts) + sum(row["ticks"] for row in accounts) == 21


def test_partials_of_open_windows_wait_for_their_interval() -> None:
    folding = task()
    folding.fold(chunk([*OPEN, FIRST], 0))
    assert "p.partials.market-share" in taken(folding.take(5000, final=False))
    folding.fold(chunk([SECOND], 3))
    assert "p.partials.market-share" not in taken(folding.take(5400, final=False))
    assert folding.take(5900, final=False) is None, "stored already, not due yet"
    assert "p.partials.market-share" in taken(folding.take(6000, final=False))
    assert folding.take(9000, final=False) is None, "nothing came"


def test_a_stopping_shard_hands_out_everything() -> None:
    folding = task()
    folding.fold(chunk([*OPEN, FIRST], 0))
    assert folding.take(5000, final=False) is not None
    folding.fold(chunk([SECOND], 3))
    assert "p.partials.market-share" in taken(folding.take(5100, final=True))


def test_a_new_owner_goes_on_with_the_stored_state() -> None:
    whole, state = task(), dict[bytes, bytes]()
    now, partials, again = 0, dict[bytes | None, bytes | None](), dict[bytes | None, bytes | None]()
    whole.fold(chunk(LOG, 0))
    for record in taken(whole.take(10**6, final=True))["p.partials.market-share"]:
        partials[record.key] = record.value
    for first in range(0, len(LOG), 10):
        owner = task()
        owner.restore(state, reader=None)  # type: ignore[arg-type]
        assert owner.next_offset == first
        owner.fold(chunk(LOG[first : first + 10], first))
        now += 2000
        for topic, records in taken(owner.take(now, final=False)).items():
            for record in records:
                if topic == "p.state.payments":
                    assert record.key is not None
                    state.pop(record.key, None)
                    if record.value is not None:
                        state[record.key] = record.value
                elif topic == "p.partials.market-share":
                    again[record.key] = record.value
    assert {key: folded(value) for key, value in again.items()} == {
        key: folded(value) for key, value in partials.items()
    }


def folded(value: bytes | None) -> tuple[Any, ...]:
    assert value is not None
    partial = wire.decode(value)[1]
    return partial["status"], partial["window_end"], partial["folded"], partial["missing"]


def test_the_decoder_is_the_plan_s() -> None:
    assert decoder_of(PLAN, IDS) is not None
