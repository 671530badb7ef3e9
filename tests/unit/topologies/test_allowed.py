"""What is allowed, in words, from a model's types."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from topologies.allowed import Allowed, Kind, meant, reach, words


class Inner(BaseModel):
    share: Annotated[float, Field(ge=0, le=1)]


class Outer(BaseModel):
    first: int = Field(alias="from", gt=0)
    table: dict[date, Inner]
    items: tuple[Inner, ...]
    pair: tuple[int, str]
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (bool, "true or false"),
        (int, "an integer"),
        (Annotated[int, Field(ge=1)], "an integer at least 1"),
        (Annotated[float, Field(gt=0, lt=2)], "a number above 0 and below 2"),
        (Annotated[int, Field(ge=1, le=8)], "an integer from 1 to 8"),
        (str | None, "text, or nothing"),
        (date | datetime, "a date such as 2018-06-30, or a time such as 2018-06-30 12:00:00"),
        (Literal["a"], "a"),
        (Literal["a", "b"], "one of a, b"),
        (Annotated[str, Allowed("a thing")], "a thing"),
        (Inner, "a mapping with share"),
        (Outer, "a mapping with from, table, items, pair, maybe"),
        (dict[str, int], "a mapping of text to an integer"),
        (tuple[int, ...], "a list, each an integer"),
        (tuple[int, int], "a list of 2, each an integer"),
        (Annotated[tuple[int, ...], Field(min_length=24, max_length=24)], "a list of 24, each an integer"),
        (Annotated[tuple[int, ...], Field(min_length=1)], "a list of at least 1, each an integer"),
        (complex, "another value"),
    ],
)
def test_words(annotation: Any, said: str) -> None:
    assert words(Kind.of(annotation)) == said


@pytest.mark.parametrize(
    ("loc", "said"),
    [
        ((), "a mapping with from, table, items, pair, maybe"),
        (("from",), "an integer above 0"),
        (("table", "2018-01-01", "share"), "a number from 0 to 1"),
        (("items", 3, "share"), "a number from 0 to 1"),
        (("pair", 1), "text"),
        (("maybe", "share"), "a number from 0 to 1"),
    ],
)
def test_the_kind_at_a_path(loc: tuple[str | int, ...], said: str) -> None:
    kind = reach(Kind.of(Outer), loc)
    assert kind is not None
    assert words(kind) == said


def test_a_path_out_of_the_models_has_no_kind() -> None:
    assert reach(Kind.of(Outer), ("nowhere",)) is None
    assert reach(Kind.of(Outer), ("from", "deeper")) is None


def test_a_hint_is_given_only_for_what_is_near() -> None:
    assert meant("shrads", ["shards", "weight"]) == " (did you mean shards?)"
    assert meant("zzz", ["shards", "weight"]) == ""
