"""The same seed gives the same bytes on every machine: digests committed beside this test.

A change of the economy, of the topology or of a schema changes them on purpose; write them anew with
`python -m tests.unit.producers.test_golden_digest` and say why in the commit.
"""

import json
from pathlib import Path

import topologies
from producers.digest import digest
from producers.economy import DAY_MS

GOLDEN = Path(__file__).with_name("golden_digest.json")


def spans() -> dict[str, dict[str, str]]:
    """Two days of the small world and two seconds of the one-to-one world."""
    small, one = topologies.load("small"), topologies.load("one-to-one")
    return {
        "small, 2 days": digest(small, 7, small.span.start_ms, small.span.start_ms + 2 * DAY_MS),
        "one-to-one, 2 s, alipay": digest(one, 7, one.span.start_ms, one.span.start_ms + 2000, ["alipay"]),
    }


def test_digests_are_the_committed_ones() -> None:
    assert spans() == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(spans(), indent=1) + "\n")
