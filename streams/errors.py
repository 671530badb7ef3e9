"""What can go wrong in the pure core, each with a message that says what, where and what to do."""

from schemas.errors import CANNOT_GO_ON, MISTAKE, JinliuError


class StreamsError(JinliuError):
    """Base of the errors of the room `streams`: a worker that meets one cannot go on."""

    exit_code = CANNOT_GO_ON


class DefinitionError(StreamsError):
    """A metric, rollup or window is defined wrongly: found at start, before anything is read."""

    exit_code = MISTAKE


class WindowError(DefinitionError):
    """A window name that is unknown, or a window that is no union of ticks."""


class OffsetOrder(StreamsError):
    """A chunk does not begin where the shard's state ends; folding it would lose or repeat events."""


class SumOverflow(StreamsError):
    """A sum would leave int64."""


class OutOfRange(StreamsError):
    """A folded value lies outside the bitmap or table that its rollup sized for it."""


class StateMismatch(StreamsError):
    """Stored state or a partial was written by another version, run or definition of the metric."""
