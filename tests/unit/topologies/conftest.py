"""Worlds written by a test: overlays over the baseline in files of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import topologies
from topologies import Problem, Topology, TopologyError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text to a file of the test's directory, `mine.yaml` unless named."""

    def put(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.fixture
def over_china(write: Write) -> Callable[[str], Topology]:
    """Load an overlay over the baseline. Its text starts in line 3 of the file."""
    return lambda text: topologies.load(write(f"over: china\nname: mine\n{text}\n"))


@pytest.fixture
def problems(over_china: Callable[[str], Topology]) -> Callable[[str], tuple[Problem, ...]]:
    """What is wrong with such an overlay."""

    def found(text: str) -> tuple[Problem, ...]:
        with pytest.raises(TopologyError) as caught:
            over_china(text)
        return caught.value.problems

    return found
