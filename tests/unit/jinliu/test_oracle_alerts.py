"""Alerts in the proof: the engine's are those that the log calls for, and whatever is changed is named."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jinliu.oracle import Verdict, verify
from jinliu.oracle.decode import bare
from jinliu.oracle.plain import datum
from schemas import catalog
from tests.unit.jinliu.engine_run import operations, payments, processed, topology
from tests.unit.jinliu.loan_world import SOURCES, loans, tale
from tests.unit.jinliu.moving_stack import MovingStack
from tests.unit.jinliu.oracle_world import HOUR, START, MemoryLog, wire

ALERT = bare(catalog.schema("alert").parsed)
Raw = dict[str, list[list[bytes | None]]]


def raw(ours: int = 60) -> Raw:
    return {"loans": [loans(0, ours), loans(1)]}


def proved(log: Any) -> Verdict:
    return verify("", "", topology(), log=log)


def rewritten(log: MemoryLog, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> MemoryLog:
    """The log with what `change` makes of each alert."""
    records = log.topics["alerts"][0]
    rows = [datum(ALERT, value[5:]) for _, value in records if value is not None]
    log.topics["alerts"] = [[(row["rule"].encode(), wire("alert", row)) for each in rows for row in change(each)]]
    return log


def test_the_alerts_of_a_sound_run_are_called_for() -> None:
    log = processed(raw())
    alerts = [datum(ALERT, value[5:]) for _, value in log.topics["alerts"][0] if value is not None]
    assert sorted((a["rule"], a["shard"]) for a in alerts) == [("loan-cap", 0), ("loan-order", 0), ("loan-order", 1)]
    verdict = proved(log)
    assert verdict.differences == []
    assert verdict.metrics["alerts"] == 3


def test_a_run_without_any_compares_none() -> None:
    verdict = proved(processed({"payments": payments(), "operations": operations()}))
    assert "alerts" not in verdict.metrics


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_time", 1),
        ("subject", "loan 0"),
        ("institution", "abc"),
        ("value", 0.6000001),
        ("limit", 0.31),
        ("limit", None),
    ],
)
def test_a_changed_field_is_named(field: str, value: Any) -> None:
    log = rewritten(processed(raw()), lambda row: [row | ({field: value} if row["rule"] == "loan-cap" else {})])
    (difference,) = proved(log).differences
    assert (difference.metric, difference.field, difference.found) == ("alerts", field, value)
    assert difference.row.startswith("rule=loan-cap topic=loans shard=0 offset=")
    assert difference.row.endswith(" copy=0")


def test_the_text_is_not_compared() -> None:
    assert proved(rewritten(processed(raw()), lambda row: [row | {"text": "no matter what"}])).equal


def test_an_alert_that_is_lost_is_a_difference() -> None:
    for rule in ("loan-cap", "loan-order"):
        log = rewritten(processed(raw()), lambda row, lost=rule: [] if row["rule"] == lost else [row])
        verdict = proved(log)
        assert verdict.different == (1 if rule == "loan-cap" else 2)
        assert {(d.field, d.found) for d in verdict.differences} == {("row", "absent")}


@pytest.mark.parametrize("change", [{}, {"offset": 3}, {"offset": 0}, {"shard": 1, "offset": 3}])
def test_an_alert_too_many_is_a_difference(change: dict[str, Any]) -> None:
    def more(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [row, row | change] if row["rule"] == "loan-cap" else [row]

    (difference,) = proved(rewritten(processed(raw()), more)).differences
    assert (difference.field, difference.expected) == ("row", "absent")
    assert difference.row.endswith("copy=0" if change else "copy=1")


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "npl-ratio"},
        {"topic": "metrics.default-rates", "offset": -1},
        {"topic": "wealth"},
        {"offset": 10_000},
        {"shard": 9},
    ],
    ids=str,
)
def test_alerts_of_other_rules_and_of_what_is_not_judged_are_left_alone(change: dict[str, Any]) -> None:
    verdict = proved(rewritten(processed(raw()), lambda row: [row, row | change]))
    assert verdict.equal
    assert verdict.metrics["alerts"] == 3


def test_what_strangers_wrote_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    log = processed(raw())
    key, value = log.topics["alerts"][0][0]
    assert value is not None
    log.topics["alerts"][0] += [
        (None, None), (key, None), (key, b"noise"), (key, value[:-2]), (key, value + b"\x00"), (b"\xff", b""),
        (key, b"\x00\x00\x00\x00\x63" + value[5:]),
    ]  # fmt: skip
    verdict = proved(log)
    assert verdict.equal
    assert verdict.metrics["alerts"] == 3
    assert sum("topic alerts: the record with key" in message for message in caplog.messages) == 7


def test_alerts_are_those_of_the_lever_of_the_topology() -> None:
    log = processed(raw(30))
    assert proved(log).equal
    world = topology()
    world.policies = tuple(each._replace(value=min(each.value, 0.29)) for each in world.policies)
    verdict = verify("", "", world, log=log)
    assert [(d.metric, d.field, d.found) for d in verdict.differences] == [("alerts", "row", "absent")]
    assert verdict.differences[0].expected["value"] == pytest.approx(0.3, abs=1e-3)
    assert verdict.differences[0].expected["event_time"] // HOUR == START // HOUR + 3


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_engine_and_proof_agree_about_loans_told_wrongly(seed: int) -> None:
    told: list[bytes | None] = [value for _, value in tale(random.Random(seed))]
    assert proved(processed({"loans": [told, []]}, {"loans": SOURCES})).differences == []


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_no_alert_differs_while_a_stack_goes_on(seed: int) -> None:
    stack = MovingStack(raw(), seed, pace=80)
    for _ in range(40 + 60 * seed):
        stack.step()
    assert proved(stack).differences == []


def test_no_alert_differs_wherever_a_stack_was_stopped() -> None:
    counts = set()
    for seed in range(0, 10, 2):
        stack = MovingStack(raw(), seed)
        for _ in range(60 + 140 * seed):
            stack.step()
        stack.settle()
        verdict = proved(stack)
        assert verdict.differences == []
        counts.add(verdict.metrics.get("alerts", 0))
        stack.finish()
        assert proved(stack).metrics["alerts"] == 3
    assert len(counts) > 1
