"""What can go wrong between a source and the broker, each with a message that says what to do."""

from schemas.errors import JinliuError


class ProducerError(JinliuError):
    """A source or the clock cannot go on."""


class GeneratorError(JinliuError):
    """A source, topic or span that this world cannot tell."""


class SendError(ProducerError):
    """The broker did not take what was sent."""


class TopicMissingError(ProducerError):
    """A topic is not there, or has another number of partitions than the topology's shards."""


class OtherRunError(ProducerError):
    """The prefix holds another run."""


class AlreadyRunningError(ProducerError):
    """Another process tells this source."""


class OwnershipLostError(ProducerError):
    """The group coordinator gave this source to another process, or dropped this one."""


class ResumeError(ProducerError):
    """The log does not fit what this run would have told."""


class PolicyError(ProducerError):
    """A live policy that cannot take effect."""
