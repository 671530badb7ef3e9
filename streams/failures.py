"""What ends a worker. Each says what happened, where, and what to do."""

from __future__ import annotations

from schemas.errors import CANNOT_GO_ON, JinliuError


class WorkerError(JinliuError):
    """The worker cannot go on; nothing was skipped, and what it had committed stands."""

    exit_code = CANNOT_GO_ON


class BackgroundError(WorkerError):
    """What the engine does beside folding (taking a shard over, a commit's end, joining the group anew) raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"the engine failed in the background: {type(cause).__name__}: {cause}. Start the worker again."
        )


class FoldError(WorkerError):
    """A fold raised: the worker ends and the chunk stays unfolded."""

    def __init__(self, topic: str, partition: int, first: int, last: int, cause: BaseException) -> None:
        super().__init__(
            f"folding {topic}/{partition} failed at offsets {first}..{last}: {type(cause).__name__}: {cause}. "
            "Nothing was skipped: repair the cause and start the worker again."
        )
        self.topic, self.partition, self.first, self.last = topic, partition, first, last


class RecordsDeletedError(WorkerError):
    """The log begins behind the offset a shard has to go on at."""

    def __init__(self, topic: str, partition: int, wanted: int, earliest: int) -> None:
        super().__init__(
            f"{topic}/{partition} begins at offset {earliest}, but the shard goes on at {wanted}: records were deleted "
            "before they were folded. Raise the topic's retention and run again under a new prefix."
        )


class ShardStuckError(WorkerError):
    """A shard made no headway over several takeovers."""

    def __init__(self, topic: str, partition: int, upto: int, times: int, cause: object) -> None:
        super().__init__(
            f"{topic}/{partition} made no headway at offset {upto} after {times} attempts: {cause}. "
            "Look at the broker's log, then start the worker again."
        )


class RunMismatchError(JinliuError):
    """The topics hold a run of another topology."""


class MissingTopicError(WorkerError):
    """A topic the engine needs is not there."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist: create the topics of the run before starting a worker.")
