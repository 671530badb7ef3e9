"""Alarms: what they refuse to mean, and which rows of the bundled metrics raise them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from streams import metrics
from streams.alarm import Alarm
from streams.alerts import raised
from streams.errors import DefinitionError
from streams.metric import Metric
from tests.unit.streams import everything

ALARMED = [metric for metric in metrics.load().values() if metric.alarms]
MARCH = int(datetime(2021, 3, 1, tzinfo=UTC).timestamp() * 1000)
APRIL = int(datetime(2021, 4, 1, tzinfo=UTC).timestamp() * 1000)


def sample(name: str, **fields: Any) -> Any:
    """A closed row of a month, 0 where nothing else is said."""
    kind = metrics.load()[name].row
    empty: dict[str, Any] = {
        field.name: 0
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    window = {"window": "month", "window_start": MARCH, "window_end": APRIL, "status": "FINAL"}
    return kind(**(empty | window | fields))


def rules(name: str, **fields: Any) -> list[str]:
    return [alert.rule for alert in raised(metrics.load()[name], sample(name, **fields))]


def test_the_alarms_there_are() -> None:
    assert {alarm.rule: (metric.name, alarm.field, alarm.above) for metric in ALARMED for alarm in metric.alarms} == {
        "over-reliance": ("channel-fees", "dependence", 0.5),
        "duplicate-borrowing": ("default-rates", "overlapping_share", 0.1),
        "fee-spike": ("early-warning", "fee_change", 0.002),
        "early-warning": ("early-warning", "signals", 2),
    }


LEANING = {"bank": "lan-hai", "platform": "ALL", "dependence": 0.51}


@pytest.mark.parametrize(
    ("other", "raises"),
    [
        ({}, True),
        ({"status": "INCOMPLETE"}, True),
        ({"status": "PROVISIONAL"}, False),
        ({"dependence": 0.5}, False),
        ({"dependence": None}, False),
        ({"platform": "jd"}, False),
        ({"bank": "ALL"}, False),
        ({"bank": "none"}, False),
    ],
)
def test_over_reliance_is_of_banks_over_all_platforms(other: dict[str, Any], raises: bool) -> None:
    assert rules("channel-fees", **(LEANING | other)) == ["over-reliance"] * raises


def test_an_alert_is_told_of_the_window_and_the_key() -> None:
    (alert,) = raised(metrics.load()["channel-fees"], sample("channel-fees", **LEANING))
    assert dataclasses.asdict(alert) == {
        "rule": "over-reliance",
        "event_time": APRIL,
        "topic": "metrics.channel-fees",
        "shard": 0,
        "offset": -1,
        "subject": "channel-fees month 2021-03-01 lan-hai ALL",
        "institution": "lan-hai",
        "value": 0.51,
        "limit": 0.5,
        "text": (
            "51.0% of what lan-hai lent in the twelve months up to that of 2021-03-01 was referred to it, above 50%."
        ),
    }
    record = alert.record("p.alerts", {"alert": 9})
    assert (record.topic, record.partition, record.key) == ("p.alerts", 0, b"over-reliance")


EVERYBODY = {"lender": "ALL", "product": "ALL", "vintage": None, "months_on_book": None, "overlapping_share": 0.104}


@pytest.mark.parametrize(
    ("other", "raises"),
    [({}, True), ({"window": "year"}, False), ({"product": "CARD"}, False), ({"overlapping_share": 0.1}, False)],
)
def test_duplicate_borrowing_is_of_a_month_and_everybody(other: dict[str, Any], raises: bool) -> None:
    assert rules("default-rates", **(EVERYBODY | other)) == ["duplicate-borrowing"] * raises


def test_what_is_null_in_a_key_is_a_hyphen() -> None:
    (alert,) = raised(metrics.load()["default-rates"], sample("default-rates", **EVERYBODY))
    assert (alert.subject, alert.institution) == ("default-rates month 2021-03-01 ALL ALL - -", "ALL")


def test_a_window_that_begins_within_a_day_is_told_with_its_time() -> None:
    row = sample("channel-fees", **LEANING, window="500ms", window_start=MARCH + 1_500)
    (alert,) = raised(metrics.load()["channel-fees"], row)
    assert alert.subject == "channel-fees 500ms 2021-03-01T00:00:01.500 lan-hai ALL"


PLAIN = Alarm(rule="much-paid", field="window_end", above=1, institution="window", text="{window} {value} {limit}")


def with_alarms(*alarms: Alarm) -> Metric:
    return replace(everything.METRIC, alarms=alarms)


def test_what_a_metric_may_name() -> None:
    assert with_alarms(PLAIN, replace(PLAIN, rule="other")).alarms


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": "Much paid"}, "lower-case letters and digits"),
        ({"field": "nobody"}, "the row has no field 'nobody'"),
        ({"institution": "nobody"}, "the row has no field 'nobody'"),
        ({"where": {"nobody": 1}}, "the row has no field 'nobody'"),
        ({"unless": {"nobody": 1}}, "the row has no field 'nobody'"),
        ({"field": "window"}, "'window' must be an int or float"),
        ({"institution": "window_end"}, "'window_end' a str"),
        ({"text": "{nobody}"}, "KeyError: 'nobody'"),
        ({"text": "{"}, "its text does not read"),
        ({"text": "{value:d}"}, "its text does not read"),
        ({"text": "{window:.2f}"}, "its text does not read"),
        ({"text": "{}"}, "it may name value, limit, window"),
        ({"text": "{window.nobody}"}, "AttributeError"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        with_alarms(replace(PLAIN, **change))


def test_two_alarms_of_one_rule_and_those_without_rollups_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two alarms have one rule"):
        with_alarms(PLAIN, PLAIN)
    with pytest.raises(DefinitionError, match="alarms are of merged rows"):
        replace(metrics.load()["accounting"], alarms=(PLAIN,))
