"""Names, ids, single records on the wire, and the history of versions."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import catalog, compatibility, wire
from schemas.errors import IncompatibleSchema, JinliuError, UnknownSchema, WireError

POLICY = {"lever": "qr.cap", "value": "50000", "effective_from": 1_525_132_800_000, "origin": "LIVE"}
PARTIAL = {
    "rollup": "share", "topic": "payments", "shard": 3, "window": "day", "window_start": 0, "window_end": 86_400_000,
    "status": "INCOMPLETE", "revision": 2, "missing": {"alipay": 7, "银行": 0}, "upto": 900, "wall": 1,
    "folded": bytes(range(256)),
}  # fmt: skip


@pytest.fixture
def extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_extra", {})


def test_the_ids_that_logs_hold_never_change() -> None:
    fixed = {"payment": 1, "tick": 2, "operation": 3, "policy": 4, "run": 5, "progress": 6, "partial": 7}
    assert fixed.items() <= catalog.ids().items()
    assert catalog.schema("payment").fullname == "jinliu.Payment"


def test_every_file_has_an_id_of_its_own_and_every_id_a_file() -> None:
    numbers = yaml.safe_load((catalog.ROOT / "ids.yaml").read_text(encoding="utf-8"))
    files = {path.stem: path for path in (catalog.ROOT / "avsc").rglob("*.avsc")}
    assert set(numbers) == set(files)
    assert len(set(numbers.values())) == len(numbers)
    for name, path in files.items():
        assert (numbers[name] >= 101) == (path.parent.name == "metrics")
        assert 0 < numbers[name] < catalog.EXTRA_ID_LEAST
    assert len({catalog.schema(name).fullname for name in catalog.names()}) == len(numbers)


def test_every_field_says_what_it_is() -> None:
    for name in catalog.names():
        parsed = catalog.schema(name).parsed
        assert parsed["doc"], name
        assert all(field.get("doc") for field in parsed["fields"]), name


def test_an_extra_has_the_id_of_its_canonical_form(extras: None) -> None:
    text = json.dumps({"type": "record", "name": "Mine", "fields": [{"name": "a", "type": "long"}]})
    documented = json.dumps({"type": "record", "name": "Mine", "doc": "x", "fields": [{"name": "a", "type": "long"}]})
    mine = catalog.register_extra("mine", text)
    assert mine.id >= catalog.EXTRA_ID_LEAST
    assert catalog.register_extra("mine", documented).id == mine.id
    assert catalog.schema("mine").id == mine.id == catalog.ids()["mine"] < 1 << 31
    with pytest.raises(JinliuError, match="already registered"):
        catalog.register_extra("mine", text.replace("long", "int"))
    with pytest.raises(JinliuError, match="are the same"):
        catalog.register_extra("yours", text)
    with pytest.raises(JinliuError, match="part of jinliu"):
        catalog.register_extra("tick", text)
    with pytest.raises(JinliuError, match="not an Avro record"):
        catalog.register_extra("other", '"long"')


def test_unknown_names_are_told_the_known() -> None:
    with pytest.raises(UnknownSchema, match="payment, tick"):
        catalog.schema("paymint")


def test_single_records_go_and_come_back() -> None:
    ids = catalog.ids()
    for name, value in (("policy", POLICY), ("partial", PARTIAL)):
        data = wire.encode(name, value, ids)
        assert data[:5] == b"\x00" + ids[name].to_bytes(4, "big")
        assert wire.decode(data) == (name, value)


def test_a_registrys_ids_are_used_both_ways() -> None:
    ids = {"policy": 70_001, "partial": 70_002}
    data = wire.encode("policy", POLICY, ids)
    assert data[:5] == b"\x00\x00\x01\x11\x71"
    assert wire.decode(data, ids) == ("policy", POLICY)
    with pytest.raises(UnknownSchema, match="70001"):
        wire.decode(data)
    with pytest.raises(UnknownSchema, match="'tick'"):
        wire.encode("tick", {}, ids)


@pytest.mark.parametrize("change", [{"origin": "MARS"}, {"effective_from": "today"}, {"lever": None}, {"more": 1}])
def test_values_that_do_not_fit_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="'policy'"):
        wire.encode("policy", {**POLICY, **change}, catalog.ids())


def test_hostile_single_records_raise_wire_errors_only() -> None:
    rng = np.random.default_rng(5)
    ids = catalog.ids()
    whole = wire.encode("partial", PARTIAL, ids)
    for data in (None, b"", b"\x00\x00\x00\x00", b"\x01" + whole[1:], whole + b"\x00", whole[:-1]):
        with pytest.raises(WireError):
            wire.decode(data)
    for _ in range(2_000):
        spoiled = bytearray(whole)
        spoiled[int(rng.integers(5, len(whole)))] = int(rng.integers(0, 256))
        with contextlib.suppress(WireError):
            assert wire.decode(bytes(spoiled))[0] == "partial"


def test_every_schema_reads_all_its_versions() -> None:
    compatibility.check_all()


def record(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": list(fields)})


A, B = {"name": "a", "type": "long"}, {"name": "b", "type": "int"}
DEFAULTED = {"name": "b", "type": "int", "default": 0}
COLOUR: dict[str, Any] = {"type": "enum", "name": "C", "symbols": ["X", "Y"]}


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (record(A, DEFAULTED), record(A)),
        (record(A), record(A, B)),
        (record({"name": "b", "type": "long"}), record(B)),
        (record({"name": "b", "type": ["null", "int"]}), record(B)),
        (
            record({"name": "c", "type": {**COLOUR, "symbols": ["X", "Y", "Z"]}}),
            record({"name": "c", "type": COLOUR}),
        ),
    ],
)
def test_changes_that_are_compatible(reader: str, writer: str) -> None:
    compatibility.check("r", reader, {"1": writer})


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (record(A, B), record(A)),
        (record(B), record({"name": "b", "type": "long"})),
        (record({"name": "b", "type": "string"}), record(B)),
        (record(B), record({"name": "b", "type": ["null", "int"]})),
        (
            record({"name": "c", "type": COLOUR}),
            record({"name": "c", "type": {**COLOUR, "symbols": ["X", "Y", "Z"]}}),
        ),
    ],
)
def test_changes_that_are_not(reader: str, writer: str) -> None:
    with pytest.raises(IncompatibleSchema, match="'r' cannot read its version 2 at /"):
        compatibility.check("r", reader, {"1": reader, "2": writer})


def test_the_history_grows_by_compatible_versions_only(
    extras: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compatibility, "HISTORY", tmp_path)
    with pytest.raises(IncompatibleSchema, match="not the last version"):
        compatibility.check_all()
    written = compatibility.extend()
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == sorted(
        f"{name}/1.avsc" for name in catalog.names()
    )
    compatibility.check_all()
    assert compatibility.extend() == []
    (tmp_path / "tick" / "1.avsc").write_text(catalog.schema("tick").text.replace('"doc": "', '"doc": "Was: '))
    assert compatibility.extend() == [tmp_path / "tick" / "1.avsc"]
    text = catalog.schema("tick").text
    without = json.loads(text)
    del without["fields"][-1]
    (tmp_path / "tick" / "1.avsc").write_text(json.dumps(without))
    assert compatibility.extend() == [tmp_path / "tick" / "2.avsc"]
    (tmp_path / "tick" / "3.avsc").write_text(text.replace('"CLOSE"', '"CLOSE", "PAUSE"'))
    with pytest.raises(IncompatibleSchema, match="version 3"):
        compatibility.extend()
