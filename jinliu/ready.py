"""Small contracts between a process and what started it: being ready, and not outliving a parent."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

WATCH_S = 1.0
END_S = 5.0
"""An orphan has so long to end in order: its broker goes soon, too."""


def ready() -> None:
    """Touch `$JINLIU_READY_FILE`, if set: a container's health check looks for it."""
    path = os.environ.get("JINLIU_READY_FILE")
    if path:
        Path(path).touch()


def end_with_parent() -> None:
    """If `$JINLIU_PARENT` started us, end as by SIGTERM once it is gone, and at once 5 s later.

    A killed `up` leaves no children behind.
    """
    parent = os.environ.get("JINLIU_PARENT", "")
    if not parent.isdigit():
        return

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == int(parent):
            pause.wait(WATCH_S)
        os.kill(os.getpid(), signal.SIGTERM)
        pause.wait(END_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
