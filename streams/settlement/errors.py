"""What a settlement cannot be asked to do."""

from schemas.errors import JinliuError


class SettlementError(JinliuError):
    """Obligations, queues or balances that make no sense; the text says which."""
