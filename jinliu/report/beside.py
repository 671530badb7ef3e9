"""What measurements ask for beside the metric rows of a run: its own topics, and worlds one lever apart."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jinliu.report.facts import Period, Row

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Steps:
    """Loans' steps as they lie on topic `loans`. read: records looked at, of: records there are.

    offers: of each OFFERED its amount_fen, fee_fen, rate_ppm, months, apr_ppm, int64[n] each, null as -1.
    referrals: (product, actor) -> how many REFERRED.
    """

    read: int
    of: int
    offers: Mapping[str, Int64]
    referrals: Mapping[tuple[str, str], int]


class Raw(Protocol):
    """What lies on a run's topics beside metric rows; each is read when first asked for."""

    def alerts(self) -> Mapping[str, int]:
        """Rule -> how many alerts by it stand on topic `alerts`."""

    def dead(self, topic: str) -> int:
        """Records of an event topic that were refused, by the accounts."""

    def steps(self) -> Steps:
        """Steps of loans. Raises UncoveredError where nobody tells any."""


@dataclass(frozen=True, slots=True)
class Told:
    """Metric rows of a simulated world: closed, over all shards; and of each shard by itself."""

    whole: Sequence[Row]
    shards: Sequence[Sequence[Row]]


class Worlds(Protocol):
    """Simulates the run's world over `span`, with or without one lever moved."""

    span: Period

    def told(self, lever: str, value: Any, metric: str, pools: Collection[str], products: Collection[str]) -> Told:
        """Rows of a metric, by month, where the lever holds the value, of the loans of those sources that lend some of
        the products to some of the pools of borrowers.

        Raises UncoveredError where the world tells no loans, or has no such lever.
        """
