"""What a source tells: numbered without a gap, ordered, the same however it is cut."""

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from producers.block import Block
from producers.digest import digest
from producers.economy import DAY_MS, Economy
from producers.errors import GeneratorError
from producers.generator import Generator

CHINA = topologies.load("china")
SMALL = topologies.load("small")
ONE = topologies.load("one-to-one")
ECONOMY = Economy(CHINA, 7)
DIRECT, NETWORK, BANKCARD, ON_US = range(4)


def at(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


START, END = at(date(2022, 1, 1)), at(date(2022, 2, 10))
GENERATORS = {s.name: Generator(CHINA, 7, s.name, START, END, ECONOMY) for s in CHINA.sources}
PAYING = sorted(s.name for s in CHINA.sources if "payments" in s.topics)


def rows(block: Block) -> dict[str, Any]:
    return {**block.events, **{f"tick.{k}": v for k, v in block.ticks.items()}, "counts": block.counts}


@settings(max_examples=15, deadline=None)
@given(
    source=st.sampled_from(PAYING),
    topic=st.sampled_from(["payments", "operations"]),
    shard=st.integers(0, 7),
    cuts=st.lists(st.integers(1, 39), max_size=4, unique=True),
)
def test_cutting_changes_nothing(source: str, topic: str, shard: int, cuts: list[int]) -> None:
    generator = GENERATORS[source]
    whole = rows(generator.block(topic, shard, 0, 40, 1))
    seq, pieces = 1, []
    for first, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 40], strict=True):
        block = generator.block(topic, shard, first, stop, seq)
        seq = int(block.ticks["seq"][-1]) + 1
        pieces.append(rows(block))
    for name, column in whole.items():
        assert np.concatenate([p[name] for p in pieces]).tolist() == column.tolist(), name


@pytest.mark.parametrize("source", PAYING)
def test_blocks_are_well_formed(source: str) -> None:
    for shard in (0, 5):
        block = GENERATORS[source].block("payments", shard, 0, 40, 11)
        e, t = block.events, block.ticks
        assert sorted([*e["seq"].tolist(), *t["seq"].tolist()]) == list(range(11, 11 + len(e["seq"]) + 40))
        assert (np.diff(e["event_time"]) >= 0).all()
        tick = np.repeat(np.arange(40), block.counts)
        assert (t["tick_start"][tick] <= e["event_time"]).all()
        assert (e["event_time"] < t["tick_end"][tick]).all()
        assert t["amount_fen"].tolist() == np.bincount(tick, weights=e["amount_fen"], minlength=40).astype(int).tolist()
        assert (e["payer_id"] % 8 == shard).all()
        assert (e["payer_id"] < CHINA.population).all()
        assert (e["amount_fen"] > 0).all()
        assert set(np.unique(e["weight"])) <= {CHINA.scale.weight, CHINA.scale.rare_weight}
        people = ECONOMY.people.of(e["payer_id"])
        assert people["segment"].tolist() == e["segment"].tolist()
        assert people["bank"].tolist() == e["payer_bank"].tolist()
        late = e["latency_ms"] >= round(CHINA.economy.routes.timeout_ms)
        assert late.tolist() == (e["outcome"] == 1).tolist()


def test_routes_and_visibility_follow_the_policy() -> None:
    edge = at(date(2018, 6, 30))
    for source in ("alipay", "wechat-pay"):
        e = (
            Generator(CHINA, 7, source, edge - 3 * DAY_MS, edge + 3 * DAY_MS, ECONOMY)
            .block("payments", 1, 0, 6, 1)
            .events
        )
        before = e["event_time"] < edge
        assert set(e["route"][before]) == {DIRECT}
        assert set(e["route"][~before]) == {NETWORK}
        assert e["detail_visible"].tolist() == (~before).tolist()
    banks = GENERATORS["banks"].block("payments", 1, 0, 40, 1).events
    assert (banks["route"] == ON_US).tolist() == (banks["payer_bank"] == banks["payee_bank"]).tolist()
    assert set(GENERATORS["unionpay"].block("payments", 1, 0, 40, 1).events["route"]) == {BANKCARD}


def test_weighted_totals_keep_the_economys_expectation() -> None:
    d0 = ECONOMY.index(START)
    for source, code in (("alipay", 0), ("banks", 3)):
        blocks = [GENERATORS[source].block("payments", shard, 0, 40, 1).events for shard in range(8)]
        told = sum(int(e["weight"].sum()) for e in blocks)
        expected = sum(float(ECONOMY.day(d0 + d).volume[code].sum()) for d in range(40))
        assert told == pytest.approx(expected, rel=4 * (CHINA.scale.weight / expected) ** 0.5)


def test_scanners_have_adopted_and_fates_carry_persons() -> None:
    e = GENERATORS["alipay"].block("payments", 2, 0, 40, 1).events
    scans = e["instrument"] == 0
    day = (e["event_time"] - ECONOMY.start_ms) // DAY_MS
    limit = ECONOMY.inputs.adoption[day, e["segment"]]
    assert (ECONOMY.people.of(e["payer_id"])["adoption_rank"] < limit + 1e-9)[scans].all()
    assert set(e["instrument"][e["fraud"] == 1]) == {0}
    assert set(e["weight"][e["fraud"] == 1]) == {CHINA.scale.person_weight}
    assert ((e["outcome"] == 3) == ((e["fraud"] == 1) & e["flagged"])).all()


def test_a_later_span_tells_the_same_days() -> None:
    late = Generator(CHINA, 7, "wechat-pay", START + 30 * DAY_MS, END).block("payments", 3, 0, 10, 1)
    early = GENERATORS["wechat-pay"].block("payments", 3, 30, 40, 1)
    for name in ("event_time", "payer_id", "amount_fen", "latency_ms"):
        assert late.events[name].tolist() == early.events[name].tolist()


def test_every_scanner_of_a_year_is_seen() -> None:
    start = at(date(2022, 1, 1))
    seen: set[int] = set()
    for source in ("alipay", "wechat-pay", "unionpay"):
        e = Generator(CHINA, 7, source, start, at(date(2023, 1, 1)), ECONOMY).block("payments", 0, 0, 365, 1).events
        seen |= set(e["payer_id"][e["instrument"] == 0].tolist())
    persons = np.arange(0, CHINA.population, 8)
    people = ECONOMY.people.of(persons)
    adoption = ECONOMY.inputs.adoption[ECONOMY.index(start) + 364]
    assert seen == set(persons[people["adoption_rank"] < adoption[people["segment"]]].tolist())


def test_one_to_one_ticks_of_a_second() -> None:
    generator = Generator(ONE, 7, "unionpay", ONE.span.start_ms, ONE.span.end_ms)
    block = generator.block("payments", 0, 0, 3, 1)
    assert block.counts.min() > 500
    assert (block.ticks["tick_end"] - block.ticks["tick_start"]).tolist() == [1000] * 3
    assert set(block.events["weight"]) <= {1, ONE.scale.person_weight}


def test_over_capacity_takes_the_main_weight() -> None:
    world = topologies.load("capacity-as-stated")
    e = Generator(world, 7, "alipay", START, END).block("payments", 0, 0, 40, 1).events
    over = e["outcome"] == 2
    assert over.mean() > 0.2
    assert set(e["weight"][over]) == {world.scale.weight}


def test_operations_keep_the_cycles() -> None:
    start, end = at(date(2018, 1, 1)), at(date(2025, 1, 1))
    generator = Generator(CHINA, 7, "banks", start, end, ECONOMY)
    kinds = ("REVENUE", "RESEARCH_SPEND", "PROPOSAL", "DECISION", "RELEASE", "CERTIFICATION")
    blocks = [generator.block("operations", shard, 0, generator.ticks, 1).events for shard in range(8)]
    kind = np.concatenate([b["kind"] for b in blocks])
    days = np.concatenate([b["days"] for b in blocks])
    assert days[kind == kinds.index("DECISION")].mean() == pytest.approx(45, rel=0.05)
    assert (kind == kinds.index("CERTIFICATION")).sum() == 18
    amount = np.concatenate([b["amount_fen"] for b in blocks])
    when = np.concatenate([b["event_time"] for b in blocks])
    for year, share in ((2018, 0.012), (2022, 0.035)):
        inside = (when >= at(date(year, 1, 1))) & (when < at(date(year + 1, 1, 1)))
        spent, earned = (amount[inside & (kind == k)].sum() for k in (1, 0))
        assert spent / earned == pytest.approx(share, abs=1e-6)
    shipped = Generator(CHINA, 7, "alipay", start, end, ECONOMY).block("operations", 0, 0, generator.ticks, 1).events
    assert set(shipped["days"][shipped["kind"] == 4]) == {7}


def test_refusals_say_why() -> None:
    with pytest.raises(GeneratorError, match="paypal"):
        Generator(CHINA, 7, "paypal", START, END, ECONOMY)
    with pytest.raises(GeneratorError, match="ticks"):
        Generator(CHINA, 7, "alipay", START + 1, END, ECONOMY)
    with pytest.raises(GeneratorError, match="starts before"):
        Generator(CHINA, 7, "alipay", at(date(2017, 1, 1)), END, ECONOMY)
    with pytest.raises(GeneratorError, match="lie outside"):
        GENERATORS["alipay"].block("payments", 0, 0, 41, 1)


def test_digests_do_not_depend_on_the_block_but_on_the_seed() -> None:
    start, end = SMALL.span.start_ms, SMALL.span.start_ms + 6 * DAY_MS
    whole = digest(SMALL, 7, start, end)
    assert digest(SMALL, 7, start, end, block_ticks=1) == whole
    assert set(whole) == {
        f"{s.name}/{t}/{k}" for s in SMALL.sources for t in s.topics for k in range(SMALL.scale.shards)
    }
    assert digest(SMALL, 8, start, end, sources=["alipay"])["alipay/payments/0"] != whole["alipay/payments/0"]
