"""YAML with places; overlays keep them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.document import Document, canonical, parse, read, shown
from topologies.errors import Place, TopologyError
from topologies.overlay import merged

# text, line, what, allowed
NOT_YAML = [
    ("a: 1\nb: [1, 2\nc: 3\n", 3, "not YAML: while parsing a flow sequence begun in line 2", "`key: value`"),
    ("a: 1\n\tb: 2\n", 2, "not YAML", "no tabs"),
    ("a: 'open\n", 2, "not YAML: while scanning a quoted scalar begun in line 1", "`key: value`"),
    ("a: \x01\n", 0, "not YAML", "printable text"),
    ("", 1, "is no mapping", "at the top"),
    ("- a\n", 1, "is no mapping", "at the top"),
    ("a: 1\nb: 2\na: 3\n", 3, "stands twice, first in line 1", "each key once"),
    ("a: 1\n<<: {b: 1}\n", 2, "has a key that is no text", "`over:` instead of merge keys"),
    ("? [a]\n: 1\n", 1, "has a key that is no text", "plain keys"),
    ("a: &x {b: *x}\n", 1, "holds itself", "finite depth"),
    ("a: !!python/object:os.system {}\n", 1, "has the tag tag:yaml.org,2002:python/object:os.system", "plain YAML"),
    ("a: !mine 3\n", 1, "has the tag !mine", "!replace before a mapping"),
    ("a: 2022-13-45\n", 1, "month must be in 1..12", "a date such as 2018-06-30"),
]


@pytest.mark.parametrize(("text", "line", "what", "allowed"), NOT_YAML)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, line: int, what: str, allowed: str) -> None:
    with pytest.raises(TopologyError) as caught:
        parse(text, "mine.yaml")
    (problem,) = caught.value.problems
    assert (problem.place.file, problem.place.line) == ("mine.yaml", line)
    assert what in problem.what
    assert allowed in problem.allowed


def test_several_problems_at_once() -> None:
    with pytest.raises(TopologyError) as caught:
        parse("a: 1\na: 2\nb: !mine 3\n", "mine.yaml")
    assert [problem.place.line for problem in caught.value.problems] == [2, 3]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"cannot be read: Is a directory; allowed: a YAML file"):
        read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(TopologyError, match=r"is not UTF-8: .*; allowed: a YAML file in UTF-8"):
        read(tmp_path / "latin.yaml")


def test_values_and_their_places() -> None:
    document = parse("day: 2018-06-30\nat: 2018-06-30 12:00:00\nlist:\n  - {id: one, n: 1.5}\n  - true\n", "f.yaml")
    assert document.data == {
        "day": date(2018, 6, 30),
        "at": datetime(2018, 6, 30, 12),
        "list": [{"id": "one", "n": 1.5}, True],
    }
    assert document.place(("list", 0, "n")) == Place("f.yaml", 4, 18)
    assert document.place(("list",)) == Place("f.yaml", 3, 1)
    assert document.place(("list", 0, "not there", "deeper")).line == 4
    assert document.field(("list", 0, "n")) == "list.one.n"
    assert document.field(("list", 1)) == "list[1]"


def lay(base: str, over: str) -> Document:
    return merged(parse(base, "base.yaml"), parse(over, "over.yaml"))


def test_mappings_merge_key_by_key_and_keep_their_places() -> None:
    laid = lay("a: {b: 1, c: 2}\nd: 3\n", "a:\n  c: 4\ne: 5\n")
    assert laid.data == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert str(laid.place(("a", "b"))) == "base.yaml:1"
    assert str(laid.place(("a", "c"))) == "over.yaml:2"
    assert str(laid.place(("d",))) == "base.yaml:2"


def test_lists_of_named_things_merge_by_name_and_append() -> None:
    laid = lay("l: [{id: a, n: 1}, {id: b, n: 2}]\n", "l:\n- {id: c, n: 5}\n- {id: b, n: 3}\n")
    assert laid.data == {"l": [{"id": "a", "n": 1}, {"id": "b", "n": 3}, {"id": "c", "n": 5}]}
    assert str(laid.place(("l", 1, "n"))) == "over.yaml:3"
    assert str(laid.place(("l", 2, "n"))) == "over.yaml:2"


def test_other_lists_and_values_are_replaced() -> None:
    laid = lay("l: [1, 2, 3]\nm: {a: 1}\nn: [{id: a}]\n", "l: [4]\nm: none\nn: []\n")
    assert laid.data == {"l": [4], "m": "none", "n": []}
    assert (("l", 1) in laid.places, ("m", "a") in laid.places) == (False, False)


def test_what_is_marked_replaces_as_a_whole() -> None:
    assert lay("a: {b: 1, c: 2}\n", "a: !replace {d: 3}\n").data == {"a": {"d": 3}}
    assert lay("a: [{id: x}]\n", "a: !replace [{id: y}]\n").data == {"a": [{"id": "y"}]}


def test_a_name_twice_in_an_overlay_is_refused() -> None:
    with pytest.raises(TopologyError, match=r"over\.yaml:1: l\.b: b stands twice; allowed: each once"):
        lay("l: [{id: a}]\n", "l: [{id: b}, {id: b}]\n")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_canonical_keeps_the_data_and_forgets_the_order(value: object) -> None:
    def reversed_keys(data: object) -> object:
        if isinstance(data, dict):
            return {key: reversed_keys(data[key]) for key in reversed(data)}
        return [reversed_keys(item) for item in data] if isinstance(data, list) else data

    assert canonical(value) == value
    assert repr(canonical(reversed_keys(value))) == repr(canonical(value))


def test_values_are_shown_as_the_file_would_spell_them() -> None:
    assert [shown(value) for value in (None, True, 3, date(2018, 6, 30), "text")] == [
        "nothing",
        "true",
        "3",
        "2018-06-30",
        "'text'",
    ]
    assert len(shown("x" * 200)) == 60
