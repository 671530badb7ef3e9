"""Children of a stack: what counts as an end, and what their last words are."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from jinliu import children as processes
from jinliu.children import Child, ChildDied, Children
from tests.waiting import wait_until


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    """Children whose "python" runs the given words as a script instead of `-m jinliu`."""
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(fake))
    return Children(tmp_path / "logs")


def until_ended(child: Child) -> None:
    wait_until(lambda: child.process.poll() is not None, f"{child.name} to end", 30)


def test_one_that_dies_is_named_with_its_last_words(children: Children) -> None:
    child = children.start("worker-1", "import sys; print('first'); print('broken'); sys.exit(3)")
    until_ended(child)
    with pytest.raises(ChildDied, match=r"worker-1 ended with exit code 3: first \| broken .*worker-1\.log") as died:
        children.check()
    assert died.value.exit_code == 1


@pytest.mark.parametrize("code", [2, 70])
def test_a_mistake_and_a_worker_that_cannot_go_on_stay_what_they_are(code: int, children: Children) -> None:
    until_ended(children.start("worker-1", f"import sys; sys.exit({code})"))
    with pytest.raises(ChildDied) as died:
        children.check()
    assert died.value.exit_code == code


def test_one_that_is_killed_is_named_with_the_signal(children: Children) -> None:
    child = children.start("sources", "import signal, sys; sys.stdin.read(); signal.pause()")
    child.process.kill()
    until_ended(child)
    with pytest.raises(ChildDied, match="sources ended with signal SIGKILL") as died:
        children.check()
    assert died.value.exit_code == 1


def test_ending_well_or_as_told_is_no_death(children: Children) -> None:
    done = children.start("done", "print('done')")
    until_ended(done)
    children.check()
    waiting = children.start("waiting", "import signal; signal.pause()")
    children.stop()
    assert waiting.process.returncode is not None
    children.check()
    assert done.last_words() == "done"


def test_one_that_does_not_end_in_time_is_killed_and_that_is_said_and_no_death(
    children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = children.start(
        "deaf", "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\nwhile 1: signal.pause()"
    )
    wait_until(lambda: deaf.last_words() == "deaf", "the child to be deaf", 30)
    children.stop(limit_s=0.0)
    assert deaf.process.returncode == -signal.SIGKILL
    assert "deaf did not end in 0 s and was killed" in caplog.text
    children.check()


def test_a_sigterm_of_another_is_a_death(children: Children) -> None:
    child = children.start("worker-1", "import signal; signal.pause()")
    child.process.terminate()
    until_ended(child)
    with pytest.raises(ChildDied, match="SIGTERM"):
        children.check()
