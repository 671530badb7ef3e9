"""What `produce` makes of a source that it could not have."""

import threading

import pytest

from producers import run
from producers.errors import AlreadyRunningError
from producers.ownership import StoppedClaimingError
from producers.runrecord import Run
from tests.unit.producers.fake_world import options


class Refused:
    """An ownership that is never had."""

    error: Exception
    closed = 0

    def __init__(self, *_: object) -> None:
        pass

    def claim(self, stop: threading.Event) -> None:
        raise self.error

    def close(self) -> None:
        Refused.closed += 1


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Ownership", Refused)
    monkeypatch.setattr(run, "open_run", Run.of)
    monkeypatch.setattr(Refused, "closed", 0)


def test_stopped_before_the_sources_were_its_own_is_an_end_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refused, "error", StoppedClaimingError("stopped"), raising=False)
    summary = run.produce(options())
    assert (dict(summary.events), summary.closed) == ({}, False)
    assert Refused.closed == 4


def test_another_that_has_the_source_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refused, "error", AlreadyRunningError("source banks is already running"), raising=False)
    with pytest.raises(AlreadyRunningError, match="banks is already running"):
        run.produce(options())
    assert Refused.closed == 4
