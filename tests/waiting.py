"""Waiting for something to become true, with a limit: tests never sleep for a guessed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 120.0) -> None:
    """Look every 20 ms until `condition` holds.

    Raises
    ------
    AssertionError
        When it does not hold within `limit_s`; names `what` was waited for.
    """
    end = time.monotonic() + limit_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s:.0f} s for {what}"
        pause.wait(LOOK_EVERY_S)
