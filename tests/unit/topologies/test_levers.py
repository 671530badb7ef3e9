"""A lever's type and what it allows."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from pydantic import ValidationError

from topologies.levers import Lever, ms

STATED = {"about": "x", "source": "free parameter"}
BOOL = Lever.model_validate({**STATED, "type": "bool", "baseline": True})
ENUM = Lever.model_validate({**STATED, "type": "enum", "values": ("A", "B"), "baseline": "A"})
NUMBER = Lever.model_validate(
    {
        **STATED,
        "type": "number",
        "minimum": -1,
        "maximum": 2,
        "unit": "points",
        "baseline": 1,
        "decisions": ({"effective": date(2020, 1, 1), "value": 2, "source": "free parameter"},),
    }
)


@pytest.mark.parametrize(
    ("lever", "right", "wrong", "allowed"),
    [
        (BOOL, [True, False], [0, 1, "true", None, 1.0], "true or false"),
        (ENUM, ["A", "B"], ["C", "a", 1, True, None], "one of A, B"),
        (
            NUMBER,
            [-1, 0, 1.5, 2],
            [-1.01, 2.01, "1", True, None, float("nan"), float("inf")],
            "a number from -1 to 2 (points)",
        ),
    ],
)
def test_what_a_lever_allows(lever: Lever, right: list[object], wrong: list[object], allowed: str) -> None:
    assert [lever.wrong(value) for value in right] == [None] * len(right)
    assert all("is not allowed" in (lever.wrong(value) or "") for value in wrong)
    assert lever.allowed == allowed


def test_numbers_are_floats_however_written() -> None:
    assert isinstance(NUMBER.baseline, float)
    assert isinstance(NUMBER.decisions[0].value, float)
    assert isinstance(BOOL.baseline, bool)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "number", "baseline": 1}, "bounds do not fit"),
        ({"type": "number", "minimum": 2, "maximum": 1, "baseline": 1}, "a minimum below a maximum"),
        ({"type": "enum", "baseline": "A"}, "values does not fit the type"),
        ({"type": "enum", "values": ("A", "A"), "baseline": "A"}, "values does not fit the type"),
        ({"type": "bool", "values": ("A",), "baseline": True}, "values does not fit the type"),
        ({"type": "bool", "baseline": "yes"}, "baseline 'yes' is not allowed"),
    ],
)
def test_a_lever_that_contradicts_itself(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Lever.model_validate({**STATED, **fields})


def test_dates_and_times_are_utc() -> None:
    assert ms(date(1970, 1, 2)) == 86_400_000
    assert ms(datetime(1970, 1, 1, 0, 0, 1)) == 1000
