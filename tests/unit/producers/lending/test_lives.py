"""What sources tell of loans: lawful lives to the fen, the same however the time is cut, carried over a run's start."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal, getcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import topologies
from producers.economy import DAY_MS, Economy
from producers.generator import Generator
from producers.lending import instalments
from producers.lending.emitter import LoanEmitter
from tests.unit.producers.lending.lives import Lives, steps
from topologies.lending import PRODUCTS

SMALL = topologies.load("small")
ECONOMY = Economy(SMALL, 7)
SOURCES = SMALL.roster("loans")


def at(year: int, month: int = 1, day: int = 1) -> int:
    return (date(year, month, day) - date(1970, 1, 1)).days * DAY_MS


def told(source: str, start_ms: int, end_ms: int, shard: int, economy: Economy = ECONOMY) -> dict[str, Any]:
    return LoanEmitter(economy, source, start_ms).rows(shard, start_ms, end_ms)


@pytest.mark.parametrize("seed", [7, 11])
@pytest.mark.parametrize("start", [(2018, 1), (2020, 7)])
def test_every_loan_lives_in_order_and_its_money_adds_up(seed: int, start: tuple[int, int]) -> None:
    economy = ECONOMY if seed == 7 else Economy(SMALL, seed)
    kinds: Counter[str] = Counter()
    for source in SOURCES:
        for shard in range(SMALL.scale.shards):
            lives = Lives()
            columns = told(source, at(*start), at(2022), shard, economy)
            assert (columns["borrower_id"] % SMALL.scale.shards == shard).all()
            for step in steps(columns):
                lives.take(step)
                kinds[step["kind"]] += 1
    assert len(kinds) == 15, "every kind of step is met"


def test_products_have_their_actors_and_shares() -> None:
    columns = told("banks", at(2021), at(2022), 0)
    for step in steps(columns):
        product, kind = PRODUCTS[step["product"]], step["kind"]
        alone = product not in ("PARTNERSHIP", "COFINANCED", "JOINT")
        assert not (alone and kind == "REFERRED")
        assert kind != "COMMISSION" or product == "PARTNERSHIP"
        if kind == "FUNDED":
            share = step["platform_fen"] / step["amount_fen"]
            assert share == 0 if product != "COFINANCED" else 0.009 < share <= 0.2
    joint = [step for step in steps(told("alipay", at(2018), at(2022), 0)) if step["kind"] == "FUNDED"]
    shares = {True: set[float](), False: set[float]()}
    for step in joint:
        asked = step["event_time"] >= at(2021, 2, 20)
        shares[asked].add(round(step["platform_fen"] / step["amount_fen"], 3))
    assert max(shares[True]) <= 0.3 < max(shares[False]), "the cap drops the most opaque bands"


@pytest.mark.parametrize("source", SOURCES)
def test_cutting_changes_nothing(source: str) -> None:
    start, end = at(2019, 3), at(2019, 6)
    generator = Generator(SMALL, 7, source, start, end, ECONOMY)
    whole = generator.block("loans", 1, 0, generator.ticks, 1)
    seq, pieces = 1, []
    for first, stop in ((0, 1), (1, 2), (2, 40), (40, generator.ticks)):
        block = generator.block("loans", 1, first, stop, seq)
        seq = int(block.ticks["seq"][-1]) + 1
        pieces.append(block)
    assert len(whole.events["seq"]) > 100
    for name, column in whole.events.items():
        assert np.concatenate([piece.events[name] for piece in pieces]).tolist() == column.tolist(), name
    for name, column in whole.ticks.items():
        assert np.concatenate([piece.ticks[name] for piece in pieces]).tolist() == column.tolist(), name


@pytest.mark.parametrize("source", SOURCES)
def test_any_stretch_is_expanded_alike(source: str) -> None:
    start, end = at(2019, 3), at(2020, 3)
    emitter = LoanEmitter(ECONOMY, source, start)
    whole = emitter._expanded(0, start, end)
    cuts = [start, *sorted(np.random.default_rng(3).integers(start, end, 25).tolist()), end]
    parts = [emitter._expanded(0, low, high) for low, high in pairwise(cuts)]
    for name, column in whole.items():
        assert np.concatenate([part[name] for part in parts]).tolist() == column.tolist(), name


@pytest.mark.parametrize("source", SOURCES)
def test_a_later_run_brings_forward_what_an_earlier_one_left(source: str) -> None:
    start = at(2019, 7)
    lives = Lives()
    for step in steps(told(source, at(2018), start, 0)):
        lives.take(step)
    open_there = {loan: left for loan, left in lives.left.items() if left and lives.stage[loan] == "OPEN"}
    later = told(source, start, at(2022), 0)
    brought = {s["loan_id"]: (s["amount_fen"], s["arrears"]) for s in steps(later) if s["kind"] == "BROUGHT_FORWARD"}
    assert {loan: (left, lives.mark[loan]) for loan, left in open_there.items()} == brought
    before = {s["loan_id"] for s in steps(told(source, at(2018), start, 0)) if s["kind"] == "APPLIED"}
    asked_before = before - set(brought)
    assert not asked_before & {s["loan_id"] for s in steps(later)}, "what was asked for before and is not open is over"


def test_every_offer_discloses_the_internal_rate_of_its_cash_flows() -> None:
    getcontext().prec = 40
    columns = told("banks", at(2021), at(2021, 4), 1)
    offers = [step for step in steps(columns) if step["kind"] == "OFFERED"]
    assert len(offers) > 20
    for offer in offers[:40]:
        plan = instalments.schedule(*(np.array([offer[name]]) for name in ("amount_fen", "rate_ppm", "months")))
        rate = Decimal(offer["apr_ppm"]) / 10**6
        for more in (Decimal("-0.0000006"), Decimal("0.0000006")):
            growth = (1 + rate + more) ** (Decimal(1) / 12)
            value = sum(Decimal(int(x)) / growth ** (k + 1) for k, x in enumerate(plan.instalment_fen[0]))
            received = offer["amount_fen"] - offer["fee_fen"]
            assert (value > received) == (more < 0), "the rate to the millionth"
        assert offer["apr_ppm"] > offer["rate_ppm"]


def test_a_lever_moved_later_leaves_what_was_before() -> None:
    moved = Economy(SMALL, 7, [("data-sharing", True, at(2020)), ("loan-rate-cap", 0.15, at(2020))])
    base, other = (told("banks", at(2018), at(2021), 0, economy) for economy in (ECONOMY, moved))
    early = [columns["event_time"] < at(2020) for columns in (base, other)]
    for name in ("event_time", "loan_id", "amount_fen", "kind"):
        assert base[name][early[0]].tolist() == other[name][early[1]].tolist()
    offered = other["kind"] == 3
    for kind in (offered, other["kind"] == 7):
        assert other["rate_ppm"][kind & (other["event_time"] >= at(2020))].max() <= 140_580
    assert base["rate_ppm"][base["kind"] == 3].max() > 200_000


def test_the_codes_of_kinds_and_products_are_the_schemas() -> None:
    from producers.lending import life
    from tests.unit.producers.lending.lives import KINDS

    for code, kind in enumerate(KINDS):
        assert getattr(life, f"K_{kind}") == code


def test_abroad_the_bank_introduces_customers_too() -> None:
    abroad = topologies.load("abroad")
    economy = Economy(abroad, 7)
    lives, referred = Lives(), Counter[str]()
    emitter = LoanEmitter(economy, "lenders", economy.start_ms)
    for step in steps(emitter.rows(0, at(2018), at(2020))):
        lives.take(step)
        if step["kind"] == "REFERRED":
            assert PRODUCTS[step["product"]] == "COFINANCED"
            referred[("BORROWER", "BANK", "PLATFORM")[step["actor"]]] += 1
        if step["kind"] == "FUNDED" and PRODUCTS[step["product"]] == "COFINANCED":
            assert 0.009 < step["platform_fen"] / step["amount_fen"] <= 0.2
    assert 0.2 < referred["BANK"] / referred.total() < 0.5
    assert not referred["BORROWER"]
