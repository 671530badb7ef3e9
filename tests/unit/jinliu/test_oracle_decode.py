"""The oracle's decoder: in bulk and byte by byte it must agree, and be strict."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jinliu.oracle import plain
from jinliu.oracle.decode import HEADER, MALFORMED, NOT_CONFLUENT, UNKNOWN_SCHEMA, Decoder, bare
from schemas import catalog
from tests.unit.jinliu.oracle_world import payment, tick

SCHEMAS = {name: (catalog.schema(name).id, catalog.schema(name).text) for name in ("payment", "tick")}
GOOD = payment("alipay", 1, 5)
MUTANTS = Decoder(SCHEMAS)
PARSED = bare(catalog.schema("payment").parsed)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(SCHEMAS)


def test_both_record_types_keep_their_order(decoder: Decoder) -> None:
    decoded = decoder.decode([payment("alipay", 1, 5), tick("alipay", 2, 0, 1, 100), payment("banks", 1, 9)])
    assert decoded.kind.tolist() == [0, 1, 0]
    assert decoded.rows["payment"].column("source").to_pylist() == ["alipay", "banks"]
    assert decoded.rows["tick"].column("amount_fen").to_pylist() == [100]


def test_nothing_decodes_to_nothing(decoder: Decoder) -> None:
    decoded = decoder.decode([])
    assert len(decoded.kind) == 0
    assert decoded.rows["payment"].num_rows == 0
    assert "event_time" in decoded.rows["payment"].schema.names


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, NOT_CONFLUENT),
        (b"", NOT_CONFLUENT),
        (b"\x00\x00\x00", NOT_CONFLUENT),
        (b"\x01" + GOOD[1:], NOT_CONFLUENT),
        (b"\x00\x00\x00\x03\xe7" + GOOD[5:], UNKNOWN_SCHEMA),
        (GOOD[:-1], MALFORMED),
        (GOOD + b"\x00", MALFORMED),
        (GOOD[:HEADER] + b"\x01" + GOOD[HEADER + 1 :], MALFORMED),
        (GOOD[:-1] + b"\x02", MALFORMED),
        (GOOD[: HEADER + 1] + b"\xff" + GOOD[HEADER + 2 :], MALFORMED),
        (GOOD[:-2] + b"\x08" + GOOD[-1:], MALFORMED),
    ],
)
def test_bad_records_are_told_apart_and_hurt_no_other(decoder: Decoder, value: bytes | None, code: int) -> None:
    decoded = decoder.decode([GOOD, value, GOOD])
    assert decoded.kind.tolist() == [0, code, 0]
    assert decoded.rows["payment"].column("seq").to_pylist() == [1, 1]


def test_an_integer_beyond_its_width_is_malformed() -> None:
    schema = {"fields": [{"name": "latency_ms", "type": "int"}]}
    assert plain.datum(schema, b"\xff\xff\xff\xff\x0f") == {"latency_ms": -(2**31)}
    with pytest.raises(plain.MalformedError):
        plain.datum(schema, b"\x80\x80\x80\x80\x10")
    with pytest.raises(plain.MalformedError):
        plain.datum({"fields": [{"name": "x", "type": "long"}]}, b"\xff" * 9 + b"\x7f")


def test_a_padded_varint_is_legal_and_read_alike(decoder: Decoder) -> None:
    datum = GOOD[HEADER:]
    assert datum[7] == 2
    padded = GOOD[:HEADER] + datum[:7] + b"\x82\x00" + datum[8:]
    decoded = decoder.decode([padded])
    assert decoded.kind.tolist() == [0]
    assert decoded.rows["payment"].to_pylist() == decoder.decode([GOOD]).rows["payment"].to_pylist()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - HEADER - 1), st.integers(0, 255), st.integers(0, 4))
def test_bulk_and_byte_by_byte_agree_on_mutations(at: int, byte: int, cut: int) -> None:
    datum = bytearray(GOOD[HEADER:])
    datum[at] = byte
    value = GOOD[:HEADER] + bytes(datum[: len(datum) - cut])
    decoded = MUTANTS.decode([value])
    try:
        expected = [plain.datum(PARSED, value[HEADER:])]
    except plain.MalformedError:
        expected = []
    assert decoded.rows["payment"].to_pylist() == expected
    assert decoded.kind.tolist() == ([0] if expected else [MALFORMED])
