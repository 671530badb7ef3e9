"""The digest tells worlds apart by what they do, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import topologies
from topologies.load import HOME

Write = Callable[..., Path]
BASE = "over: china\nname: mine\nabout: A world.\n"


def digest(write: Write, text: str) -> str:
    return topologies.load(write(text)).digest


def reordered(value: object) -> object:
    """The same data with every mapping's keys the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_it_is_a_sha256_and_the_same_on_every_load() -> None:
    first, again = topologies.load("china").digest, topologies.load("china").digest
    assert len(first) == 64
    assert int(first, 16) >= 0
    assert first == again


@pytest.mark.parametrize("world", topologies.worlds())
def test_comments_layout_and_order_of_keys_do_not_matter(write: Write, world: str) -> None:
    data = yaml.safe_load((HOME / f"{world}.yaml").read_text(encoding="utf-8").replace("!replace", ""))
    if "over" in data and "!replace" in (HOME / f"{world}.yaml").read_text(encoding="utf-8"):
        path = HOME / f"{world}.yaml"
        text = "# a comment\n" + path.read_text(encoding="utf-8")
    else:
        text = "# a comment\n" + yaml.safe_dump(reordered(data), sort_keys=False, indent=5, allow_unicode=True)
    assert digest(write, text) == topologies.load(world).digest


def test_reordered_keys_give_an_equal_world(write: Write) -> None:
    text = yaml.safe_dump(reordered(yaml.safe_load((HOME / "china.yaml").read_text(encoding="utf-8"))), sort_keys=False)
    mine, china = topologies.load(write(text)), topologies.load("china")
    assert mine == china
    assert repr(mine.model_dump()) == repr(china.model_dump())


@pytest.mark.parametrize(
    "more",
    [
        "about: Other words.",
        "figures: {economy.bank_size: 'free parameter: other words'}",
        "levers: {route: {about: Other words., source: free parameter}}",
        "levers: {network-capacity: {baseline: 60.0}}",
        "institutions: [{id: icbc, legacy_core: false}]",
        "economy: {fit: {pay.duopoly: {target: 1, model: 2, relative: 1}}}",
    ],
)
def test_prose_and_spelling_do_not_matter(write: Write, more: str) -> None:
    text = BASE.replace("about: A world.\n", "") if more.startswith("about") else BASE
    assert digest(write, f"{text}{more}\n") == digest(write, BASE)


@pytest.mark.parametrize(
    "more",
    [
        "scale: {shards: 4}",
        "scale: {lateness_ticks: 2}",
        "span: {to: 2024-12-30}",
        "windows: {market-share: [day]}",
        "levers: {route: {baseline: NETWORK}}",
        "levers: {route: {decisions: []}}",
        "institutions: [{id: icbc, certified: 2022-01-11}]",
        "institutions: [{id: another, name: Another Bank, kind: city-bank}]",
        "economy: {adults: 1100000001}",
    ],
)
def test_what_can_change_an_event_or_a_window_does(write: Write, more: str) -> None:
    assert digest(write, f"{BASE}{more}\n") != digest(write, BASE)


def test_the_packaged_worlds_differ() -> None:
    digests = [topologies.load(world).digest for world in topologies.worlds()]
    assert len(set(digests)) == len(digests)


def test_the_order_of_institutions_matters_since_it_gives_the_codes(write: Write) -> None:
    data = yaml.safe_load((HOME / "china.yaml").read_text(encoding="utf-8"))
    data["institutions"].reverse()
    assert digest(write, yaml.safe_dump(data, sort_keys=False)) != topologies.load("china").digest
