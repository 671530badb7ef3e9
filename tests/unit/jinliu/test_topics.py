"""The topics of a run: the design's table, from the topology and the metrics."""

from __future__ import annotations

import topologies
from jinliu import topics
from streams import metrics


def test_the_topics_of_the_design() -> None:
    world = topologies.load("china")
    found = {spec.name: spec for spec in topics.specs(world)}
    shards = world.scale.shards
    for topic in ("payments", "operations"):
        for name in (topic, f"state.{topic}", f"{topic}.dead"):
            assert found[name].partitions == shards
        assert found[topic].settings["retention.ms"] == "-1"
        assert "cleanup.policy" not in found[topic].settings
        assert found[f"state.{topic}"].settings["cleanup.policy"] == "compact"
    for name in ("runs", "policies"):
        assert found[name].partitions == 1
    assert "alerts" in found


def test_every_metric_has_its_topics() -> None:
    found = {spec.name: spec for spec in topics.specs(topologies.load("small"))}
    for metric in metrics.load().values():
        assert found[f"metrics.{metric.name}"].partitions == 1
        assert found[f"metrics.{metric.name}"].settings["cleanup.policy"] == "compact"
        assert (f"partials.{metric.name}" in found) == bool(metric.rollups)


def test_names_are_told_once() -> None:
    names = [spec.name for spec in topics.specs(topologies.load("china"))]
    assert len(names) == len(set(names))
    assert all(spec.about for spec in topics.specs(topologies.load("china")))
