"""What the proof raises."""

from schemas.errors import JinliuError


class OracleError(JinliuError):
    """The log cannot be read or judged: says where and why."""
