"""The first QR payment of each calendar year of each person who scans QR codes, told once with the person's weight.

Thinned payments would miss people; these make the distinct users of a year exact. A person who adopts in the year is
first seen on the day of adoption, others some days into the year (geometric, mean ten days). One source tells it,
drawn by its share of QR payments on that day from the person's taste.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from producers import scalar

if TYPE_CHECKING:
    from producers.economy import Economy

MEAN_DAYS = 10.0


class Sightings:
    """First QR payments of the year by day, for one channel. None where an event stands for a single payment anyway."""

    def __init__(self, economy: Economy, channel: int) -> None:
        self._economy = economy
        self._channel = channel
        scale = economy.topology.scale
        self._told = scale.weight > scale.person_weight
        table = [int(-scalar.log((i + 0.5) / 4096) * MEAN_DAYS) for i in range(4096)]
        self._wait = np.array(table, dtype=np.int64)
        self._of_year = lru_cache(maxsize=64)(self._year)

    def of(self, shard: int, d0: int, d1: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(int64[d1 - d0 + 1] positions by day, int64 person ids) for days [d0, d1) since the topology's start."""
        if not self._told:
            return np.zeros(d1 - d0 + 1, np.int64), np.empty(0, np.int64)
        first = self._economy.first
        years = range(
            date.fromordinal(first.toordinal() + d0).year, date.fromordinal(first.toordinal() + d1 - 1).year + 1
        )
        found = [self._of_year(shard, year) for year in years]
        days = np.concatenate([f[0] for f in found])
        persons = np.concatenate([f[1] for f in found])
        edges = np.searchsorted(days, np.arange(d0, d1 + 1)).astype(np.int64)
        return edges - edges[0], persons[edges[0] : edges[-1]].copy()

    def _year(self, shard: int, year: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Days (ascending) and persons of a shard and year that this channel tells."""
        economy = self._economy
        start = max(0, date(year, 1, 1).toordinal() - economy.first.toordinal())
        stop = date(year + 1, 1, 1).toordinal() - economy.first.toordinal()
        economy.ensure(stop)
        persons = np.arange(shard, economy.people.population, economy.topology.scale.shards, dtype=np.int64)
        traits = economy.people.of(persons)
        day = np.full(len(persons), -1, np.int64)
        taste = np.floor(traits["taste"] * 4294967296.0).astype(np.int64)
        for segment in range(4):
            mine = traits["segment"] == segment
            adopted = np.searchsorted(
                economy.inputs.adoption[start:stop, segment], traits["adoption_rank"][mine], side="right"
            )
            wait = np.minimum(self._wait[taste[mine] & 4095], stop - start - 1)
            # adopted 0: before the year; == length: not within it
            day[mine] = np.where(adopted == 0, wait, np.where(adopted < stop - start, adopted, -1))
        seen = day >= 0
        persons, day, place = persons[seen], day[seen] + start, taste[seen] / 4294967296.0
        share = np.add.accumulate(economy.out.scan_share, axis=1)[day]
        below = share[:, self._channel - 1] if self._channel else np.zeros(len(day))
        mine = (place >= below) & (place < share[:, self._channel])
        order = np.lexsort((persons[mine], day[mine]))
        return day[mine][order], persons[mine][order]
