"""What is refused before a lever's record is written."""

from typing import Any

import pytest

import topologies
from producers.errors import PolicyError
from producers.movelever import move_lever
from producers.options import Options
from producers.policies import HORIZON

CHINA = topologies.load("china")
RUN = Options("127.0.0.1:1", "", CHINA, 7, CHINA.span.start_ms, CHINA.span.end_ms)


@pytest.mark.parametrize(
    ("lever", "value", "message"),
    [
        ("taxes", 1, r"no lever 'taxes' in topology china; it has apr-disclosure, "),
        (HORIZON, 1, r"no lever 'horizon'"),
        (
            "route",
            "SIDEWAYS",
            r"route cannot take that value: .*'SIDEWAYS' is not allowed; allowed: one of DIRECT",
        ),
        ("route", None, r"allowed: one of DIRECT, NETWORK"),
        ("federated", 1, r"1 is not allowed; allowed: true or false"),
        ("network-capacity", 0, r"0 is not allowed; allowed: a number from 0.001 to 1000 \(billion payments a day\)"),
        ("network-capacity", float("nan"), r"allowed: a number from"),
        ("joint-loan-cap", [0.3], r"allowed: a number from 0 to 1"),
    ],
)
def test_what_the_topology_does_not_allow_is_refused(lever: str, value: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        move_lever(RUN, lever, value)


def test_a_lever_moves_at_a_days_start() -> None:
    with pytest.raises(PolicyError, match="at a day's start"):
        move_lever(RUN, "route", "DIRECT", CHINA.span.start_ms + 1)
