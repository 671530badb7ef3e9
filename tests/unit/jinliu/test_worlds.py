"""Two worlds one lever apart, in memory, on the world `small`."""

from typing import Any

import numpy as np
import pytest

import topologies
from jinliu.report import assess
from jinliu.report.beside import Told
from jinliu.report.facts import Facts, UncoveredError
from jinliu.worlds import Simulated, folded, log_of
from producers.economy import Economy
from producers.lending.emitter import LoanEmitter
from schemas import catalog
from schemas.decode import Decoder
from schemas.encode import Encoder
from schemas.recordbatch import frame, split
from streams.plan import TopicPlan
from topologies import claims as paper

SMALL = topologies.load("small")
SEED = 7
POOLS, PRODUCTS = ("unbanked",), ("JOINT",)
PAIRS = ("loan.duplicates", "loan.sme-days", "coop.cap-depth", "api.churn")


@pytest.fixture(scope="module")
def worlds() -> Simulated:
    return Simulated(SMALL, SEED)


def joint(worlds: Simulated, cap: float) -> Told:
    return worlds.told("joint-loan-cap", cap, "joint-lending", POOLS, PRODUCTS)


def _sum(rows: Any, name: str, **key: str) -> int:
    return sum(row[name] for row in rows if all(row[field] == value for field, value in key.items()))


def test_the_pairs_are_measured_on_any_run_of_a_world_that_lends(worlds: Simulated) -> None:
    whole = Facts({}, SMALL.span.start_ms, SMALL.span.end_ms, SMALL, worlds=worlds)
    found = {each.claim.id: each for each in assess(whole, {name: paper.load()[name] for name in PAIRS}).findings}
    assert {name for name, each in found.items() if each.verdict == "holds"} == {*PAIRS[:3]}
    assert "needs at least 5,400 applicants" in found["api.churn"].reason
    for name in PAIRS[:3]:
        measured = found[name].measured
        assert measured is not None
        assert all(measured.interval)
        assert "t, paired by shard" in measured.note


def test_rows_are_closed_and_add_up_over_the_shards(worlds: Simulated) -> None:
    told = joint(worlds, 1.0)
    assert {row["status"] for row in told.whole} == {"FINAL"}
    assert {row["window"] for row in told.whole} == {"month"}
    assert len(told.shards) == SMALL.scale.shards == 2
    for name in ("loans", "funded_weighted_fen", "interest_weighted_fen"):
        parts = sum(_sum(rows, name, platform="ALL", bank="ALL") for rows in told.shards)
        assert parts == _sum(told.whole, name, platform="ALL", bank="ALL") > 0


def test_the_side_that_the_run_is_on_moves_nothing(worlds: Simulated) -> None:
    """The cap is 0.3 all through 2022 in the run's world; it is simulated once, whatever is asked of it."""
    capped = joint(worlds, 0.3)
    assert joint(worlds, 0.3) is capped
    assert worlds.told("data-sharing", False, "joint-lending", POOLS, PRODUCTS) is capped
    assert joint(worlds, 1.0) is not capped
    free = Simulated(topologies.load("small").model_copy(update={"levers": _uncapped()}), SEED)
    assert joint(free, 1.0).whole == joint(worlds, 1.0).whole, "as live decisions from the first day on"


def _uncapped() -> dict[str, Any]:
    lever = SMALL.levers["joint-loan-cap"]
    return {**SMALL.levers, "joint-loan-cap": lever.model_copy(update={"decisions": ()})}


def test_the_same_seed_gives_the_same_rows_and_another_others(worlds: Simulated) -> None:
    seen: list[tuple[int, int]] = []
    again = Simulated(SMALL, SEED, lambda done, of: seen.append((done, of)))
    assert joint(again, 0.3) == joint(worlds, 0.3)
    joint(again, 1.0)
    assert seen == [(1, 2), (2, 2), (3, 4), (4, 4)]
    assert joint(Simulated(SMALL, SEED + 1), 0.3) != joint(worlds, 0.3)


def _plan_and_blocks(worlds: Simulated, economy: Economy) -> tuple[TopicPlan, list[Any]]:
    plan = worlds._plan("default-rates")
    first, ticks = plan.start_ms // plan.tick_ms, (plan.end_ms - plan.start_ms) // plan.tick_ms
    emitters = [LoanEmitter(economy, source, plan.start_ms, ("unbanked", "firms")) for source in plan.roster]
    return plan, [emitter.block(1, first, ticks, 1) for emitter in emitters]


def test_the_era_behind_the_span_changes_nothing_of_it(worlds: Simulated) -> None:
    _, cut = _plan_and_blocks(worlds, worlds.economy(None))
    _, whole = _plan_and_blocks(worlds, Economy(SMALL, SEED))
    for one, other in zip(cut, whole, strict=True):
        assert one.counts.tolist() == other.counts.tolist()
        assert all(np.array_equal(one.events[name], other.events[name]) for name in one.events)


def test_columns_are_what_a_worker_decodes(worlds: Simulated) -> None:
    plan, blocks = _plan_and_blocks(worlds, worlds.economy(None))
    rows = log_of(plan, blocks, 1)
    number = catalog.schema("loan").id
    decoder = Decoder({"loan": number}, plan.decoder.vocabularies, {"loan": plan.decoder.columns["loan"]})
    encoder = Encoder("loan", number, plan.decoder.vocabularies, "borrower_id")
    for block in blocks:
        n = len(block.events["seq"])
        assert n
        buffer = np.empty(encoder.size_bound(n), np.uint8)
        size = encoder.into(buffer, 0, block.events, 0, n, 0)
        decoded = decoder.decode([next(split(frame(bytearray(buffer[:size].tobytes()), n, 1)))], 0)
        mine = rows.columns["loan"]["source"] == block.events["source"][0]
        for name, column in decoded.columns["loan"].items():
            if not name.endswith("?"):
                told = rows.columns["loan"][name][mine]
                assert told.dtype == column.dtype, name
                assert np.array_equal(told, column), name


def test_events_lie_before_the_tick_that_counts_them(worlds: Simulated) -> None:
    plan, blocks = _plan_and_blocks(worlds, worlds.economy(None))
    rows = log_of(plan, blocks, 1)
    loans, ticks = rows.columns["loan"], rows.columns["tick"]
    sources = np.empty(rows.n, np.int64)
    seqs = np.empty(rows.n, np.int64)
    for record, columns in (("loan", loans), ("tick", ticks)):
        sources[rows.index[record]], seqs[rows.index[record]] = columns["source"], columns["seq"]
    for source in range(len(plan.roster)):
        own = seqs[sources == source]
        assert own.tolist() == list(range(len(own)))
    assert {partial.status for partial in folded(plan, 1, rows)} == {"FINAL"}


def test_a_lost_event_is_not_passed_over_in_silence(worlds: Simulated) -> None:
    plan, blocks = _plan_and_blocks(worlds, worlds.economy(None))
    blocks[0].events["took_ms"][0] = -1
    with pytest.raises(AssertionError, match="3 of the loans' steps were not folded"):
        folded(plan, 1, log_of(plan, blocks, 1))


@pytest.mark.parametrize(
    ("world", "lever", "reason"),
    [
        ("one-to-one", "data-sharing", "has no source that tells loans"),
        ("small", "no-such-lever", "topology small has no lever no-such-lever"),
    ],
)
def test_what_a_world_lacks_is_said(world: str, lever: str, reason: str) -> None:
    with pytest.raises(UncoveredError, match=reason):
        Simulated(topologies.load(world), SEED).told(lever, True, "default-rates", POOLS, PRODUCTS)


def test_an_era_elsewhere_is_refused() -> None:
    early = SMALL.model_copy(update={"era": SMALL.era.model_copy(update={"last": SMALL.era.first})})
    with pytest.raises(UncoveredError, match="needs a world whose era holds 2022-01-01 to 2022-12-31"):
        joint(Simulated(early, SEED), 1.0)
