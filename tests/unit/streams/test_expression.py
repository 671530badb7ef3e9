"""Rules on one event as text: words become codes, and what cannot be meant is named."""

from __future__ import annotations

import pytest

from streams.errors import DefinitionError
from streams.expression import translated
from streams.refusal import Rule, rules_pass
from streams.rollup import Column

COLUMNS = {
    "kind": Column("int8", ("ONE", "TWO", "THREE")),
    "bank": Column("int16", ("icbc", "none")),
    "a_fen": Column("int64"),
    "b_fen": Column("int64"),
    "months": Column("int32", tuple(range(61))),
}


@pytest.mark.parametrize(
    ("text", "expected", "columns"),
    [
        ("True", "True", ()),
        ("kind == 'TWO'", "kind == 1", ("kind",)),
        ("kind != 'TWO'", "not kind == 1", ("kind",)),
        ("kind in ('ONE', 'THREE')", "kind == 0 or kind == 2", ("kind",)),
        ("not kind in ('ONE', 'THREE')", "not (kind == 0 or kind == 2)", ("kind",)),
        ("kind not in ('ONE', 'THREE')", "not (kind == 0 or kind == 2)", ("kind",)),
        ("bank == 'none' and a_fen - b_fen <= 2 * months", "bank == 1 and a_fen - b_fen <= 2 * months",
         ("bank", "a_fen", "b_fen", "months")),
        ("0 <= a_fen < b_fen or a_fen == -1", "0 <= a_fen < b_fen or a_fen == -1", ("a_fen", "b_fen")),
    ],
)  # fmt: skip
def test_words_become_codes(text: str, expected: str, columns: tuple[str, ...]) -> None:
    found = translated(text, COLUMNS)
    assert (found.text, found.columns) == (expected, columns)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("kind == 'FOUR'", "'FOUR' is no word of kind"),
        ("kind == 1", "1 is no word of kind"),
        ("kind < 'TWO'", "words are compared with"),
        ("kind in 'TWO'", "words are compared with"),
        ("kind in ()", "words are compared with"),
        ("kind == a_fen", "a_fen is no word of kind"),
        ("a_fen == kind", "kind is compared with words only"),
        ("a_fen == 'TWO'", "'TWO' is not an integer"),
        ("a_fen in (1, 2)", "`in` stands between a column and its words only"),
        ("c_fen == 1", "no column 'c_fen'"),
        ("a_fen / 2 == 1", "Div cannot be meant"),
        ("abs(a_fen) == 1", "Call cannot be meant"),
        ("a_fen == 1.5", "1.5 is not an integer"),
        ("a_fen ==", "invalid syntax"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, what: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        translated(text, COLUMNS)
    assert f"rule {text!r}: " in str(caught.value)
    assert what in str(caught.value)


def test_a_column_with_the_name_of_a_limit_is_refused() -> None:
    with pytest.raises(DefinitionError, match="cannot read column 'end'"):
        rules_pass([Rule({"end": "int64"}, "end < 0", "no end")])
