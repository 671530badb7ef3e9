"""Which topics are planned and which metrics are computed in a world that does not tell everything."""

from __future__ import annotations

import dataclasses

import pytest

import topologies
from streams import metrics
from streams.errors import DefinitionError
from streams.plan import plans, told

DAY = 86_400_000


def test_metrics_of_topics_that_nobody_tells_are_left_out() -> None:
    known, of_loans = metrics.load(), {"default-rates", "channel-fees", "joint-lending", "early-warning"}
    assert told(known, ("payments", "operations", "loans")) == known
    assert told(known, ("payments", "operations")).keys() == known.keys() - of_loans - {"bank-income"}
    assert told(known, ("payments", "loans")).keys() == known.keys() - {"institutions", "bank-income"}
    assert told(known, ()).keys() == {"accounting"}


def test_a_topic_that_no_metric_reads_is_planned_all_the_same() -> None:
    world = topologies.load("small")
    start = world.span.start_ms
    run = {"roster": {"payments": ["alipay"], "operations": ["alipay"]}, "start": start, "end": start + DAY}
    found = plans(world, run, {"accounting": metrics.load()["accounting"]})
    assert {topic: plan.rollups for topic, plan in found.items()} == {"payments": (), "operations": ()}
    assert plans(world, run | {"roster": {"payments": ["alipay"]}}).keys() == {"payments"}


def test_a_metric_of_a_topic_that_there_is_not_is_named() -> None:
    (rollup,) = metrics.load()["market-share"].rollups
    astray = dataclasses.replace(
        metrics.load()["market-share"], name="astray", rollups=(dataclasses.replace(rollup, topic="loanz"),)
    )
    with pytest.raises(DefinitionError, match="metric 'astray': no event topic 'loanz'; known: payments, operations"):
        told({"astray": astray}, ("payments",))
