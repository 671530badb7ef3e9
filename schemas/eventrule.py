"""Rules on one event over several of its fields, as a topic declares them."""

from __future__ import annotations

from typing import NamedTuple


class EventRule(NamedTuple):
    """An event of a run keeps `must` wherever `when` holds; one that does not is refused for `reason`.

    when, must: Python expressions of comparisons, `+`, `-`, `*`, `and`, `or`, `not` over the record's fields. Integers
    are int64 and within the topic's bounds, null is 0; an enumeration or a string with a vocabulary is compared
    (`==`, `!=`, `in`, `not in`) with its words in quotes.
    """

    when: str
    must: str
    reason: str


ALWAYS = "True"
