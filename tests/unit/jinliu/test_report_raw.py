"""What the report reads of a run's own topics: alerts, accounts and steps of loans."""

from typing import Any

import pytest

from jinliu.report import raw
from jinliu.report.beside import Int64
from jinliu.report.facts import UncoveredError
from jinliu.report.raw import ABSENT, RawTopics, stretches
from schemas import catalog
from tests.unit.jinliu.engine_run import processed, run_of
from tests.unit.jinliu.loan_world import life, loan
from tests.unit.jinliu.oracle_world import MemoryLog, tick

ROSTER = {"loans": ("alipay", "banks")}
STRANGER = b"\x00\x00\x00\x00\x00anything"


def lent(steps: list[dict[str, Any]], **other: Any) -> list[bytes | None]:
    """Steps of loans of shard 0 behind an OPEN tick."""
    opened = tick("alipay", 0, 0, 0, 0, kind="OPEN")
    return [opened, *(loan("alipay", 1 + i, i, **(step | other)) for i, step in enumerate(steps))]


def topics(log: MemoryLog, roster: Any = ROSTER) -> RawTopics:
    return RawTopics(log, catalog.ids(None), roster)


def test_alerts_are_counted_by_rule_and_the_accounts_by_topic() -> None:
    """A loan that begins with OFFERED, and one whose platform funds 20% where the cap falls to that later."""
    good, wrong = life("JOINT", 512), life("CARD", 1024)[2:3]
    log = processed({"loans": [lent([*good, *wrong]), []]})
    log.topics["alerts"][0].append((b"loan-order", STRANGER))
    found = topics(log)
    assert found.alerts() == {"loan-order": 1}
    assert found.alerts() is found.alerts()
    assert found.dead("loans") == 1
    assert found.dead("payments") == 0


def test_offers_and_referrals_are_read_from_every_shard() -> None:
    steps = [*life("JOINT", 512), *life("PARTNERSHIP", 1024), *life("CARD", 1536)]
    offers = {"amount_fen": 1000, "rate_ppm": 180_000, "months": 3, "apr_ppm": 195_000}
    log = MemoryLog({"loans": [[(None, value) for value in lent(steps, **offers)], [(None, STRANGER)]]})
    found = topics(log).steps()
    assert found.read == found.of == len(steps) + 2
    assert found.referrals == {("JOINT", "PLATFORM"): 1, ("PARTNERSHIP", "PLATFORM"): 1}
    assert {name: column.tolist() for name, column in found.offers.items()} == {
        **{name: [value] * 3 for name, value in offers.items()},
        "fee_fen": [3] * 3,
    }


def test_what_an_offer_does_not_say_is_absent() -> None:
    log = MemoryLog({"loans": [[(None, value) for value in lent(life("CARD", 512))]]})
    columns: dict[str, Int64] = dict(topics(log).steps().offers)
    assert columns["apr_ppm"].tolist() == columns["rate_ppm"].tolist() == [ABSENT]


def test_a_run_without_loans_has_no_steps() -> None:
    roster = run_of({"payments": [[], []]})["roster"]
    with pytest.raises(UncoveredError, match="no source of the run tells loans"):
        topics(MemoryLog({}), roster).steps()
    assert topics(MemoryLog({})).steps().offers["apr_ppm"].tolist() == [], "told, but not yet"


def test_a_long_partition_is_looked_at_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stretches(7, 7) == []
    assert stretches(0, 200_000) == [(0, 200_000)]
    spread = stretches(10, 1_000_010)
    assert spread[0] == (10, 40_010)
    assert spread[-1] == (960_010, 1_000_010)
    assert len(spread) == raw.STRETCHES
    monkeypatch.setattr(raw, "STRETCH", 2)
    steps = [step for number in range(2, 42, 2) for step in life("CARD", 256 * number, ending="rejected")]
    log = MemoryLog({"loans": [[(None, value) for value in lent(steps)]]})
    found = topics(log).steps()
    assert (found.read, found.of) == (10, len(steps) + 1)
