"""The stack under faults: four neighbouring seeds strike with every kind; more by `python -m tests.faults.play`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.play import play
from tests.faults.schedules import Fault, draw


@pytest.mark.parametrize("seed", [4, 5, 6, 7])
def test_whatever_is_killed_the_metrics_are_the_truth(seed: int, tmp_path: Path) -> None:
    schedule = draw(seed)
    played = play(schedule, tmp_path)
    replay = f"{schedule}; replay: python -m tests.faults.play --count 1 --seed {seed}"
    assert played.differences == [], replay
    assert played.compared > 1000, replay


def test_a_schedule_is_a_function_of_its_seed() -> None:
    assert draw(11) == draw(11)


def test_any_four_neighbouring_seeds_strike_with_every_kind_first() -> None:
    for first in range(20):
        assert {draw(seed).strikes[0].fault for seed in range(first, first + 4)} == set(Fault), first
