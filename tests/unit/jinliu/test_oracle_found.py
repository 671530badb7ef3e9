"""Which run the proof takes for the run: the one that everybody else takes, whatever else lies on topic `runs`."""

from typing import Any

import pytest

from jinliu.oracle import OracleError
from jinliu.oracle.found import run
from producers.logs import Entry
from producers.runrecord import Run, first_run
from schemas import catalog
from schemas import wire as confluent
from schemas.errors import UnknownSchema, WireError
from tests.unit.jinliu.oracle_world import START, MemoryLog, wire

RECORD = {"run": "r", "seed": 7, "topology": "small", "digest": "d", "roster": {"payments": ["a"]}, "start": START}
END = START + 1000

Records = list[tuple[bytes | None, bytes | None]]


def opened(name: str) -> bytes:
    return wire("run", {**RECORD, "run": name, "end": END})


def progress(source: str) -> tuple[bytes, bytes]:
    told = {"run": "r", "source": source, "tick_end": START, "events": 1, "closed": False}
    return f"r/{source}".encode(), wire("progress", told)


def found(records: Records) -> str:
    return str(run(MemoryLog({"runs": [records]}))["run"])


R, S = opened("r"), opened("s")
ID = catalog.ids()["run"].to_bytes(4, "big")
CASES: dict[str, tuple[Records, str]] = {
    "alone": ([(b"r", R), progress("a")], "r"),
    "junk behind it under its own key": ([(b"r", R), (b"r", b"junk"), (b"r", b""), progress("a")], "r"),
    "a datum cut short under its own key": ([(b"r", R), (b"r", R[:-3]), (b"r", R + b"\x00")], "r"),
    "another magic byte": ([(b"s", b"\x01" + ID + S[5:]), (b"r", R)], "r"),
    "another record under its own key": ([(b"r", R), progress("a"), (b"r", progress("a")[1])], "r"),
    "junk before it": ([(b"r", b"junk"), (b"r", R[:-3]), (b"r", R)], "r"),
    "a second run behind it": ([(b"r", R), (b"s", S), (b"r", S)], "r"),
    "the first was taken back": ([(b"s", S), (b"r", R), (b"s", None)], "r"),
    "taken back and written again": ([(b"s", S), (b"r", R), (b"s", None), (b"s", S)], "r"),
    "no key and the empty key are two": ([(None, S), (b"", R), (None, None)], "r"),
    "a tombstone of nobody": ([(b"x", None), (None, None), (b"r", R)], "r"),
}


@pytest.mark.parametrize(("records", "name"), CASES.values(), ids=CASES)
def test_the_first_record_that_stands_is_the_run_for_the_proof_as_for_everybody(records: Records, name: str) -> None:
    assert found(records) == name
    entries = [entry for offset, (key, value) in enumerate(records) for entry in decoded(key, offset, value)]
    read: Run | None = first_run(entries)
    assert read is not None
    assert read.id == name


def decoded(key: bytes | None, offset: int, value: bytes | None) -> list[Entry]:
    if value is None:
        return [Entry(key, offset, None, None)]
    try:
        return [Entry(key, offset, *confluent.decode(value))]
    except (WireError, UnknownSchema):
        return []


@pytest.mark.parametrize("topics", [{}, {"runs": [[]]}, {"runs": [[progress("a"), (b"r", b"junk"), (b"r", None)]]}])
def test_without_a_run_it_says_what_to_give(topics: dict[str, Any]) -> None:
    with pytest.raises(OracleError, match=r"topic runs holds no run: .* of a run"):
        run(MemoryLog(topics))
