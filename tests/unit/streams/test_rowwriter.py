"""Rows on the wire are what their own schema says, whichever fields are null."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import fastavro
import pytest

from schemas import catalog, wire
from streams import metrics
from streams.rowwriter import RowWriter

METRICS = metrics.load()
IDS = catalog.ids()


def filled(hint: str, number: int, null: bool) -> Any:
    if "None" in hint and null:
        return None
    return {"int": -(1 << 40) * number, "float": number / 7, "bool": bool(number % 2), "str": f"a{number}é"}[
        hint.split(" ")[0]
    ]


def row_of(name: str, null: bool, alternate: bool = False) -> Any:
    """A row of a metric with something in every field."""
    kind = METRICS[name].row
    values = {}
    for number, field in enumerate(dataclasses.fields(kind)):
        hint = field.type if isinstance(field.type, str) else field.type.__name__
        values[field.name] = filled(hint, number, null ^ (alternate and bool(number % 2)))
    if "status" in values:
        values["status"] = "FINAL"
    return kind(**values)


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_bytes_are_those_of_the_schema(name: str, null: bool, alternate: bool) -> None:
    metric, row = METRICS[name], row_of(name, null, alternate)
    writer = RowWriter(metric, IDS, "p.metrics.x")
    record = writer.record(row)
    value = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    assert record.value is not None
    assert record.key is not None
    assert wire.decode(record.value) == (name, value)
    plain = io.BytesIO()
    fastavro.schemaless_writer(plain, fastavro.parse_schema(json.loads(catalog.schema(name).text)), value)
    assert record.value[5:] == plain.getvalue()
    assert json.loads(record.key) == {field: value[field] for field in metric.key}
    assert (record.topic, record.partition) == ("p.metrics.x", -1)
    assert writer.record(row) == record


def test_a_value_of_another_type_is_refused() -> None:
    row = row_of("market-share", null=False)
    row.payments = "many"
    with pytest.raises((TypeError, ValueError)):
        RowWriter(METRICS["market-share"], IDS, "t").record(row)
