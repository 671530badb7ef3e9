"""The errors a user of jinliu may meet. This module imports nothing of ours, so every room may build on it."""

from __future__ import annotations

DIFFERENT = 1
"""Exit code: a difference, or a run that did not come to its end."""
MISTAKE = 2
"""Exit code: a mistake in the command, or a broker that is not there."""
CANNOT_GO_ON = 70
"""Exit code (EX_SOFTWARE): a worker that cannot go on."""


class JinliuError(Exception):
    """Something a user can act on: the message says what is wrong, where, what to do. The CLI prints it as one line.

    exit_code: what the command then ends with.
    """

    exit_code: int = MISTAKE


class UnsupportedSchema(JinliuError):
    """An Avro schema uses a type that the columnar kernels do not handle."""


class UnknownSchema(JinliuError):
    """A schema name or id is in neither the catalog nor the registry's answers."""


class WireError(JinliuError):
    """The bytes of one record are not what their schema says, or a value does not fit its schema."""


class CorruptBatch(JinliuError):
    """A Kafka record batch is not of the v2 format or its checksum is wrong."""


class EncodeError(JinliuError):
    """Columns cannot be encoded: one is missing, has the wrong shape or dtype, or holds a value out of range."""


class RegistryError(JinliuError):
    """The schema registry cannot be reached or refused a schema."""


class IncompatibleSchema(JinliuError):
    """A new version of a schema cannot read what an earlier version wrote."""
