"""Hostile rows of `state.<topic>`: strange keys are passed over, senseless rows are named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.errors import StateMismatch
from streams.shard import META, ShardState
from tests.unit.streams import everything
from tests.unit.streams.chunks import DAY, ROSTER, payment, plan_for, rows, tick

PLAN = plan_for([everything.METRIC], waiting=(0, 3), windows={"everything": ("day",)})
LOG = [
    *(tick(name, 0, 0, 0, kind="OPEN") for name in ROSTER),
    payment(), tick("alipay", 2, 0, DAY, 1, 100), tick("banks", 1, 0, DAY),
    payment(seq=3, event_time=DAY),
]  # fmt: skip
ROW = b"everything|keyed|day|1"


def stored() -> dict[bytes, bytes]:
    state = ShardState(PLAN, 0)
    state.fold(rows(PLAN, LOG), 0, len(LOG) - 1)
    return {key: value for key, value in state.take().state if value is not None}


def test_strange_keys_are_passed_over() -> None:
    strange = (
        b"", b"\xff", b"noise", b"everything|keyed|day", b"everything|keyed|day|x", b"everything|keyed|day|-1",
        b"everything|keyed|day|8", b"everything|keyed|day|01", b"everything|other|day|1", b"everything|keyed|week|1",
        b"everything|keyed|day|0", b"everything|keyed|day|" + b"9" * 5000,
    )  # fmt: skip
    sound = stored()
    assert ROW in sound
    with capture_logs() as told:
        spoilt = ShardState.restore(PLAN, 0, sound | dict.fromkeys(strange, b"noise"))
    assert [line["key"] for line in told] == [repr(key) for key in strange]
    assert {(line["event"], line["topic"], line["partition"]) for line in told} == {
        ("stored row ignored", "state.payments", 0)
    }
    restored = ShardState.restore(PLAN, 0, sound)
    assert [p.value() for p in spoilt.take().partials] == [p.value() for p in restored.take().partials]
    assert ShardState.restore(PLAN, 0, dict.fromkeys(strange[:-2], b"noise")).next_offset == 0, "no row of ours"


@pytest.mark.parametrize(
    ("value", "what"), [(b"noise", "another version or definition"), (stored()[ROW][:-1], "damaged")]
)
def test_a_row_that_does_not_decode_is_named(value: bytes, what: str) -> None:
    with pytest.raises(StateMismatch) as caught:
        ShardState.restore(PLAN, 0, stored() | {ROW: value})
    assert str(caught.value).startswith("state.payments/0, key b'everything|keyed|day|1': ")
    assert what in str(caught.value)
    assert "new prefix" in str(caught.value)


@pytest.mark.parametrize(
    ("meta", "what"),
    [
        (b"noise", "not JSON"), (b"\xff", "not JSON"), (b"[" * 100_000, "not JSON"), (b"[]", "not a JSON object"),
        ({"version": 0}, "another version"), ({"rollups": None}, "another rollups"),
        ({"next_offset": -1}, "'-1' is no integer"), ({"next_offset": "7"}, "'7' is no integer"),
        ({"wall_ms": 2**70}, "is no integer"), ({"clock": 0}, "clock is no table"), ({"clock": [0, 2**64]}, "clock"),
        ({"books": [[1.5] * 6] * 2}, "books is no table"), ({"accounts": [[0], [0, 0]]}, "ValueError"),
        ({"missing": []}, "AttributeError"), ({"missing": {"week": {"0": {}}}}, "KeyError"),
        ({"since": {"day": {"-2": {}}}}, "'-2' is no integer"),
        ({"missing": {"day": {"x": {}}}}, "ValueError"), ({"missing": {"day": {"1": {"nobody": 1}}}}, "nobody"),
        ({"revisions": []}, "revisions are not one table"),
        ({"revisions": [[{}], [{}], [{"1": 0}]]}, "'0' is no integer"),
        ({"revisions": None}, "TypeError"),
    ],
)  # fmt: skip
def test_a_position_that_makes_no_sense_is_named(meta: Any, what: str) -> None:
    sound = stored()
    text = meta if isinstance(meta, bytes) else json.dumps(json.loads(sound[META]) | meta).encode()
    with pytest.raises(StateMismatch) as caught:
        ShardState.restore(PLAN, 0, sound | {META: text})
    assert str(caught.value).startswith("state.payments/0")
    assert what in str(caught.value)
    assert str(caught.value).endswith(": use a new prefix or data directory")


def test_a_position_without_a_field_is_named() -> None:
    sound = stored()
    for name in json.loads(sound[META]):
        meta = json.loads(sound[META])
        del meta[name]
        with pytest.raises(StateMismatch, match=r"state\.payments/0.*new prefix"):
            ShardState.restore(PLAN, 0, sound | {META: json.dumps(meta).encode()})
