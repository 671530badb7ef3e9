"""Alarms in the proof: alerts of rows are those that the expected rows call for, and whatever is changed is named. And
rows taken back: while a stack goes on and when it is stopped, none of them is one too many.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jinliu.oracle import Verdict, verify
from jinliu.oracle.decode import bare
from jinliu.oracle.plain import datum
from schemas import catalog
from streams import metrics
from streams.metrics import load
from tests.unit.jinliu.engine_run import operations, payments, processed, topology
from tests.unit.jinliu.moving_stack import MovingStack
from tests.unit.jinliu.oracle_world import HOUR, START, MemoryLog, wire

ALERT = bare(catalog.schema("alert").parsed)
RULE = "much-paid"
DAY = "2022-01-01"


OWN = ("own_stock", "own_count")


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beside the bundled metrics two of one's own: with an alarm on its hours, and with rows that are taken back."""
    for name in OWN:
        text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        (tmp_path / f"{name}_loaded.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(catalog, "_extra", {})
    load.cache_clear()
    assert sorted(metrics.own()) == ["how-many", "paid-so-far"]
    yield
    load.cache_clear()
    for name in OWN:
        sys.modules.pop(f"streams.metrics.{name}_loaded", None)


def raw() -> dict[str, list[list[bytes | None]]]:
    return {"payments": payments(), "operations": operations()}


def proved(log: Any) -> Verdict:
    return verify("", "", topology(), log=log)


def alerts(log: MemoryLog) -> list[dict[str, Any]]:
    return [datum(ALERT, value[5:]) for _, value in log.topics["alerts"][0] if value is not None]


def rewritten(change: Callable[[dict[str, Any]], list[dict[str, Any]]], log: MemoryLog | None = None) -> MemoryLog:
    """A sound run with what `change` makes of each alert by RULE."""
    log = log or processed(raw())
    new = [each for row in alerts(log) for each in (change(row) if row["rule"] == RULE else [row])]
    log.topics["alerts"] = [[(row["rule"].encode(), wire("alert", row)) for row in new]]
    return log


def of(window: str, hour: int) -> Callable[[dict[str, Any]], bool]:
    """Whether an alert is of this window."""
    begin = f"paid-so-far {window} {DAY}"
    return lambda row: row["subject"].startswith(begin) and row["event_time"] == START + hour * HOUR


def test_the_alerts_of_a_sound_run_are_called_for() -> None:
    log = processed(raw())
    told = [row for row in alerts(log) if row["rule"] == RULE]
    hours = sorted(row["event_time"] for row in told if "-far hour " in row["subject"])
    assert len(hours) >= 3
    assert hours == list(range(hours[0], START + 6 * HOUR + 1, HOUR)), "what is cumulative stays above its limit"
    assert {row["topic"] for row in told} == {"metrics.paid-so-far"}
    assert {row["institution"] for row in told} == {"ALIPAY"}
    verdict = proved(log)
    assert verdict.differences == []
    assert verdict.metrics["alerts"] == len(alerts(log))


@pytest.mark.parametrize(
    ("field", "value"),
    [("institution", "BANK"), ("value", 12.5), ("value", None), ("limit", 10.0), ("shard", 1), ("offset", 0)],
)
def test_a_changed_field_is_named(field: str, value: Any) -> None:
    last = of("hour", 6)
    verdict = proved(rewritten(lambda row: [row | ({field: value} if last(row) else {})]))
    (difference,) = verdict.differences
    assert (difference.metric, difference.field, difference.found) == ("alerts", field, value)
    assert difference.row == (
        f"rule={RULE} subject=paid-so-far hour {DAY}T05:00:00.000 ALIPAY event_time={START + 6 * HOUR} copy=0"
    )


def test_the_text_is_not_compared() -> None:
    assert proved(rewritten(lambda row: [row | {"text": "no matter what"}])).equal


def test_one_that_is_lost_and_one_that_lies_there_twice_are_differences() -> None:
    last = of("hour", 6)
    (lost,) = proved(rewritten(lambda row: [] if last(row) else [row])).differences
    assert (lost.field, lost.found) == ("row", "absent")
    (twice,) = proved(rewritten(lambda row: [row, row] if last(row) else [row])).differences
    assert (twice.field, twice.expected) == ("row", "absent")
    assert twice.row.endswith(" copy=1")


@pytest.mark.parametrize(
    "change",
    [
        {"subject": f"paid-so-far hour {DAY}T05:00:00.000 BANK"},
        {"subject": f"paid-so-far 6h {DAY} ALIPAY"},
        {"subject": f"paid-so-far hour {DAY}T05:30:00.000 ALIPAY"},
        {"subject": "noise"},
        {"subject": ""},
        {"event_time": 1},
    ],
    ids=str,
)
def test_one_that_no_row_calls_for_is_a_difference(change: dict[str, Any]) -> None:
    last = of("hour", 6)
    (difference,) = proved(rewritten(lambda row: [row, row | change] if last(row) else [row])).differences
    assert (difference.field, difference.expected) == ("row", "absent")


@pytest.mark.parametrize("change", [{"rule": "other"}, {"topic": "paid-so-far"}, {"topic": "metrics.market-share"}])
def test_alerts_by_other_rules_are_left_alone(change: dict[str, Any]) -> None:
    assert proved(rewritten(lambda row: [row, row | change])).equal


def test_of_a_window_that_is_not_closed_nothing_is_said() -> None:
    cut = [shard[:34] for shard in payments()]
    log = processed({"payments": cut, "operations": operations()})
    closed = max((row["event_time"] for row in alerts(log)), default=START)
    assert START < closed < START + 6 * HOUR
    late = {"subject": f"paid-so-far hour {DAY}T05:00:00.000 ALIPAY", "event_time": START + 6 * HOUR}
    assert proved(rewritten(lambda row: [row, row | late], log)).equal
    early = {"subject": f"paid-so-far hour {DAY} ALIPAY", "event_time": START + HOUR}
    assert not proved(rewritten(lambda row: [row, row | early], log)).equal


@pytest.mark.parametrize("seed", range(0, 30, 3))
def test_nothing_differs_while_a_stack_goes_on(seed: int) -> None:
    stack = MovingStack(raw(), seed, pace=80)
    for _ in range(60 + 40 * seed):
        stack.step()
    assert proved(stack).differences == []


def test_nothing_differs_wherever_a_stack_was_stopped() -> None:
    whole, counts, taken_back = len(alerts(processed(raw()))), set(), 0
    for seed in range(0, 40, 4):
        stack = MovingStack(raw(), seed)
        for _ in range(200 + 100 * seed):
            stack.step()
        stack.settle()
        verdict = proved(stack)
        assert verdict.differences == []
        counts.add(verdict.metrics.get("alerts", 0))
        stack.finish()
        verdict = proved(stack)
        assert (verdict.differences, verdict.metrics["alerts"], verdict.metrics["how-many"]) == ([], whole, 6 + 1)
        taken_back += sum(value is None for _, value, _ in stack.log["metrics.how-many", 0])
    assert len(counts) > 2
    assert taken_back > 10


def test_a_row_that_is_not_taken_back_is_one_too_many() -> None:
    stack = MovingStack(raw(), 8)
    stack.finish()
    rows = stack.log["metrics.how-many", 0]
    assert any(value is None for _, value, _ in rows)
    stack.log["metrics.how-many", 0] = [each for each in rows if each[1] is not None]
    differences = proved(stack).differences
    assert differences
    assert {(d.metric, d.field, d.expected) for d in differences} == {("how-many", "row", "absent")}
    assert {d.found["status"] for d in differences} == {"PROVISIONAL"}
