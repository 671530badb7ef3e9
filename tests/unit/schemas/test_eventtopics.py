"""The table of event topics holds together with the schemas, the emitters and what a world may name."""

from __future__ import annotations

import typing

import pytest

from producers.generator import EMITTERS
from schemas import catalog
from schemas.eventtopics import BANKS, BANKS_OR_NONE, EVENT_TOPICS, INSTITUTIONS, INSTITUTIONS_OR_NONE
from schemas.layout import fields
from topologies.model import Topic


def test_every_topic_has_an_emitter_and_a_world_may_tell_it() -> None:
    assert EVENT_TOPICS.keys() == EMITTERS.keys() == set(typing.get_args(Topic))


@pytest.mark.parametrize("name", EVENT_TOPICS)
def test_a_topic_names_fields_of_its_record(name: str) -> None:
    topic = EVENT_TOPICS[name]
    found = {item.name: item for item in fields(catalog.schema(topic.record).parsed)}
    assert {"source", "seq", "event_time", topic.key} <= found.keys()
    assert {found[each].type for each in (topic.amount, topic.weight, topic.person) if each} <= {"long"}
    assert {found[each].type for each in topic.worth} <= {"long"}
    assert topic.worth[:1] in ((), (topic.amount,)), "what control totals add up is part of it"
    assert {found[each].type for each in topic.bounds} <= {"int", "long"}
    assert {found[each].type for each in topic.vocabularies} <= {"string"}
    assert not any(found[each].nullable for each in topic.vocabularies), "null would be read as the first word"
    assert set(topic.vocabularies.values()) <= {BANKS, INSTITUTIONS, BANKS_OR_NONE, INSTITUTIONS_OR_NONE}
    assert bool(topic.person) != bool(topic.institution), "something places an event in its shard"
