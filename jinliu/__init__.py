"""jinliu (金流): a living model of money flows in China as Kafka event streams. The front door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["subscribe"]
__version__ = "0.1.0"


def subscribe(metric: str, **options: Any) -> Iterator[Any]:
    """Typed rows of a metric topic: see `jinliu.subscription.subscribe`."""
    from jinliu.subscription import subscribe as open_subscription

    return open_subscription(metric, **options)
