"""The end of a stack: a broker that goes away while the last rows are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import topologies
from jinliu import up as stack
from jinliu.jvm import BrokerError
from jinliu.overview import Overview
from jinliu.subscription import SubscriptionError


class Calm:
    """Parts of a stack that end as they should, and a reader whose broker is gone."""

    def stop(self, *_: object) -> None:
        pass

    def records(self, limit_s: float) -> int:
        return 0

    def to_end(self) -> Any:
        raise SubscriptionError("the Kafka broker at 127.0.0.1:9 has not answered for 30 s")


@pytest.mark.parametrize(("own", "said"), [(True, "does not answer any more"), (False, "has not answered for 30 s")])
def test_a_broker_that_goes_while_the_last_rows_are_read_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: bool, said: str
) -> None:
    answers = [True]
    monkeypatch.setattr(stack.embedded, "answers", lambda *_: answers.pop() if answers else False)
    world, calm = topologies.load("small"), Calm()
    overview = Overview(world, (world.span.start_ms, world.span.start_ms + 86_400_000))
    mine = stack.Embedded("127.0.0.1:9", tmp_path) if own else None
    watched: Any = stack._Watched(calm, calm, overview, calm, calm, calm, mine)  # type: ignore[arg-type]
    with pytest.raises(BrokerError, match=said):
        stack._drain(watched)
