"""What Faust and aiokafka log, in the worker's own log and seldom: an outage is one line every few seconds."""

from __future__ import annotations

import logging
import time

import structlog

log = structlog.get_logger("streams.libraries")

SELDOM_S = 5.0
LEVELS = {"faust": logging.WARNING, "mode": logging.WARNING, "aiokafka": logging.ERROR, "asyncio": logging.ERROR}
"""Least level of each library that is told; aiokafka warns of every rebalance."""


class Seldom(logging.Handler):
    """Passes a library's record on, at most one every `SELDOM_S`, with the number of those left out since."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Told as a warning whatever its level: what is an error to the worker, the worker says itself."""
        now = time.monotonic()
        if now < self._next_s:
            self._left_out += 1
            return
        text = record.getMessage().strip().splitlines()
        log.warning(text[0] if text else "", library=record.name.split(".")[0], left_out=self._left_out)
        self._next_s, self._left_out = now + SELDOM_S, 0


def forward_libraries() -> None:
    """Take over the libraries' loggers. Calling again changes nothing."""
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate = False
        if not any(isinstance(handler, Seldom) for handler in logger.handlers):
            logger.addHandler(Seldom())
