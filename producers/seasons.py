"""Rhythms of paying: the year's path, weekdays, Spring Festival, shopping days and the hours of a day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from producers import scalar
from producers.sampling import QUARTERS
from topologies.economy import SCENES

if TYPE_CHECKING:
    from topologies.economy import CalendarFigures, Economy


def path(knots: dict[date, float], days: int, first: date, logarithmic: bool) -> NDArray[np.float64]:
    """float64[days]: (log-)linear interpolation between dated figures, level outside them."""
    points = sorted(((day - first).days, scalar.log(value) if logarithmic else value) for day, value in knots.items())
    out = np.empty(days, np.float64)
    k = 0
    for d in range(days):
        while k + 1 < len(points) and d >= points[k + 1][0]:
            k += 1
        x, y = points[k]
        if d > x and k + 1 < len(points):
            x1, y1 = points[k + 1]
            y = y + (y1 - y) * ((d - x) / (x1 - x))
        out[d] = scalar.exp(y) if logarithmic else y
    return out


def scene_factor(figures: CalendarFigures, day: date) -> list[float]:
    """Six factors on the scenes of a day: weekday, festival, shopping day."""
    factor = [figures.weekdays[day.weekday()]] * len(SCENES)
    for festival in figures.spring_festivals:
        since = (day - festival).days + 1  # the eve is day 0
        if 0 <= since < figures.festival_days:
            left = 1 - since / figures.festival_days
            for s, scene in enumerate(SCENES):
                factor[s] *= (
                    1 + (figures.festival_transfer - 1) * left if scene == "TRANSFER" else figures.festival_other
                )
    if f"{day:%m-%d}" in figures.shopping_days:
        factor[SCENES.index("SHOPPING")] *= figures.shopping_factor
    return factor


def demand(economy: Economy, days: int, first: date) -> NDArray[np.float64]:
    """float64[days, 6]: payments a day by scene over all channels, real ones."""
    total = path(dict(economy.volume.payments_billion_a_day), days, first, logarithmic=True)
    share = scene_share(economy)
    out = np.empty((days, len(SCENES)), np.float64)
    for d in range(days):
        factor = scene_factor(economy.calendar, first + timedelta(days=d))
        for s in range(len(SCENES)):
            out[d, s] = total[d] * 1e9 * economy.volume.scale * share[s] * factor[s]
    return out


def scene_share(economy: Economy) -> list[float]:
    """Shares of the six scenes, frequent ones scaled by the fitted weight; they add up to 1."""
    weight = economy.choice.frequent_weight
    raw = [economy.scenes[s].share * (weight if economy.scenes[s].frequent else 1.0) for s in SCENES]
    total = scalar.added(raw)
    return [x / total for x in raw]


def day_profile(figures: CalendarFigures) -> NDArray[np.float64]:
    """float64[97]: cumulative share of a day's payments by quarter hour; straight lines join the hours."""
    hours = figures.hours
    weights = []
    for quarter in range(QUARTERS):
        x = (quarter + 0.5) / 4 - 0.5  # hours since the middle of hour 0
        h = int(x // 1)
        f = x - h
        weights.append(hours[h % 24] * (1 - f) + hours[(h + 1) % 24] * f)
    total = scalar.added(weights)
    out = np.zeros(QUARTERS + 1, np.float64)
    running = 0.0
    for quarter, weight in enumerate(weights):
        running += weight
        out[quarter + 1] = running / total
    out[QUARTERS] = 1.0
    return out
