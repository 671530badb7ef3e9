"""What tells a command to end."""

from __future__ import annotations

import threading


class Stop(threading.Event):
    """Set by the signals that end a command; `signal` is the first of them."""

    signal: int | None = None

    def tell(self, number: int, _: object) -> None:
        """A signal handler."""
        self.signal = self.signal or number
        self.set()
